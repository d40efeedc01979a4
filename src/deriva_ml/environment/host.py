"""This machine and this process, described: enough to say later how a run may have ended."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return who and where this process is."""
    return {
        "host": host_name(),
        "pid": os.getpid(),
        "pids": pid_namespace(),
        "boot": boot_id(),
        "oom_kills": oom_kills(),
    }


def is_here(process: Mapping[str, Any]) -> bool:
    """Return whether the process described by ``process`` is, or was, one of this machine, whatever its name is now.

    A laptop is called otherwise in another network, and a container when it starts again. What counts is the kernel: one
    start of it has one id, and whoever has that id, containers beside each other as well, shares the kernel's table of
    locks. So where this says yes, a lock file that both see tells the living from the dead: free means that the holder
    died. After a restart of the machine the id is another one, and the name is what is left to go by.
    """
    boot = process.get("boot")
    return process.get("host") == host_name() or bool(boot and boot == boot_id())


@functools.cache
def host_name() -> str:
    """Return this machine's name."""
    return platform.node() or "localhost"


@functools.cache
def boot_id() -> str:
    """Return what changes with every start of this machine; empty where that cannot be told."""
    linux = Path("/proc/sys/kernel/random/boot_id")
    if linux.exists():
        return linux.read_text().strip()
    if platform.system() != "Darwin":
        return ""
    asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


@functools.cache
def pid_namespace() -> int | None:
    """Return which numbering of processes this one is counted in: containers have their own; None where there is but one."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def oom_kills() -> int | None:
    """Return how many processes the kernel has killed for want of memory since it started; None where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return None
    _, found, rest = text.partition("\noom_kill ")
    return int(rest.partition("\n")[0]) if found else None


def likely_cause(owner: Mapping[str, Any]) -> str:
    """Return what is known of why the process described by ``owner`` is gone."""
    note = Path(str(owner.get("end") or os.devnull))
    if note.is_file():  # the process could still say which signal ended it
        return note.read_text()
    before, here = owner.get("boot"), boot_id()
    if before and here and before != here:
        return "the machine was restarted"
    kills, earlier = oom_kills(), owner.get("oom_kills")
    if kills is not None and isinstance(earlier, int) and kills > earlier:
        return f"ended without closing; the kernel killed {kills - earlier} process(es) for want of memory meanwhile"
    return "ended without closing"


def may_live(process: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine may still be alive: its number is in use, and the machine was not restarted.

    Of the numbers of another container nobody here can say whether they are in use.
    """
    if not process.get("boot") or process["boot"] != boot_id() or not isinstance(process.get("pid"), int):
        return False
    if process.get("pids", pid_namespace()) != pid_namespace():
        return True
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
