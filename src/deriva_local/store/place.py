"""Where a store may lie: on a local disk of this machine, and nowhere else.

The write-ahead log of SQLite is shared memory between processes. A network file system does not share memory between
machines, and loses locks; a catalog there would be damaged sooner or later.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NETWORK = frozenset(
    ["nfs", "nfs4", "cifs", "smb", "smbfs", "smb2", "smb3", "9p", "afs", "afpfs", "webdav", "davfs", "lustre", "gpfs",
     "beegfs", "ceph", "glusterfs", "orangefs", "pvfs2", "gfs2", "panfs", "wekafs"]
)  # fmt: skip
NETWORK_FUSE = frozenset(
    ["sshfs", "s3fs", "rclone", "gcsfuse", "goofys", "glusterfs", "ceph", "davfs2", "blobfuse", "blobfuse2", "juicefs",
     "seaweedfs", "mount-s3", "cvmfs"]
)  # fmt: skip


class StoreProblem(OSError):
    """A store that cannot be used where it lies; the message says why, and what to do. ``status`` is that over HTTP."""

    status = 500


class FullDisk(StoreProblem):
    """There is no room for the store."""

    status = 507


class NetworkFileSystem(StoreProblem):
    """The folder lies on a network file system."""


class NewerStore(StoreProblem):
    """The store was written by a newer version of this program."""

    status = 503


class ReadOnlyStore(StoreProblem):
    """The folder of the store cannot be written to."""

    status = 403


def refuse_network(path: Path) -> None:
    """Let a local folder pass; it need not exist yet.

    Raises:
        NetworkFileSystem: the folder lies, or would lie, on a network file system.
    """
    kind = file_system(path)
    if is_network(kind):
        raise NetworkFileSystem(
            f"{path} lies on a network file system ({kind}), where a catalog would be damaged. Choose a folder on a "
            "local disk (DERIVA_ML_HOME or working_dir), or let one machine run 'deriva-ml serve' and name it as host."
        )


def refuse_newer(path: Path, found: int, known: int) -> None:
    """Let a database of a version that we know pass.

    Raises:
        NewerStore: ``found`` is newer than ``known``.
    """
    if found > known:
        raise NewerStore(
            f"{path} was written by a newer version of deriva-ml (its format is {found}, this program knows {known}). "
            "Upgrade deriva-ml to open it."
        )


def is_network(kind: str) -> bool:
    """Tell whether a file system type, as the system names it, is one of the network."""
    name = kind.lower()
    return name in NETWORK or (name.startswith("fuse.") and name[5:] in NETWORK_FUSE)


def file_system(path: Path) -> str:
    """Return the type of the file system under ``path``, or under its nearest parent that exists; "" if unknown."""
    mounts = _linux_mounts() if sys.platform.startswith("linux") else _mac_mounts()
    return mounted(path.absolute().resolve(), mounts)


def mounted(path: Path, mounts: list[tuple[str, str]]) -> str:
    """Return the type of the mount that ``path`` lies on, given pairs of mount point and type; later ones cover."""
    found, depth = "", -1
    for point, kind in mounts:
        parts = len(Path(point).parts)
        if parts >= depth and path.is_relative_to(point):
            found, depth = kind, parts
    return found


def _linux_mounts() -> list[tuple[str, str]]:
    table = Path("/proc/self/mounts")
    return parse_linux(table.read_text()) if table.exists() else []


def parse_linux(table: str) -> list[tuple[str, str]]:
    """Return mount points and types out of the text of ``/proc/mounts``."""
    rows = (line.split(" ") for line in table.splitlines())
    return [(_unescape(row[1]), row[2]) for row in rows if len(row) > 2]


def _unescape(text: str) -> str:
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


def _mac_mounts() -> list[tuple[str, str]]:
    told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False, timeout=10)
    return parse_mac(told.stdout)


def parse_mac(table: str) -> list[tuple[str, str]]:
    """Return mount points and types out of what ``mount`` prints on macOS."""
    found = []
    for line in table.splitlines():
        _, _, rest = line.partition(" on ")
        point, _, details = rest.rpartition(" (")
        if point:
            found.append((point, details.rstrip(")").split(",")[0]))
    return found


def sync_folder(folder: Path) -> None:
    """Make the names of the files in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make ``folder``, private, and those above it, durably, where they are missing."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync(descriptor: int) -> None:
    """Bring the bytes of an open file to the disk itself (macOS needs a stronger word than fsync)."""
    _sync(descriptor, os.fsync)


def sync_data(descriptor: int) -> None:
    """Bring the bytes of an open file to the disk; when it was written last is not worth a second write."""
    _sync(descriptor, getattr(os, "fdatasync", os.fsync))


def _sync(descriptor: int, otherwise: Callable[[int], None]) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        otherwise(descriptor)
        return
    try:
        fcntl.fcntl(descriptor, full)
    except OSError as error:  # a disk that does not know the stronger word
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        otherwise(descriptor)
