"""Contents are whole or absent: files that are linked, processes that are killed, and what is swept after them."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deriva_local.objects.checksums import Checksums
from deriva_local.objects.content import Announced, Contents
from deriva_local.objects.store import ABANDONED_SECONDS, Objects, Told
from deriva_local.objects.uploads import Job
from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request
from deriva_local.wire.errors import Refusal

BYTES = b"some bytes" * 1000
ME = Client.owner("me")
SUMS = Checksums(hashlib.md5(BYTES).digest(), hashlib.sha256(BYTES).digest())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def objects(folder: Path) -> Iterator[Objects]:
    opened = Objects(folder)
    yield opened
    opened.close()


def files(folder: Path) -> list[Path]:
    """Return the files that hold bytes of objects, finished or not."""
    return sorted(path for path in (folder / "objects").rglob("*") if path.is_file() and path.suffix != ".lock")


def put(objects: Objects, name: str, body: bytes | Path | io.BytesIO, announced: Announced) -> Path:
    return objects.content(objects.put(name, body, announced, Told(), ME))


# --------------------------------------------------------------------------------------------------- files of this disk


def test_a_file_is_linked_and_belongs_to_the_store(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "sealed"
    source.write_bytes(BYTES)
    content = put(objects, "/x", source, Announced(len(BYTES), SUMS))
    assert content.samefile(source)
    assert source.stat().st_mode & 0o777 == 0o400
    source.unlink()
    assert content.read_bytes() == BYTES


@pytest.mark.parametrize(
    ("length", "sums"),
    [(len(BYTES) + 1, Checksums()), (len(BYTES) - 1, Checksums()), (len(BYTES), Checksums(b"0" * 16))],
)
@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_what_is_not_as_announced_leaves_nothing(
    objects: Objects, folder: Path, tmp_path: Path, length: int, sums: Checksums, kind: str
) -> None:
    (tmp_path / "source").write_bytes(BYTES)
    body = {"path": tmp_path / "source", "bytes": BYTES, "stream": io.BytesIO(BYTES)}[kind]
    if kind == "stream" and length < len(BYTES):
        length = len(BYTES) + 5  # a stream is read as far as announced: too long is for the wire to see
    with pytest.raises(Refusal) as refused:
        put(objects, "/x", body, Announced(length, sums))
    assert refused.value.status == 400
    assert files(folder) == []
    with pytest.raises(Refusal):
        objects.look("/x")


def test_a_sealed_file_is_taken_at_its_word_but_for_its_length(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "sealed"
    source.write_bytes(BYTES)
    claimed = Checksums(b"1" * 16, b"2" * 32)
    made = objects.put("/x", source, Announced(len(BYTES), claimed, sealed=True), Told(), ME)
    assert made.checksums == claimed
    with pytest.raises(Refusal):
        objects.put("/y", source, Announced(5, claimed, sealed=True), Told(), ME)


def test_half_a_claim_is_checked(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "sealed"
    source.write_bytes(BYTES)
    with pytest.raises(Refusal):
        objects.put("/x", source, Announced(len(BYTES), Checksums(b"1" * 16), sealed=True), Told(), ME)


def test_only_this_process_can_vouch_for_a_file(tmp_path: Path) -> None:
    service = Service(tmp_path / "store")
    (tmp_path / "f").write_bytes(BYTES)
    wrong = base64.b64encode(b"1" * 16).decode()
    headers = {
        "content-md5": wrong,
        "content-sha256": base64.b64encode(b"2" * 32).decode(),
        "x-deriva-local-trusted": "sealed",
    }
    answer = service.handle(Request("PUT", "/hatrac/x", headers, tmp_path / "f", service.owner))
    assert answer.status == 201
    told = service.handle(Request("HEAD", "/hatrac/x", {}, b"", service.owner))
    assert told.headers["Content-MD5"] == wrong
    sent = service.handle(Request("PUT", "/hatrac/y", headers, BYTES, service.owner))
    assert sent.status == 400
    service.close()


# ------------------------------------------------------------------------------------------------- many files together


def sealed(service: Service, path: str, file: Path, length: int = len(BYTES)) -> Request:
    """A request of this process that puts a sealed file where nothing is."""
    headers = {
        "content-md5": base64.b64encode(SUMS.md5 or b"").decode(),
        "content-sha256": base64.b64encode(SUMS.sha256 or b"").decode(),
        "content-length": str(length),
        "if-none-match": "*",
        "x-deriva-local-trusted": "sealed",
    }
    return Request("PUT", f"{path}?parents=true", headers, file, service.owner)


@pytest.mark.parametrize(
    ("last", "statuses"),
    [
        ("/hatrac/t/new", [201, 201, 412, 201]),
        ("/hatrac/t/a", [201, 201, 412, 412]),
        ("/hatrac/t/there/below", [201, 201, 412, 409]),
        ("/hatrac/t/wrong%", [201, 201, 412, 400]),
    ],
    ids=["new", "twice in one go", "below an object", "no name"],
)
def test_files_that_are_put_together_are_answered_as_one_by_one(tmp_path: Path, last: str, statuses: list[int]) -> None:
    (tmp_path / "sealed").write_bytes(BYTES)
    service = Service(tmp_path / "store")
    service.handle(sealed(service, "/hatrac/t/there", tmp_path / "sealed"))
    wanted = [
        sealed(service, path, tmp_path / "sealed") for path in ("/hatrac/t/a", "/hatrac/u/b", "/hatrac/t/there", last)
    ]
    answers = service.handle_together(wanted)
    assert [answer.status for answer in answers] == statuses
    made = [answer for answer in answers if answer.status == 201]
    assert len(files(tmp_path / "store")) == 1 + len(made)
    for answer in made:
        assert service.handle(Request("HEAD", answer.headers["Location"], {}, b"", service.owner)).status == 200
    service.close()


def test_one_file_that_is_not_as_announced_does_not_keep_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(BYTES)
    service = Service(tmp_path / "store")
    wanted = [sealed(service, "/hatrac/a", tmp_path / "sealed"), sealed(service, "/hatrac/b", tmp_path / "sealed", 5)]
    assert [answer.status for answer in service.handle_together(wanted)] == [201, 400]
    assert len(files(tmp_path / "store")) == 1
    service.close()


@pytest.mark.parametrize("missing", ["gone", "."])
def test_what_is_no_file(objects: Objects, tmp_path: Path, missing: str) -> None:
    with pytest.raises(Refusal) as refused:
        put(objects, "/x", tmp_path / missing, Announced(0, Checksums()))
    assert refused.value.status == 400


def test_a_file_of_another_disk_is_copied(objects: Objects, folder: Path, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        other = tmp_path  # one disk only: the file is linked, and the content is the same
    source = other / f"deriva-local-test-{os.getpid()}"
    source.write_bytes(BYTES)
    try:
        content = put(objects, "/x", source, Announced(len(BYTES), SUMS))
        assert content.read_bytes() == BYTES
        assert content.stat().st_mode & 0o777 == 0o400
    finally:
        source.unlink()


def test_only_the_owner_can_read_what_is_stored(objects: Objects, folder: Path) -> None:
    put(objects, "/x", BYTES, Announced(len(BYTES), SUMS))
    modes = {path.relative_to(folder).parts[0]: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert [path.stat().st_mode & 0o777 for path in files(folder)] == [0o400]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk: both end a write in the middle."""
    told = run(
        tmp_path / "store",
        """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            objects.put("/x", bytes(400_000), Announced(400_000, Checksums()), Told(), ME)
        except Refusal as refusal:
            print(refusal.status)
        """,
    )
    assert told == "507"
    assert files(tmp_path / "store") == []


