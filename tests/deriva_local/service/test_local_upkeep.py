"""A store is checked, copied while it is used, restored, and freed of empty space."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from deriva_local.service.app import Service
from deriva_local.service.backup import copy_store
from deriva_local.service.check import check
from deriva_local.service.messages import FileSlice, Request
from deriva_local.service.unfinished import unfinished
from deriva_local.store.place import StoreProblem
from deriva_local.users.accounts import Accounts

CLI = [sys.executable, "-m", "deriva_ml.cli.main", "serve"]


def send(service: Service, method: str, target: str, body: Any = b"") -> tuple[int, bytes]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if isinstance(body, bytes) else {"content-type": "application/json"}
    answer = service.handle(Request(method, target, kind, sent, service.owner))
    if isinstance(answer.body, FileSlice):
        return answer.status, answer.body.path.read_bytes()
    return answer.status, bytes(answer.body)  # type: ignore[arg-type]


def fill(service: Service) -> None:
    """Make a catalog with two tables that refer to each other, an object with two versions, and one in a folder."""
    assert send(service, "POST", "/ermrest/catalog", {"id": "lab"})[0] == 201
    schema = {"schema_name": "S", "tables": {"T": table("T", "Name"), "U": table("U", "T")}}
    schema["tables"]["U"]["foreign_keys"] = [  # type: ignore[index]
        {
            "foreign_key_columns": [{"schema_name": "S", "table_name": "U", "column_name": "T"}],
            "referenced_columns": [{"schema_name": "S", "table_name": "T", "column_name": "Name"}],
        }
    ]
    assert send(service, "POST", "/ermrest/catalog/lab/schema", {"schemas": {"S": schema}})[0] == 201
    for name, column in (("T", "Name"), ("U", "T")):
        assert send(service, "POST", f"/ermrest/catalog/lab/entity/S:{name}", [{column: "a"}, {column: "b"}])[0] == 200
    for name, content in (("x", b"one"), ("x", b"two"), ("a/y", b"three")):
        assert send(service, "PUT", f"/hatrac/{name}?parents=true", content)[0] == 201


def table(name: str, column: str) -> dict[str, Any]:
    kinds = (
        ("RID", "ermrest_rid"),
        ("RCT", "ermrest_rct"),
        ("RMT", "ermrest_rmt"),
        ("RCB", "ermrest_rcb"),
        ("RMB", "ermrest_rmb"),
    )
    columns = [{"name": each, "type": {"typename": kind}, "nullok": each in ("RCB", "RMB")} for each, kind in kinds]
    columns.append({"name": column, "type": {"typename": "text"}, "nullok": False})
    keys = [{"unique_columns": ["RID"]}, {"unique_columns": [column]}]
    return {"table_name": name, "column_definitions": columns, "keys": keys}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    service = Service(tmp_path / "store")
    fill(service)
    service.admission.accounts.add("ada", "x", ["admin"])
    service.admission.accounts.give("ada", "session", 1000)
    service.close()
    return tmp_path / "store"


def contents(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "objects").glob("?/*"))


def forget_log(path: Path) -> None:
    """Remove the log of a database, out of which SQLite would heal it."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def physical(db: apsw.Connection, name: str) -> tuple[str, str]:
    """Return the physical names of a table and of its own column."""
    rows = [
        (rid, kind, parent, json.loads(doc))
        for rid, kind, parent, doc in db.execute("SELECT rid, kind, parent, doc FROM element")
    ]
    rid = next(rid for rid, kind, _, doc in rows if kind == "table" and name in doc.values())
    columns = [row[0] for row in db.execute(f"SELECT name FROM pragma_table_info('t{rid}')")]
    return f"t{rid}", next(column for column in columns if column.startswith("c"))


# --------------------------------------------------------------------------------------------------------------- check


