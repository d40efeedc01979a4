"""A Slurm of one node, from Debian's packages unpacked into a folder: nothing is installed, and nothing outlives the tests."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = (
    "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libmunge2", "libhwloc15", "libjwt0",
)  # fmt: skip
LIBRARIES = f"usr/lib/{platform.machine()}-linux-gnu"
SECONDS = 30

CONFIGURATION = """
ClusterName=torture
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def unpacked(folder: Path) -> Path:
    """Download the packages once into ``folder`` and unpack them; return the root of the tree."""
    root = folder / "root"
    if not (root / "usr/bin/sbatch-wlm").exists() and not (root / "usr/bin/sbatch").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=folder, check=True, capture_output=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True)
    return root


@contextmanager
def slurm(root: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run a controller and a node; yield the environment variables with which jobs can be handed in."""
    commands = _commands(root, folder / "bin")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    plugins = root / LIBRARIES / "slurm-wlm"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0], controller_port=_free_port(), node_port=_free_port(), user=_user(),
            plugins=plugins, folder=folder,
        )
    )  # fmt: skip
    environment = {
        **os.environ,
        "SLURM_CONF": str(configuration),
        "PATH": f"{commands}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{root / LIBRARIES}:{plugins}",
    }
    daemons = [["slurmctld", "-D"], ["slurmd", "-D", "-d", str(commands / "slurmstepd")]]
    running = [
        subprocess.Popen(daemon, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for daemon in daemons
    ]
    try:
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(SECONDS)


def _commands(root: Path, folder: Path) -> Path:
    """Give the programs the names that others call them by."""
    folder.mkdir()
    for program in [*(root / "usr/bin").iterdir(), *(root / "usr/sbin").iterdir()]:
        link = folder / program.name.removesuffix("-wlm")
        if not link.exists():
            link.symlink_to(program.resolve())
    return folder


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("*.log"))
    raise RuntimeError(f"Slurm did not come up: {done.stdout}{done.stderr}\n{logs}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user() -> str:
    return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()


def is_possible() -> bool:
    """Return whether this machine has what unpacking Debian's packages takes."""
    return all(shutil.which(name) for name in ("apt-get", "dpkg"))
