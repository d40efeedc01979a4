"""Files are whole or absent, and hashed on the way."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from deriva_ml.files import BLOCK, Digest, copy_hashed, hash_file, link_or_copy, make_folder, replacing, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(OSError, match="no space"), replacing(tmp_path / "a") as file:
        file.write(b"half")
        raise OSError("no space")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 3 * BLOCK + 7, 9 * BLOCK + 1])
def test_one_pass_copies_and_hashes(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    (tmp_path / "source").write_bytes(content)
    expected = Digest(hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest(), size)
    assert copy_hashed(tmp_path / "source", tmp_path / "copy") == expected
    assert (tmp_path / "copy").read_bytes() == content
    assert hash_file(tmp_path / "copy") == expected
    assert names(tmp_path) == ["copy", "source"]


def test_a_link_is_a_second_name(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"x")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")
    with pytest.raises(FileExistsError):
        link_or_copy(tmp_path / "a", tmp_path / "b")


def test_a_full_disk_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deriva_ml.files.sync", full)
    with pytest.raises(OSError, match=r"No space left.*make room there, then try again; nothing staged is lost.*/a"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_made_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep it lies: each level that tries again for itself would take for ever."""
    made: list[Path] = []

    def mkdir(path: Path, *_: object, **__: object) -> None:
        made.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(FileNotFoundError):
        make_folder(tmp_path / "a" / "b" / "c" / "d")
    assert set(made) == {tmp_path / "a"}
    assert len(made) <= 1000