def test_nothing_is_wrong_with_a_store(folder: Path) -> None:
    report = check(folder)
    assert (report.problems, report.notes) == ((), ())
    assert (report.databases, report.contents) == (4, 3)
    assert report.tables == 5


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: (path.chmod(0o600), path.write_bytes(b"owt")), "damaged"),
        (lambda path: (path.chmod(0o600), path.write_bytes(b"longer")), "has 6 bytes, not 3"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "is missing"),
        (lambda path: (path.unlink(), path.mkdir()), "is missing"),
    ],
)
def test_a_content_that_is_not_what_it_was(folder: Path, spoil: Callable[[Path], Any], told: str) -> None:
    spoiled = next(path for path in contents(folder) if path.read_bytes() == b"two")
    spoil(spoiled)
    (problem,) = check(folder).problems
    assert told in problem and "/hatrac/x:" in problem and str(spoiled) in problem


def test_a_database_that_is_damaged(folder: Path) -> None:
    path = folder / "catalogs" / "1" / "catalog.sqlite"
    raw = bytearray(path.read_bytes())
    for place in range(8192, len(raw), 4096):
        raw[place : place + 200] = b"\xff" * 200
    path.write_bytes(raw)
    forget_log(path)
    problems = check(folder).problems
    assert problems and all(str(path) in problem for problem in problems)


def test_a_catalog_that_is_missing_and_one_that_is_not_known(folder: Path) -> None:
    (folder / "catalogs" / "1").rename(folder / "catalogs" / "9")
    report = check(folder)
    assert "Catalog 'lab'" in report.problems[0]
    assert "belongs to no catalog" in report.notes[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE {u} SET {uc} = 'nowhere' WHERE {uc} = 'a'", "U"),
        ("UPDATE {t} SET {tc} = NULL WHERE {tc} = 'a'", "must have a value"),
    ],
)
def test_rules_that_rows_break(folder: Path, change: str, told: str) -> None:
    db = apsw.Connection(str(folder / "catalogs" / "1" / "catalog.sqlite"))
    (t, tc), (u, uc) = physical(db, "T"), physical(db, "U")
    for trigger in [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]:
        db.execute(f'DROP TRIGGER "{trigger}"')
    db.execute(change.format(t=t, tc=tc, u=u, uc=uc))
    db.close()
    problems = check(folder).problems
    assert any(told in problem for problem in problems), problems
    assert all(problem.startswith("Catalog 'lab': ") for problem in problems)


def test_what_belongs_to_nothing_is_a_note(folder: Path) -> None:
    stray = folder / "objects" / "A" / ("A" * 26)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    report = check(folder)
    assert (report.problems, report.notes) == ((), (f"{stray} is the content of nothing.",))


def test_no_store_is_no_good_store(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="There is no store"):
        check(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ backup and restore


def test_a_copy_is_a_store_with_everything_but_secrets(folder: Path, tmp_path: Path) -> None:
    (folder / "token").write_text("secret")
    copied = copy_store(folder, tmp_path / "copy")
    assert (copied.catalogs, copied.contents, copied.bytes, copied.problems) == (1, 3, 11, ())
    assert check(tmp_path / "copy").problems == ()
    assert not (tmp_path / "copy" / "token").exists()
    service = Service(tmp_path / "copy")
    assert send(service, "GET", "/hatrac/x") == (200, b"two")
    assert send(service, "GET", "/ermrest/catalog/lab/attribute/S:T/Name@sort(Name)") == (
        200,
        b'[{"Name":"a"},\n{"Name":"b"}]\n',
    )
    accounts = service.admission.accounts
    assert accounts.is_password("ada", "x") and accounts.user("ada").groups == ("admin",)
    with accounts._tables.read() as db:
        assert db.execute("SELECT count(*) FROM ticket").get == 0
    fill_more = send(service, "POST", "/ermrest/catalog/lab/entity/S:T", [{"Name": "c"}])
    assert fill_more[0] == 200
    service.close()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "store"]


