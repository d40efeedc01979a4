"""Uploads in chunks: begun, interrupted, finished, given up; in process and over HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

CONTENT = b"0123456789"
MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
CHUNKS = [b"0123", b"4567", b"89"]


def begin(send: Any, target: str, **said: Any) -> str:
    """Begin an upload of CONTENT and return the address of the job."""
    made = send("POST", f"{target};upload", {"chunk-length": 4, "content-length": 10, **said})
    assert made.status == 201, made.text
    assert made.text.endswith("\n")
    return str(made.text.strip())


def send_chunks(send: Any, job: str, *positions: int) -> None:
    for position in positions:
        assert send("PUT", f"{job}/{position}", CHUNKS[position]).status == 204


def test_chunks_in_any_order_become_a_version(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x", **{"content-type": "text/plain", "content-md5": MD5})
    send_chunks(send, job, 2, 0, 1)
    done = send("POST", job)
    assert (done.status, done.headers["location"]) == (201, done.text.strip())
    got = send("GET", f"{space}/x")
    assert (got.body, got.headers["content-type"]) == (CONTENT, "text/plain")
    assert (got.headers["content-md5"], got.headers["content-sha256"]) == (MD5, SHA256)
    assert got.headers["content-location"] == done.text.strip()
    assert send("POST", job).status == 404
    assert send("GET", job).status == 404
    assert send("PUT", f"{job}/0", CHUNKS[0]).status == 404


def test_a_job_is_shown(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x", **{"content-type": "text/plain", "content-sha256": SHA256})
    owner = send("GET", "/authn/session").json()["client"]["id"]
    assert send("GET", job).json() == {
        "url": job,
        "owner": [owner],
        "target": f"{space}/x",
        "chunk-length": 4,
        "content-length": 10,
        "content-type": "text/plain",
        "content-sha256": SHA256,
    }
    assert send("GET", f"{space}/x;upload").json() == [job]
    assert send("GET", f"{space}/x").status == 409
    assert send("GET", f"{space}/x;versions").json() == []


def test_other_spellings_of_the_fields(send: Any, space: str) -> None:
    said = {"chunk_bytes": 4, "total_bytes": 10, "content_md5": MD5, "content_type": "text/plain", "unknown": 1}
    made = send("POST", f"{space}/x;upload", said)
    shown = send("GET", made.text.strip()).json()
    assert (shown["chunk-length"], shown["content-length"], shown["content-md5"]) == (4, 10, MD5)


def test_parents_are_made_when_asked(send: Any, space: str) -> None:
    said = {"chunk-length": 4, "content-length": 10}
    assert send("POST", f"{space}/a/x;upload", said).status == 404
    assert send("POST", f"{space}/a/x;upload?parents=true", said).status == 201
    assert send("GET", f"{space}/a").json() == [f"{space}/a/x"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"chunk-length": 4},
        {"chunk-length": 0, "content-length": 10},
        {"chunk-length": -1, "content-length": 10},
        {"chunk-length": 4, "content-length": -1},
        {"chunk-length": "4", "content-length": 10},
        {"chunk-length": True, "content-length": 10},
        {"chunk-length": 4, "content-length": 2**63},
        {"chunk-length": 4, "content-length": 10, "content-md5": "nonsense"},
        {"chunk-length": 4, "content-length": 10, "content-disposition": "nonsense"},
        {"chunk-length": 4, "content-length": 10, "content-type": 7},
        [4, 10],
        b"no json",
    ],
)
def test_a_job_that_makes_no_sense(send: Any, space: str, said: Any) -> None:
    assert send("POST", f"{space}/x;upload", said).status == 400
    assert send("GET", space).json() == []


@pytest.mark.parametrize(
    ("chunk", "body", "headers", "status"),
    [
        ("0", b"0123", {}, 204),
        ("2", b"89", {}, 204),
        ("0", b"012", {}, 409),
        ("0", b"01234", {}, 409),
        ("2", b"8901", {}, 409),
        ("3", b"", {}, 409),
        ("-1", b"0123", {}, 400),
        ("x", b"0123", {}, 400),
        ("0", b"0123", {"Content-MD5": hashlib.md5(b"0123").hexdigest()}, 204),
        ("0", b"0123", {"Content-MD5": MD5}, 400),
        ("0", b"0123", {"Content-MD5": "nonsense"}, 400),
    ],
)
def test_one_chunk(send: Any, space: str, chunk: str, body: bytes, headers: dict[str, str], status: int) -> None:
    job = begin(send, f"{space}/x")
    assert send("PUT", f"{job}/{chunk}", body, headers).status == status


def test_a_chunk_beyond_what_a_file_can_be(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x", **{"content-length": 2**62})
    assert send("PUT", f"{job}/{2**58}", b"0123").status == 507


def test_a_chunk_is_only_written(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x")
    send_chunks(send, job, 0)
    assert send("GET", f"{job}/0").status == 405
    assert send("PUT", f"{job.rpartition('/')[0]}/UNKNOWN/0", CHUNKS[0]).status == 404


def test_an_unfinished_upload_is_not_finished(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x")
    send_chunks(send, job, 0, 2)
    early = send("POST", job)
    assert (early.status, "Chunk 1" in early.text) == (409, True)
    send_chunks(send, job, 1)
    assert send("POST", job).status == 201


def test_a_chunk_sent_again_counts_as_the_last_one_sent(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x", **{"content-md5": MD5})
    assert send("PUT", f"{job}/0", b"oops").status == 204
    send_chunks(send, job, 1, 2)
    assert send("POST", job).status == 409  # the checksum is another one; the job goes on
    bad = send("PUT", f"{job}/0", b"0123", {"Content-MD5": hashlib.md5(b"").hexdigest()})
    assert bad.status == 400
    assert "Chunk 0" in send("POST", job).text  # what was written over is no longer counted as there
    send_chunks(send, job, 0)
    assert send("POST", job).status == 201
    assert send("GET", f"{space}/x").body == CONTENT


def test_a_cancelled_upload_is_gone(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x")
    send_chunks(send, job, 0)
    assert send("DELETE", job).status == 204
    assert send("DELETE", job).status == 404
    assert send("POST", job).status == 404
    assert send("GET", f"{space}/x;upload").json() == []


def test_an_empty_content_needs_no_chunk(send: Any, space: str) -> None:
    made = send("POST", f"{space}/x;upload", {"chunk-length": 4, "content-length": 0})
    assert send("POST", made.text.strip()).status == 201
    assert send("GET", f"{space}/x").body == b""


def test_deleting_the_object_ends_its_uploads(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x")
    assert send("DELETE", f"{space}/x").status == 204
    assert send("PUT", f"{job}/0", CHUNKS[0]).status == 404


def test_an_upload_belongs_to_its_object(send: Any, space: str) -> None:
    job = begin(send, f"{space}/x")
    send("PUT", f"{space}/y", b"y")
    assert send("POST", job.replace("/x;", "/y;")).status == 404
    assert send("POST", f"{space};upload", {"chunk-length": 4, "content-length": 1}).status == 409


@pytest.mark.parametrize(("body", "status"), [(b" " * 2_000_000, 413), (b"[" * 100_000, 400)])
def test_a_document_that_is_an_attack(send: Any, space: str, body: bytes, status: int) -> None:
    assert send("POST", f"{space}/x;upload", body, {"Content-Type": "application/json"}).status == status