# ------------------------------------------------------------------------------------------------------------ killed

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from deriva_local.objects.checksums import Checksums
from deriva_local.objects.content import Announced, Contents
from deriva_local.objects.store import Objects, Told
from deriva_local.objects.uploads import Job
from deriva_local.service.messages import Client
from deriva_local.wire.errors import Refusal
objects, ME = Objects(Path(sys.argv[1])), Client.owner("me")
"""


def child(folder: Path, script: str) -> subprocess.Popen[str]:
    source = PRELUDE + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", source, str(folder)], stdout=subprocess.PIPE, text=True)


def run(folder: Path, script: str) -> str:
    """Run a script in a process of its own, on the store in ``folder``; return what it prints."""
    process = child(folder, script)
    return process.communicate(timeout=60)[0].strip()


HALF_SENT = """
class Half:
    def read(self, size):
        if self.sent:
            print("half", flush=True)
            time.sleep(60)
        self.sent = True
        return bytes(1000)
    sent = False
objects.put("/x", Half(), Announced(2000, Checksums()), Told(), ME)
"""


def test_killed_in_the_middle_of_a_put(folder: Path) -> None:
    process = child(folder, HALF_SENT)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    left = files(folder)
    assert [path.parent.name for path in left] == ["incoming"]
    Objects(folder).sweep()
    assert files(folder) == left, "what a living process is sending is left alone"
    process.kill()
    process.communicate()
    objects = Objects(folder)
    assert files(folder) == []
    assert objects.children(objects.look(""), ME) == []


@pytest.mark.parametrize("place", ["add_version", "find"])
def test_killed_after_the_content_and_before_its_row(folder: Path, place: str) -> None:
    run(
        folder,
        f"""
        from deriva_local.objects import rows
        objects.put("/kept", b"kept", Announced(4, Checksums()), Told(), ME)
        kept = rows.{place}
        def die(*given):
            if not list((Path(sys.argv[1]) / "objects" / "incoming").iterdir()):
                return kept(*given)
            os.kill(os.getpid(), signal.SIGKILL)
        rows.{place} = die
        objects.put("/x", b"xxxx", Announced(4, Checksums()), Told(), ME)
        """,
    )
    assert len(files(folder)) == 3
    objects = Objects(folder)
    assert len(files(folder)) == 1
    assert objects.children(objects.look(""), ME) == ["/hatrac/kept"]


def test_killed_after_the_row_and_before_cleaning_up(folder: Path) -> None:
    run(
        folder,
        """
        kept = Path.unlink
        Path.unlink = lambda path, **_: os.kill(os.getpid(), signal.SIGKILL)
        objects.put("/x", b"xxxx", Announced(4, Checksums()), Told(), ME)
        """,
    )
    assert len(files(folder)) == 2
    objects = Objects(folder)
    assert [path.read_bytes() for path in files(folder)] == [b"xxxx"]
    assert objects.content(objects.version(objects.look("/x"), None, ME)) == files(folder)[0]


def test_killed_in_the_middle_of_a_deletion(folder: Path) -> None:
    run(
        folder,
        """
        for name in ("/x", "/y"):
            objects.put(name, b"xxxx", Announced(4, Checksums()), Told(), ME)
        Path.unlink = lambda path, **_: os.kill(os.getpid(), signal.SIGKILL)
        objects.delete("/x", None, ME)
        """,
    )
    objects = Objects(folder)
    assert objects.children(objects.look(""), ME) == ["/hatrac/y"]
    assert files(folder) == [objects.content(objects.version(objects.look("/y"), None, ME))]


def test_killed_at_random_moments(folder: Path) -> None:
    """What was acknowledged is there and whole; what was not is there and whole, or absent."""
    endless = """
    for number in range(100_000):
        body = str(number).encode() * 5000
        objects.put(f"/{os.getpid()}-{number}", body, Announced(len(body), Checksums()), Told(), ME)
        print(f"/{os.getpid()}-{number}", flush=True)
    """
    acknowledged: list[str] = []
    for moment in range(6):
        process = child(folder, endless)
        assert process.stdout is not None
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(0.007 * moment)
        process.send_signal(signal.SIGKILL)
        acknowledged += process.communicate()[0].split()
    objects = Objects(folder)
    there = [name.removeprefix("/hatrac") for name in objects.children(objects.look(""), ME)]
    assert set(acknowledged) <= set(there)
    assert len(files(folder)) == len(there)
    for name in there:
        content = objects.content(objects.version(objects.look(name), None, ME))
        assert content.read_bytes() == name.rpartition("-")[2].encode() * 5000


# ------------------------------------------------------------------------------------------------------------ uploads


def job(objects: Objects) -> Job:
    return objects.start_job("/x", Job("", "/x", "me", 4, 8, Checksums()), ME, parents=False)


def test_an_upload_goes_on_after_its_process_was_killed(folder: Path, objects: Objects) -> None:
    begun = job(objects)
    run(
        folder,
        f"""
        found = objects.look("/x")
        objects.put_chunk(found, objects.job(found, "{begun.id}", ME), 1, b"5678", 4, Checksums())
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    after = Objects(folder)
    found = after.look("/x")
    after.put_chunk(found, begun, 0, b"1234", 4, Checksums())
    made = after.finish_job(found, begun.id, ME)
    assert after.content(made).read_bytes() == b"12345678"
    assert after.content(made).stat().st_mode & 0o777 == 0o400
    assert len(files(folder)) == 1


