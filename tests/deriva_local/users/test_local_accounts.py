"""Users, their passwords and tickets, and how soon another password may be tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from deriva_local.store.place import NewerStore
from deriva_local.store.tables import Tables
from deriva_local.users import attempts, passwords
from deriva_local.users.accounts import AccountProblem, Accounts
from deriva_local.users.attempts import FORGOTTEN_AFTER, FREE, FREE_OF_ADDRESS, Attempts

CLI = [sys.executable, "-m", "deriva_ml.cli.main", "serve"]


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "store")


# ---------------------------------------------------------------------------------------------------------- passwords


@pytest.mark.parametrize("password", ["x", "correct horse battery staple", "pässwörd €", " ", "x" * 2000])
def test_a_password_is_known_again(password: str) -> None:
    stored = passwords.hashed(password)
    assert password not in stored or password == "x"
    assert stored.startswith("scrypt$15$8$1$")
    assert passwords.matches(password, stored)
    assert not passwords.matches(password + "x", stored)
    assert passwords.hashed(password) != stored


def test_a_user_who_does_not_exist_takes_as_long(accounts: Accounts) -> None:
    accounts.add("ada", "secret")
    passwords.nobody_s()
    spent = {}
    for name in ("ada", "nobody"):
        started = time.process_time()
        assert not accounts.is_password(name, "guess")
        spent[name] = time.process_time() - started
    assert 0.2 < spent["nobody"] / spent["ada"] < 5


# --------------------------------------------------------------------------------------------------------------- users


def test_users_come_and_go(accounts: Accounts) -> None:
    assert accounts.users() == []
    assert not accounts.path.exists()
    accounts.add("ada", "one", ["curators", "admin", "curators"])
    accounts.add("ben@lab.example", "two")
    assert [(user.name, user.groups) for user in accounts.users()] == [
        ("ada", ("admin", "curators")),
        ("ben@lab.example", ()),
    ]
    assert accounts.is_password("ada", "one") and not accounts.is_password("ada", "two")
    accounts.remove("ada")
    assert [user.name for user in accounts.users()] == ["ben@lab.example"]
    assert not accounts.is_password("ada", "one")
    accounts.add("ada", "three")
    assert accounts.user("ada").groups == ()


@pytest.mark.parametrize(
    ("name", "password", "groups", "told"),
    [
        ("ada", "x", [], "There is a user 'ada' already"),
        ("team", "x", [], "is the name of a group"),
        ("admin", "x", [], "is the name of a group"),
        ("new", "x", ["ada"], "is the name of a user"),
        ("new", "", [], "empty"),
        ("", "x", [], "cannot be the name of a user"),
        ("*", "x", [], "cannot be the name of a user"),
        ("local:ada", "x", [], "cannot be the name of a user"),
        ("a b", "x", [], "cannot be the name of a user"),
        ("x" * 64, "x", [], "cannot be the name of a user"),
        ("new\n", "x", [], "cannot be the name of a user"),
        ("new", "x", ["*"], "cannot be the name of a group"),
    ],
)
def test_users_that_cannot_be(accounts: Accounts, name: str, password: str, groups: list[str], told: str) -> None:
    accounts.add("ada", "secret", ["team"])
    with pytest.raises(AccountProblem, match=told):
        accounts.add(name, password, groups)
    assert [user.name for user in accounts.users()] == ["ada"]


def test_a_user_may_be_called_as_a_group_that_she_is_a_member_of(accounts: Accounts) -> None:
    accounts.add("admin", "x", ["admin"])
    accounts.add("ada", "x", ["admin"])
    with pytest.raises(AccountProblem, match="only a member of it"):
        accounts.set_groups("admin", [])
    assert accounts.user("admin").groups == ("admin",)


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.remove("ben"),
        lambda accounts: accounts.set_groups("ben", []),
        lambda accounts: accounts.set_password("ben", "x"),
        lambda accounts: accounts.give("ben", "token", 10),
        lambda accounts: accounts.take_back_tokens("ben"),
    ],
)
def test_nobody_is_changed(accounts: Accounts, change: Callable[[Accounts], object]) -> None:
    with pytest.raises(AccountProblem, match="There is no user 'ben'"):
        change(accounts)


def test_the_file_is_private_and_tells_no_secret(accounts: Accounts) -> None:
    accounts.add("ada", "correct horse")
    word = accounts.give("ada", "session", 60)
    accounts.close()
    found = b"".join(path.read_bytes() for path in accounts.path.parent.iterdir())
    assert b"correct horse" not in found and word.encode() not in found
    assert accounts.path.stat().st_mode & 0o777 == 0o600


def test_many_processes_add_users_at_once(tmp_path: Path, run_python: Callable[[str], str]) -> None:
    def add(number: int) -> str:
        return run_python(f"""
        from pathlib import Path
        from deriva_local.users.accounts import Accounts
        Accounts(Path({str(tmp_path / "store")!r})).add("user{number}", "x", ["team"])
        """)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert [user.name for user in Accounts(tmp_path / "store").users()] == [f"user{number}" for number in range(4)]


# ------------------------------------------------------------------------------------------------------------- tickets


def test_a_ticket_is_good_until_its_end(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.add("ada", "x")
    word = accounts.give("ada", "session", 60)
    found = accounts.ticket(word, "session")
    assert found is not None and (found.user, found.ends - found.since) == ("ada", 60)
    for wrong in ("", "x", word + "x", word[:-1]):
        assert accounts.ticket(wrong, "session") is None
    assert accounts.ticket(word, "token") is None, "a session is no bearer token"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 50)
    accounts.extend(word, 60)
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert accounts.ticket(word, "session") is not None
    monkeypatch.setattr(time, "time", lambda: now + 111)
    assert accounts.ticket(word, "session") is None


def test_what_ends_a_ticket(accounts: Accounts) -> None:
    accounts.add("ada", "x")
    session, token = accounts.give("ada", "session", 60), accounts.give("ada", "token", 60)
    accounts.set_password("ada", "y")
    assert accounts.ticket(session, "session") is None
    assert accounts.ticket(token, "token") is not None
    assert accounts.take_back_tokens("ada") == 1
    assert accounts.ticket(token, "token") is None
    session = accounts.give("ada", "session", 60)
    accounts.take_back(session)
    assert accounts.ticket(session, "session") is None
    session = accounts.give("ada", "session", 60)
    accounts.remove("ada")
    assert accounts.ticket(session, "session") is None


# ------------------------------------------------------------------------------------------------------------ attempts


def test_each_mistake_doubles_the_wait() -> None:
    waits = [attempts.wait_after(mistakes) for mistakes in range(FREE + 4)]
    assert waits == [0.0] * (FREE + 1) + [0.25, 0.5, 1.0]
    assert max(attempts.wait_after(mistakes) for mistakes in range(1000)) == 60.0


def test_mistakes_are_counted_by_name_and_address() -> None:
    tried = Attempts()
    for _ in range(FREE + 2):
        tried.began("ada", "10.0.0.1", 100.0)
    assert tried.wait("ada", "10.0.0.1", 100.0) == 0.5
    assert tried.wait("ada", "10.0.0.1", 100.4) == pytest.approx(0.1)
    assert tried.wait("ada", "10.0.0.1", 100.6) == 0
    assert tried.wait("ada", "10.0.0.2", 100.0) == 0, "nobody locks another user out"
    assert tried.wait("ben", "10.0.0.1", 100.0) == 0
    tried.succeeded("ada", "10.0.0.1")
    assert tried.wait("ada", "10.0.0.1", 100.0) == 0


def test_trying_many_names_does_not_help() -> None:
    tried = Attempts()
    for number in range(FREE_OF_ADDRESS + 3):
        tried.began(f"user{number}", "10.0.0.1", 100.0)
    assert tried.wait("another", "10.0.0.1", 100.0) > 0
    assert tried.wait("another", "10.0.0.1", 100.0 + FORGOTTEN_AFTER + 1) == 0


def test_a_class_room_that_knows_its_passwords_is_not_slowed() -> None:
    tried = Attempts()
    for number in range(100):
        tried.began(f"user{number}", "10.0.0.1", 100.0)
        tried.succeeded(f"user{number}", "10.0.0.1")
    assert tried.wait("user7", "10.0.0.1", 100.0) == 0


def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_KEYS", 10)
    tried = Attempts()
    for number in range(1000):
        tried.began(f"user{number}", f"10.0.0.{number}", float(number))
        assert len(tried.mistakes) <= 12
    assert ("user999", "10.0.0.999") in tried.mistakes


# ------------------------------------------------------------------------------------------------------ the file's form


def test_a_file_is_brought_up_to_date_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    steps = ["CREATE TABLE a (x); INSERT INTO a VALUES (1)", "ALTER TABLE a ADD COLUMN y DEFAULT 2"]
    Tables(path, steps[:1]).close()
    newer = Tables(path, steps)
    with newer.read() as db:
        assert db.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]
    with pytest.raises(NewerStore, match="Upgrade deriva-ml"):
        Tables(path, steps[:1])


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    Tables(path, ["CREATE TABLE a (x)"]).close()
    with pytest.raises(apsw.SQLError):
        Tables(path, ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y; ALTER TABLE missing ADD COLUMN y"])
    again = Tables(path, ["CREATE TABLE a (x)"])
    with again.read() as db:
        assert db.execute("SELECT count(*) FROM pragma_table_info('a')").get == 1


# -------------------------------------------------------------------------------------------------------- command line


def serve(*arguments: str, store: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [*CLI, *arguments, "--store", str(store)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, env={**os.environ})


def test_users_at_the_command_line(tmp_path: Path) -> None:
    store = tmp_path / "s"
    added = serve(
        "user", "add", "ada", "--group", "admin", "--group", "team", "--password-stdin", store=store, given="pw\n"
    )
    assert (added.returncode, added.stdout) == (0, "User ada (admin, team) is added.\n"), added.stderr
    assert Accounts(store).is_password("ada", "pw")
    assert json.loads(serve("user", "list", "--json", store=store).stdout) == [
        {"name": "ada", "groups": ["admin", "team"]}
    ]
    assert serve("user", "groups", "ada", "team", store=store).stdout == "User ada (team).\n"
    serve("user", "password", "ada", "--password-stdin", store=store, given="other")
    assert Accounts(store).is_password("ada", "other")
    word = serve("token", "ada", store=store).stdout.strip()
    assert Accounts(store).ticket(word, "token") is not None
    other = serve("token", "ada", "--days", "2", store=store).stdout.strip()
    first, second = json.loads(serve("token", "ada", "--list", "--json", store=store).stdout)
    assert not {word, other} & {*first.values(), *second.values()}
    ended = second if first["expires"] > second["expires"] else first
    assert serve("token", "ada", "--revoke", "--id", ended["id"], store=store).stdout == "1 token of ada ended.\n"
    assert [Accounts(store).ticket(each, "token") is not None for each in (word, other)] == [True, False]
    assert serve("token", "ada", "--revoke", store=store).stdout == "1 token of ada ended.\n"
    assert serve("token", "ada", "--list", store=store).stdout == "ada has no token.\n"
    assert serve("token", store=store).stdout == (store / "token").read_text()
    assert serve("user", "remove", "ada", store=store).returncode == 0
    assert "No user yet" in serve("user", "list", store=store).stdout


def test_mistakes_at_the_command_line_are_one_sentence(tmp_path: Path) -> None:
    for arguments in (
        ["user", "remove", "ada"],
        ["user", "add", "a b", "--password-stdin"],
        ["token", "ada"],
        ["token", "ada", "--list"],
    ):
        done = serve(*arguments, store=tmp_path / "s", given="pw\n")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    empty = serve("user", "add", "ada", "--password-stdin", store=tmp_path / "s")
    assert (empty.returncode, empty.stderr) == (1, "Error: The password is empty.\n")
