"""Objects, by both roads: put once, got whole and verified, resumed where an upload was cut."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog import objects
from deriva_ml.catalog.objects import find, get, head, object_path, put
from deriva_ml.catalog.port import Response
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLException, DerivaMLIntegrityError
from deriva_ml.files import Digest, hash_file


def sealed(path: Path, content: bytes) -> tuple[Path, Digest]:
    path.write_bytes(content)
    return path, hash_file(path)


def put_file(ml: DerivaML, path: str, file: Path, digest: Digest, **more: object) -> str:
    facts = {"md5": digest.md5, "sha256": digest.sha256, "length": digest.length, "filename": file.name}
    return put(ml.session, path, file, **{**facts, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 10_000])
def test_there_and_back(ml: DerivaML, tmp_path: Path, content: bytes) -> None:
    file, digest = sealed(tmp_path / "scan 1.png", content)
    url = put_file(ml, object_path("Image", f"{digest.md5}.scan 1.png"), file, digest)
    assert url.startswith("/hatrac/Image/") and ":" in url
    assert get(ml.session, url, tmp_path / "got", md5=digest.md5) == digest
    assert (tmp_path / "got").read_bytes() == content
    described = head(ml.session, url)
    assert described is not None
    assert (described.md5, described.sha256, described.length) == (digest.md5, digest.sha256, digest.length)


def test_what_is_there_is_not_sent_again(
    ml: DerivaML, tmp_path: Path, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    first = put_file(ml, "/hatrac/t/a.bin", file, digest)
    sent = requests_of(ml)
    assert put_file(ml, "/hatrac/t/a.bin", file, digest) == first
    linked = ["PUT /hatrac/t/a.bin?parents=true", "HEAD /hatrac/t/a.bin"]  # offering a link costs less than asking
    assert sent == (linked if ml.session.port.links_files else ["HEAD /hatrac/t/a.bin"])


def test_other_bytes_under_the_same_name_are_refused(ml: DerivaML, tmp_path: Path) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    put_file(ml, "/hatrac/t/a.bin", file, digest)
    other, other_digest = sealed(tmp_path / "b.bin", b"xyz")
    with pytest.raises(DerivaMLIntegrityError, match="other bytes"):
        put_file(ml, "/hatrac/t/a.bin", other, other_digest)


def test_the_store_keeps_its_bytes_when_the_users_file_goes(ml: DerivaML, tmp_path: Path) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    url = put_file(ml, "/hatrac/t/a.bin", file, digest)
    file.unlink()
    get(ml.session, url, tmp_path / "got")
    (tmp_path / "got").write_bytes(b"changed by the user")
    get(ml.session, url, tmp_path / "again", md5=digest.md5)
    assert (tmp_path / "again").read_bytes() == b"abc"


def test_a_wrong_checksum_leaves_nothing(ml: DerivaML, tmp_path: Path) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    url = put_file(ml, "/hatrac/t/a.bin", file, digest)
    with pytest.raises(DerivaMLIntegrityError, match="damaged: MD5"):
        get(ml.session, url, tmp_path / "got", md5="0" * 32)
    with pytest.raises(DerivaMLCatalogError) as error:
        get(ml.session, "/hatrac/t/absent", tmp_path / "got")
    assert error.value.status == 404
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".got", "got"))] == []


def test_many_are_found_and_the_rest_left_out(ml: DerivaML, tmp_path: Path) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    paths = [f"/hatrac/t/{n}" for n in range(3)]
    for path in paths:
        put_file(ml, path, file, digest)
    found = find(ml.session, [*paths, "/hatrac/t/absent", paths[0]])
    assert list(found) == paths
    assert {one.length for one in found.values()} == {3}


def test_absolute_addresses_are_understood() -> None:
    assert objects.object_address("https://data.example.org/hatrac/a/b:V1") == "/hatrac/a/b:V1"
    assert objects.object_address("/hatrac/a/b:V1") == "/hatrac/a/b:V1"


class Journal:
    """What a caller remembers of an upload."""

    def __init__(self) -> None:
        self.job: str | None = None
        self.done: list[int] = []

    @property
    def chunks(self) -> Collection[int]:
        return self.done

    def started(self, job: str) -> None:
        self.job, self.done = job, []

    def sent(self, chunk: int) -> None:
        self.done.append(chunk)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "CHUNK", 1000)
    monkeypatch.setattr(objects, "CHUNKED_ABOVE", 2500)
    monkeypatch.setattr(objects, "AT_ONCE", 1)


def test_a_large_file_goes_in_chunks_and_reports_them(
    remote_ml: DerivaML, tmp_path: Path, small_chunks: None, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    file, digest = sealed(tmp_path / "big.bin", bytes(range(256)) * 20)
    reported: list[tuple[int, int]] = []
    sent = requests_of(remote_ml)
    path = object_path("chunked", tmp_path.name, "big.bin")
    url = put_file(remote_ml, path, file, digest, progress=lambda done, total: reported.append((done, total)))
    assert len([line for line in sent if line.startswith("PUT")]) == 6
    assert reported[0] == (1000, 5120) and reported[-1] == (5120, 5120)
    assert get(remote_ml.session, url, tmp_path / "got") == digest


def test_a_cut_upload_goes_on_at_the_last_chunk(
    remote_ml: DerivaML,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
    requests_of: Callable[[DerivaML], list[str]],
) -> None:
    file, digest = sealed(tmp_path / "big.bin", bytes(range(256)) * 20)
    path = object_path("cut", tmp_path.name, "big.bin")
    journal = Journal()
    real = remote_ml.session.hatrac

    def cut(method: str, path: str, **more: Any) -> Response:
        if method == "PUT" and path.endswith("/3"):
            raise ConnectionResetError("the cable")
        return real(method, path, **more)

    with monkeypatch.context() as cable, pytest.raises(ConnectionResetError):
        cable.setattr(remote_ml.session, "hatrac", cut)
        put_file(remote_ml, path, file, digest, resume=journal)
    assert journal.done == [0, 1, 2]

    sent = requests_of(remote_ml)
    url = put_file(remote_ml, path, file, digest, resume=journal)
    assert [line.rpartition("/")[2] for line in sent if line.startswith("PUT")] == ["3", "4", "5"]
    assert get(remote_ml.session, url, tmp_path / "got") == digest


def test_a_job_that_the_server_forgot_begins_anew(remote_ml: DerivaML, tmp_path: Path, small_chunks: None) -> None:
    file, digest = sealed(tmp_path / "big.bin", bytes(range(256)) * 20)
    journal = Journal()
    journal.job, journal.done = "/hatrac/forgotten/big.bin;upload/NOSUCHJOB", [0, 1, 2, 3, 4, 5]
    path = object_path("anew", tmp_path.name, "big.bin")
    url = put_file(remote_ml, path, file, digest, resume=journal)
    assert journal.done == [0, 1, 2, 3, 4, 5] and journal.job != "/hatrac/forgotten/big.bin;upload/NOSUCHJOB"
    assert get(remote_ml.session, url, tmp_path / "got") == digest


def test_damaged_bytes_are_refused_by_the_store(ml: DerivaML, tmp_path: Path) -> None:
    file, digest = sealed(tmp_path / "a.bin", b"abc")
    if ml.session.port.links_files:
        file = tmp_path / "absent.bin"  # an embedded store links what is sealed; a sealed file that is gone is an error
    wrong = Digest("0" * 32, digest.sha256, digest.length)
    with pytest.raises((DerivaMLException, OSError)):
        put_file(ml, "/hatrac/t/damaged.bin", file, wrong)
    assert head(ml.session, "/hatrac/t/damaged.bin") is None


@pytest.mark.parametrize("size", [3, 5_000_000])
def test_bytes_that_the_store_has_lost_are_said_to_be_lost(embedded_ml: DerivaML, tmp_path: Path, size: int) -> None:
    file, digest = sealed(tmp_path / "a.bin", bytes(size))
    url = put_file(embedded_ml, "/hatrac/t/a.bin", file, digest)
    kept = [each for each in (tmp_path / "home").rglob("*") if each.is_file() and each.samefile(file)]
    assert kept, "an embedded store links what is sealed"
    for each in kept:
        each.unlink()
    with pytest.raises(DerivaMLIntegrityError, match=r"lost the bytes of an object.*Bring it back from a backup"):
        get(embedded_ml.session, url, tmp_path / "got", md5=digest.md5)
    assert not (tmp_path / "got").exists()