def test_an_upload_that_nobody_touches_for_a_month_is_given_up(
    folder: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = job(objects)
    objects.put_chunk(objects.look("/x"), begun, 0, b"1234", 4, Checksums())
    Objects(folder)
    assert objects.jobs(objects.look("/x"), ME) == [begun.id]
    later = time.time() + ABANDONED_SECONDS + 10
    monkeypatch.setattr(time, "time", lambda: later)
    Objects(folder)
    assert objects.jobs(objects.look("/x"), ME) == []
    assert files(folder) == []


# ------------------------------------------------------------------------------------------------------- many at once


def test_two_processes_upload_at_the_same_time(folder: Path) -> None:
    script = """
    for number in range(40):
        body = f"{os.getpid()} {number}".encode()
        objects.put(f"/a/{number}", body, Announced(len(body), Checksums()), Told(), ME, parents=True)
    print(os.getpid())
    """
    processes = [child(folder, script) for _ in range(2)]
    pids = {process.communicate(timeout=60)[0].strip() for process in processes}
    objects = Objects(folder)
    names = objects.children(objects.look("/a"), ME)
    assert len(names) == 40
    for name in names:
        found = objects.look(name.removeprefix("/hatrac"))
        versions = [version.rpartition(":")[2] for version in objects.versions(found, ME)]
        contents = {objects.content(objects.version(found, version, ME)).read_text() for version in versions}
        assert contents == {f"{pid} {name.rpartition('/')[2]}" for pid in pids}


def test_many_processes_make_one_store(folder: Path) -> None:
    processes = [child(folder, "print(objects.look('').kind)") for _ in range(8)]
    assert {process.communicate(timeout=60)[0].strip() for process in processes} == {"namespace"}


def test_threads_share_a_store(objects: Objects) -> None:
    def upload(number: int) -> str:
        body = str(number).encode()
        return objects.put("/x", body, Announced(len(body), Checksums()), Told(), ME).version

    with ThreadPoolExecutor(4) as pool:
        versions = set(pool.map(upload, range(40)))
    assert len(versions) == 40
    assert len(objects.versions(objects.look("/x"), ME)) == 40


def test_a_forked_child_goes_on(objects: Objects) -> None:
    objects.put("/before", b"1", Announced(1, Checksums()), Told(), ME)
    child_id = os.fork()
    if child_id == 0:
        status = 1
        try:
            objects.put("/child", b"2", Announced(1, Checksums()), Told(), ME)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child_id, 0)[1] == 0
    objects.put("/after", b"3", Announced(1, Checksums()), Told(), ME)
    assert objects.children(objects.look(""), ME) == ["/hatrac/after", "/hatrac/before", "/hatrac/child"]


@pytest.mark.parametrize(("turns_up", "left"), [(True, 1), (False, 0)])
def test_a_row_that_was_refused_and_may_turn_up_keeps_its_content_till_the_sweep(
    folder: Path, turns_up: bool, left: int
) -> None:
    """A log that was written and could not be synced is found at the next opening."""
    contents = Contents(folder / "objects")

    def fails() -> None:
        with contents.arriving("ABC", b"abc", Announced(3, Checksums())):
            raise OSError(5, "the log cannot be synced")

    with pytest.raises(OSError, match="cannot be synced"):
        fails()
    assert contents.sweep(lambda version: turns_up) == ["ABC"]
    assert len(contents.files()) == left


def test_a_deletion_that_may_turn_up_leaves_its_mark_for_the_sweep(folder: Path) -> None:
    contents = Contents(folder / "objects")
    with contents.arriving("ABC", b"abc", Announced(3, Checksums())):
        pass

    def fails() -> None:
        with contents.leaving(["ABC"]):
            raise OSError(5, "the log cannot be synced")

    with pytest.raises(OSError, match="cannot be synced"):
        fails()
    assert len(contents.files()) == 1
    contents.sweep(lambda version: False)
    assert contents.files() == []
