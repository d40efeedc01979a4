"""The wire misbehaves: what is safe is repeated, what is doubtful read back, what is final explained; nothing hangs."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from wire_lab import Answer, Wire, scripted

from deriva_ml.catalog import objects, session
from deriva_ml.catalog.answers import is_repeatable, may_repeat, wait_asked
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import (
    DerivaMLAuthenticationError,
    DerivaMLCatalogError,
    DerivaMLConfigurationError,
    DerivaMLConflictError,
    DerivaMLException,
    DerivaMLIntegrityError,
    DerivaMLOfflineError,
    DerivaMLServerError,
)

TOKEN = {"bearer-token": "secret"}
LATER = datetime(2026, 1, 15, tzinfo=UTC)


def to(host: str) -> Catalog:
    return Catalog(RemotePort(host, TOKEN), "1")


# ----------------------------------------------------------------------------------------------------- what is repeated


@pytest.mark.parametrize(
    ("method", "path", "repeatable"),
    [
        ("GET", "/ermrest/catalog/1/schema", True),
        ("HEAD", "/hatrac/a", True),
        ("PUT", "/hatrac/a;upload/7/3", True),
        ("POST", "/hatrac/a;upload", False),
        ("POST", "/ermrest/catalog/1/entity/s:t?onconflict=skip&defaults=RID", True),
        ("POST", "/ermrest/catalog/1/entity/s:t?defaults=RID", False),
        ("POST", "/ermrest/catalog/1/schema", False),
        ("PUT", "/ermrest/catalog/1/entity/s:t", True),
        ("PUT", "/ermrest/catalog/1/attributegroup/s:t/RID;Status", True),
        ("PUT", "/ermrest/catalog/1/attributegroup/s:t/RID,o0:=Status;n0:=Status", False),
        ("PUT", "/ermrest/catalog/1/schema/s/table/t", False),
        ("DELETE", "/ermrest/catalog/1/entity/s:t/RID=1", False),
    ],
)
def test_what_may_be_done_twice(method: str, path: str, repeatable: bool) -> None:
    request = Request(method, path)
    assert is_repeatable(request) is repeatable
    assert may_repeat(request, 502) is repeatable
    assert may_repeat(request, 503)
    assert not may_repeat(request, 409)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("7", 7.0),
        ("99999", 60.0),
        ("Thu, 15 Jan 2026 00:00:05 GMT", 5.0),
        ("Wed, 14 Jan 2026 00:00:05 GMT", 0.0),
        ("²", None),
    ],
)
def test_how_long_a_server_asks_to_wait(text: str, seconds: float | None) -> None:
    assert wait_asked({"retry-after": text}, LATER) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(session, "pause", waits.append)
    with scripted(Answer(status, headers={"Retry-After": "7"}), Answer(status), Answer(200, b"[1]")) as server:
        assert to(server.host).get("/schema") == [1]
    assert waits == [7.0, 0.5]


@pytest.mark.parametrize(("status", "asked"), [(500, 4), (502, 4), (504, 4), (501, 1)])
def test_a_server_that_stays_ill_is_said(status: int, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "pause", lambda _: None)
    with scripted(Answer(status, b"ill")) as server, pytest.raises(DerivaMLException, match="ill"):
        to(server.host).get("/schema")
    assert len(server.asked) == asked


def test_a_write_that_may_have_been_done_is_not_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "pause", lambda _: None)
    with scripted(Answer(502, b"who knows")) as server, pytest.raises(DerivaMLServerError, match="who knows"):
        to(server.host).request("POST", "/entity/s:t", json=[])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, DerivaMLAuthenticationError, "log in with"),
        (403, DerivaMLCatalogError, "Ask the owner of the catalog"),
        (404, DerivaMLCatalogError, "no such thing"),
        (409, DerivaMLConflictError, "no such thing"),
        (412, DerivaMLConflictError, "Somebody changed it meanwhile: read it again"),
    ],
)
def test_what_is_final_is_explained_and_not_asked_again(status: int, kind: type[Exception], says: str) -> None:
    with scripted(Answer(status, b"no such thing")) as server:
        with pytest.raises(kind, match=says):
            to(server.host).request("POST", "/entity/s:t?onconflict=skip", json=[])
        assert len(server.asked) == 1


# ---------------------------------------------------------------------------------------------------- garbage and delays


def test_an_answer_that_was_damaged_is_read_again() -> None:
    with scripted(Answer(200, b'[{"RID": \xff'), Answer(200, b"[1]")) as server:
        assert to(server.host).get("/entity/s:t") == [1]


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[{", b"\xff\xfe"])
def test_garbage_is_an_error_that_says_so(body: bytes) -> None:
    with scripted(Answer(200, body)) as server:
        with pytest.raises(DerivaMLOfflineError, match="No catalog answered"):
            to(server.host).get("/entity/s:t")
        with pytest.raises(DerivaMLOfflineError, match="No catalog answered"):
            to(server.host).refresh()


@pytest.mark.parametrize("pause", [0.05, 3.0])
def test_a_server_that_trickles_or_is_silent_is_given_up(pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_TIMEOUT", "0.3")
    monkeypatch.setattr(session, "PAUSES", ())
    slow = Answer(200, b"[" + b" " * 500 + b"]", pause=pause)
    with scripted(slow) as server, pytest.raises(DerivaMLOfflineError, match="DERIVA_ML_TIMEOUT") as refused:
        to(server.host).get("/entity/s:t")
    assert refused.value.doubtful


@pytest.mark.parametrize("text", ["soon", "0", "-3", "inf", "nan"])
def test_a_time_out_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_TIMEOUT", text)
    with pytest.raises(DerivaMLConfigurationError, match=r"DERIVA_ML_TIMEOUT.*write a number of seconds"):
        RemotePort("http://localhost:1", TOKEN)


# -------------------------------------------------------------------------------------------------------------- sent on


def test_a_server_may_send_on_to_another_place_of_its_own() -> None:
    with scripted(Answer(307, b"", {"Location": "/there"}), Answer(200, b"[1]")) as server:
        assert to(server.host).get("/entity/s:t") == [1]
        assert [path for _, path, _ in server.asked] == ["/ermrest/catalog/1/entity/s:t", "/there"]
        assert all(headers["authorization"] == "Bearer secret" for _, _, headers in server.asked)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_another_host_gets_neither_credentials_nor_data(method: str) -> None:
    with scripted(Answer()) as stranger, scripted(Answer(307, b"", {"Location": f"{stranger.host}/x"})) as server:
        with pytest.raises(DerivaMLOfflineError, match="neither your credentials nor your data"):
            to(server.host).request(method, "/entity/s:t", body=b"mine")
        assert stranger.asked == []


@pytest.mark.parametrize("whole", [True, False])
def test_bytes_of_objects_may_come_from_another_host_which_gets_no_credentials(whole: bool, tmp_path: Path) -> None:
    body = b"bytes" if whole else b"bites"
    md5 = hashlib.md5(b"bytes").hexdigest()
    with (
        scripted(Answer(200, body)) as stranger,
        scripted(Answer(302, b"", {"Location": f"{stranger.host}/x"})) as server,
    ):
        if whole:
            assert objects.get(to(server.host), "/hatrac/a:1", tmp_path / "a", md5=md5).md5 == md5
        else:
            with pytest.raises(DerivaMLIntegrityError, match="damaged"):
                objects.get(to(server.host), "/hatrac/a:1", tmp_path / "a", md5=md5)
            assert list(tmp_path.iterdir()) == []
        assert [set(headers) & {"authorization", "cookie"} for _, _, headers in stranger.asked] == [set()]


def test_going_round_in_circles_ends() -> None:
    circle = Answer(307, b"", {"Location": "/again"})
    with scripted(circle) as server, pytest.raises(DerivaMLOfflineError, match="without an end"):
        to(server.host).get("/entity/s:t")


def test_a_login_page_instead_of_an_answer_to_a_write_is_said() -> None:
    with scripted(Answer(302, b"", {"Location": "/login"})) as server:
        with pytest.raises(DerivaMLOfflineError, match="302 to /login"):
            to(server.host).request("POST", "/entity/s:t", json=[])
        assert len(server.asked) == 1


def test_credentials_that_are_refused_are_said() -> None:
    with scripted(Answer(401, b"who?")) as server, pytest.raises(DerivaMLAuthenticationError, match="log in with"):
        to(server.host).get("/schema")


# --------------------------------------------------------------------------------------------------------------- chunks


@dataclass
class Journal:
    """Remembers an upload as the store does."""

    job: str | None = None
    chunks: Collection[int] = ()
    seen: list[int] = field(default_factory=list)

    def started(self, job: str) -> None:
        self.job, self.chunks = job, []

    def sent(self, chunk: int) -> None:
        self.seen.append(chunk)
        self.chunks = [*self.chunks, chunk]


CHUNK = 40_000
OVERHEAD = 40_000
"""Bytes for the headers of some twenty requests."""


@pytest.fixture
def wire(served_ml: str) -> Iterator[Wire]:
    parts = urlsplit(served_ml)
    made = Wire(str(parts.hostname), int(parts.port or 0))
    yield made
    made.close()


@pytest.mark.parametrize("turn", range(8))
def test_a_cut_at_any_byte_sends_at_most_one_chunk_again(
    turn: int, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CHUNK", CHUNK)
    monkeypatch.setattr(objects, "CHUNKED_ABOVE", CHUNK)
    monkeypatch.setattr(session, "PAUSES", ())
    content = os.urandom(10 * CHUNK + 123)
    file = tmp_path / "file"
    file.write_bytes(content)
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    path, journal = f"/hatrac/{md5}", Journal()

    def put() -> str:
        return objects.put(to(wire.host), path, file, md5=md5, sha256=sha256, length=len(content), resume=journal)

    wire.cut_after = random.randrange(2_000, len(content)) if turn else 2 * CHUNK
    with pytest.raises(DerivaMLOfflineError, match="Nothing staged is lost"):
        put()
    wire.cut_after = None
    url = put()
    assert len(content) <= wire.sent <= len(content) + CHUNK + OVERHEAD
    assert sorted(set(journal.seen)) == list(range(11))
    assert len(journal.seen) == 11
    assert objects.get(to(wire.host), url, tmp_path / "back", md5=md5).length == len(content)


def test_a_server_that_has_lost_chunks_gets_them_again(
    served_ml_store: Path, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was restored from a backup, say: it knows the upload, and not all of what it had taken."""
    monkeypatch.setattr(objects, "CHUNK", CHUNK)
    monkeypatch.setattr(objects, "CHUNKED_ABOVE", CHUNK)
    monkeypatch.setattr(session, "PAUSES", ())
    content = os.urandom(4 * CHUNK)
    file = tmp_path / "file"
    file.write_bytes(content)
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    path, journal = f"/hatrac/{md5}", Journal()

    def put() -> str:
        return objects.put(to(wire.host), path, file, md5=md5, sha256=sha256, length=len(content), resume=journal)

    wire.cut_after = 2 * CHUNK + 20_000
    with pytest.raises(DerivaMLOfflineError):
        put()
    wire.cut_after = None
    assert journal.job is not None
    (served_ml_store / "objects" / "uploads" / journal.job.rpartition("/")[2]).unlink()
    assert objects.get(to(wire.host), put(), tmp_path / "back", md5=md5).length == len(content)


def test_a_login_elsewhere_helps_a_process_that_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_TOKEN", "old")
    with scripted(Answer(401, b"who?"), Answer(200, b"[1]")) as server:
        catalog = Catalog(RemotePort(server.host), "1")
        server.asked.clear()  # what it was asked to tell its scheme
        monkeypatch.setenv("DERIVA_ML_TOKEN", "new")
        assert catalog.get("/schema") == [1]
        assert [headers["authorization"] for _, _, headers in server.asked] == ["Bearer old", "Bearer new"]
