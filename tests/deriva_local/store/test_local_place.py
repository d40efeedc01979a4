"""Where a store may lie: which file systems are of the network, and which mount a folder is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_local.store import place
from deriva_local.store.place import NetworkFileSystem, is_network, mounted, parse_linux, parse_mac, refuse_network
from deriva_local.store.registry import Store

LINUX = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local ext4 rw 0 0
me@host:/data /mnt/my\\040disk fuse.sshfs rw 0 0
//box/share /mnt/share cifs rw 0 0
"""
MAC = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//me@server._smb._tcp.local/Lab on /Volumes/Lab Data (1) (smbfs, nodev, nosuid, mounted by me)
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ext4", False), ("xfs", False), ("btrfs", False), ("apfs", False), ("tmpfs", False), ("overlay", False),
     ("fuse.ntfs-3g", False), ("nfs", True), ("nfs4", True), ("cifs", True), ("smb3", True), ("smbfs", True),
     ("9p", True), ("lustre", True), ("fuse.sshfs", True), ("fuse.rclone", True), ("NFS", True), ("", False)],
)  # fmt: skip
def test_file_systems(kind: str, expected: bool) -> None:
    assert is_network(kind) is expected


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/x", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpx", "ext4"), ("/home/me/.deriva-ml", "nfs4"),
     ("/home/local/me", "ext4"), ("/mnt/my disk/x", "fuse.sshfs"), ("/mnt/share", "cifs")],
)  # fmt: skip
def test_mounts_on_linux(path: str, kind: str) -> None:
    assert mounted(Path(path), parse_linux(LINUX)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/Users/me", "apfs"), ("/Volumes/Lab Data (1)/x", "smbfs"), ("/System/Volumes/Data/x", "apfs")],
)
def test_mounts_on_a_mac(path: str, kind: str) -> None:
    assert mounted(Path(path), parse_mac(MAC)) == kind


def test_a_later_mount_covers_an_earlier_one() -> None:
    assert mounted(Path("/data/x"), [("/", "ext4"), ("/data", "nfs"), ("/data", "xfs")]) == "xfs"


def test_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_network(tmp_path / "not" / "there")
    monkeypatch.setattr(place, "file_system", lambda path: "nfs4")
    with pytest.raises(NetworkFileSystem, match="deriva-ml serve"):
        Store(tmp_path / "store")
    assert not (tmp_path / "store").exists()
