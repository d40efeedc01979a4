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
    return {"host": host_name(), "pid": os.getpid(), "boot": boot_id(), "oom_kills": oom_kills()}


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
    """Return whether a process of this machine may still be alive: its number is in use, and the machine was not restarted."""
    if not process.get("boot") or process["boot"] != boot_id() or not isinstance(process.get("pid"), int):
        return False
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