def test_a_copy_of_a_store_that_is_being_written_to(tmp_path: Path) -> None:
    service = Service(tmp_path / "store")
    fill(service)
    stop, failures = threading.Event(), []

    def write(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            name = f"{number}-{count}"
            statuses = (
                send(service, "PUT", f"/hatrac/busy/{name}?parents=true", name.encode())[0],
                send(service, "POST", "/ermrest/catalog/lab/entity/S:T", [{"Name": name}])[0],
                send(service, "DELETE", f"/hatrac/busy/{name}")[0] if count % 3 == 0 else 204,
            )
            if statuses != (201, 200, 204):
                failures.append(statuses)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    reports = []
    for number in range(3):
        copied = copy_store(tmp_path / "store", tmp_path / f"copy{number}")
        reports.append((copied.problems, check(tmp_path / f"copy{number}").problems))
    stop.set()
    for writer in writers:
        writer.join()
    service.close()
    assert failures == []
    assert reports == [((), ())] * 3


def test_a_damaged_content_is_copied_and_said(folder: Path, tmp_path: Path) -> None:
    spoiled, lost, _ = contents(folder)
    spoiled.chmod(0o600)
    spoiled.write_bytes(b"spoiled")
    lost.unlink()
    copied = copy_store(folder, tmp_path / "copy")
    assert sorted(problem.partition(" is ")[0] for problem in copied.problems) == sorted([str(spoiled), str(lost)])
    assert copied.contents == 1


@pytest.mark.parametrize("place", ["copy", ".", "inner", "../store/catalogs/2"])
def test_places_that_are_no_place_for_a_copy(folder: Path, place: str) -> None:
    (folder.parent / "copy").mkdir()
    (folder.parent / "copy" / "mine").write_text("mine")
    target = folder / place if place != "copy" else folder.parent / "copy"
    with pytest.raises(StoreProblem):
        copy_store(folder, target)
    assert (folder.parent / "copy" / "mine").read_text() == "mine"
    assert check(folder).problems == ()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["copy", "store"]


def test_a_copy_that_fails_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "hatrac.sqlite").write_bytes(b"no database at all" * 1000)
    forget_log(folder / "hatrac.sqlite")
    with pytest.raises(StoreProblem):
        copy_store(folder, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_copy_shares_what_an_earlier_one_has(folder: Path, tmp_path: Path) -> None:
    copy_store(folder, tmp_path / "monday")
    service = Service(folder)
    assert send(service, "PUT", "/hatrac/new", b"four!")[0] == 201
    assert send(service, "DELETE", "/hatrac/a/y")[0] == 204
    service.close()
    spoiled = next(path for path in contents(tmp_path / "monday") if path.read_bytes() == b"one")
    spoiled.chmod(0o600)
    spoiled.write_bytes(b"shorter or longer")  # not what it was: it is copied again
    copied = copy_store(folder, tmp_path / "tuesday", since=tmp_path / "monday")
    assert (copied.contents, copied.shared, copied.bytes, copied.problems) == (3, 1, len(b"one" + b"four!"), ())
    (both,) = [path for path in contents(tmp_path / "tuesday") if path.stat().st_nlink == 2]
    assert both.read_bytes() == b"two"
    shutil.rmtree(tmp_path / "monday")
    assert check(tmp_path / "tuesday").problems == ()
    restored = copy_store(tmp_path / "tuesday", tmp_path / "restored")
    assert (restored.contents, restored.shared) == (3, 0)


def test_a_copy_since_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="There is no store"):
        copy_store(folder, tmp_path / "copy", since=tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


KILLED = """
import os, signal, sys
from pathlib import Path
from deriva_local.service import backup
steps = 0
real = backup.sync_folder
def die(folder):
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(folder)
backup.sync_folder = die
backup.copy_store(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("step", [1, 2])
def test_a_copy_that_is_killed_is_not_there(folder: Path, tmp_path: Path, step: int) -> None:
    target = tmp_path / "copy"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(target), str(step)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    with unfinished(tmp_path / "another") as living:
        (living / "registry.sqlite").write_bytes(b"")
        assert copy_store(folder, target).problems == ()
        assert sorted(path.name for path in tmp_path.iterdir()) == [living.name, "copy", "store"]
        living.rename(tmp_path / "another")


EVIL = [
    ("registry.sqlite", "UPDATE catalog SET folder = '../../outside'"),
    ("registry.sqlite", "UPDATE catalog SET folder = '/etc'"),
    ("registry.sqlite", "UPDATE catalog SET folder = '.'"),
    ("hatrac.sqlite", "UPDATE version SET version = '../../../outside/secret' WHERE number = 1"),
    ("hatrac.sqlite", "UPDATE version SET version = x'2e2e' WHERE number = 1"),
]


@pytest.mark.parametrize(("file", "change"), EVIL)
def test_a_backup_that_names_what_lies_outside_is_refused(folder: Path, tmp_path: Path, file: str, change: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    db = apsw.Connection(str(folder / file))
    db.execute(change)
    db.close()
    with pytest.raises(StoreProblem, match="is not the name of anything in a store"):
        copy_store(folder, tmp_path / "restored")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "store"]


@pytest.mark.parametrize("what", ["content", "letter", "catalog", "catalog file", "registry"])
def test_a_backup_with_links_is_refused(folder: Path, tmp_path: Path, what: str) -> None:
    content = contents(folder)[0]
    place = {
        "content": content,
        "letter": content.parent,
        "catalog": folder / "catalogs" / "1",
        "catalog file": folder / "catalogs" / "1" / "catalog.sqlite",
        "registry": folder / "registry.sqlite",
    }[what]
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    with pytest.raises(StoreProblem, match="is a link"):
        copy_store(folder, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


# -------------------------------------------------------------------------------------------------------- command line


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_checking_at_the_command_line(folder: Path) -> None:
    done = serve("check", "--store", str(folder))
    assert (done.returncode, done.stdout) == (
        0,
        f"Nothing is wrong with {folder} (4 databases, 5 tables, 3 contents).\n",
    ), done.stderr
    contents(folder)[0].unlink()
    done = serve("check", "--store", str(folder))
    assert (done.returncode, done.stderr.count("Problem: "), "1 problems in" in done.stdout) == (1, 1, True)
    shown = json.loads(serve("check", "--json", "--store", str(folder)).stdout)
    assert (shown["contents"], len(shown["problems"])) == (3, 1)
    nowhere = serve("check", "--store", str(folder / "nowhere"))
    assert (nowhere.returncode, nowhere.stderr) == (1, f"Error: There is no store in {folder / 'nowhere'}.\n")


def test_a_served_store_is_backed_up_and_restored(
    start_server: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    server = start_server(folder)
    try:
        done = serve("backup", "--store", str(folder), str(tmp_path / "b"))
        assert (done.returncode, "1 catalogs, 3 contents (11 bytes)" in done.stdout) == (0, True), done.stderr
        again = serve("backup", "--store", str(folder), "--since", str(tmp_path / "b"), str(tmp_path / "c"))
        assert "3 contents, 3 of them shared with the earlier backup (0 bytes)" in again.stdout, again.stderr
        assert server.send("DELETE", "/hatrac/x").status == 204
        assert server.send("DELETE", "/ermrest/catalog/lab").status == 204
    finally:
        assert server.stop() == 0
        server.process.communicate()
    assert serve("restore", "--store", str(folder), str(tmp_path / "b")).returncode == 1
    done = serve("restore", "--store", str(tmp_path / "again"), str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    again = start_server(tmp_path / "again")
    try:
        assert again.send("GET", "/hatrac/x").body == b"two"
        assert again.send("GET", "/ermrest/catalog/lab/aggregate/S:U/n:=cnt(*)").json() == [{"n": 2}]
    finally:
        again.stop()
        again.process.communicate()
    assert Accounts(tmp_path / "again").is_password("ada", "x")


def test_empty_space_is_given_back(folder: Path) -> None:
    service = Service(folder)
    rows = [{"Name": f"{number:06d}" * 50} for number in range(2000)]
    assert send(service, "POST", "/ermrest/catalog/lab/entity/S:T", rows)[0] == 200
    assert send(service, "DELETE", "/ermrest/catalog/lab/entity/S:T/Name::regexp::0")[0] == 204
    snap = json.loads(send(service, "GET", "/ermrest/catalog/lab")[1])["snaptime"]
    assert send(service, "DELETE", f"/ermrest/catalog/lab/history/,{snap}")[0] == 204
    service.close()
    done = serve("vacuum", "--store", str(folder))
    freed = int(done.stdout.split()[0].replace(",", ""))
    assert (done.returncode, freed > 500_000) == (0, True), done.stdout
    assert check(folder).problems == ()
