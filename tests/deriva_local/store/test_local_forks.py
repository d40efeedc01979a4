"""Forks while other threads read and write: children never hang; what they may not touch they are refused."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import pytest
from store_worker import notes, send

from deriva_local.service.app import Service
from deriva_local.service.messages import Request
from deriva_local.store import forks
from deriva_local.store.registry import Store

FORKS = 16
SECONDS = 20


def forked(work: Callable[[], object]) -> int:
    """Let a forked child do ``work``; return how it ended: 0 if that returned something true."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def put(service: Service, name: str) -> bool:
    content = name.encode() * 100
    headers = {"content-length": str(len(content))}
    answer = service.handle(Request("PUT", f"/hatrac/{name}", headers, content, service.owner))
    return answer.status == 201


def test_children_are_forked_while_threads_read_and_write(tmp_path: Path) -> None:
    target = notes(tmp_path / "store")
    service, stop, errors = Service(tmp_path / "store"), threading.Event(), list[BaseException]()

    def write(name: str) -> bool:
        send(service, "POST", f"{target}?defaults=RID", [{"Text": name}])
        return put(service, name) and any(row["Text"] == name for row in send(service, "GET", target))

    def repeat(label: str) -> None:
        try:
            for number in count():
                if stop.is_set():
                    return
                assert write(f"{label}-{number}")
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=repeat, args=(f"thread{index}",)) for index in range(3)]
    for thread in threads:
        thread.start()
    try:
        ends = [forked(lambda number=number: write(f"child-{number}")) for number in range(FORKS)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
    assert (ends, errors) == ([0] * FORKS, [])
    texts = [row["Text"] for row in send(service, "GET", target)]
    assert len(texts) == len(set(texts))
    assert {f"child-{number}" for number in range(FORKS)} <= set(texts)
    assert {version.name for version in service.objects.all_versions()} == {f"/{text}" for text in texts}


def refused(service: Service, target: str, saying: str) -> bool:
    answer = service.handle(Request("GET", target, {}, b"", service.owner))
    assert isinstance(answer.body, bytes)
    return answer.status == 500 and saying in answer.body.decode() and "spawn" in answer.body.decode()


def test_a_fork_that_waits_too_long_makes_a_child_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.2)
    target = notes(tmp_path / "store")
    service, begun, over = Service(tmp_path / "store"), threading.Event(), threading.Event()

    def hold() -> None:
        with service.store.catalog("1").write(service.owner):
            begun.set()
            over.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(SECONDS)
    assert forked(lambda: refused(service, target, "forked while another thread")) == 0
    over.set()
    holder.join(SECONDS)
    assert forked(lambda: send(service, "GET", target) == []) == 0


def test_a_child_forked_inside_a_transaction_cannot_touch_it(tmp_path: Path) -> None:
    target = notes(tmp_path / "store")
    service, store = Service(tmp_path / "store"), Store(tmp_path / "store")
    with store.catalog("1").write(service.owner) as session:
        assert forked(lambda: refused(service, target, "forked inside a transaction") and put(service, "x")) == 0
        session.data_changed()
    assert send(service, "GET", target) == []


def test_an_answer_that_nobody_takes_hinders_no_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.2)
    target = notes(tmp_path / "store")
    service = Service(tmp_path / "store")
    send(service, "POST", f"{target}?defaults=RID", [{"Text": str(number)} for number in range(25_000)])
    begun, over, pieces = threading.Event(), threading.Event(), list[bytes]()

    def take_slowly() -> None:
        body = service.handle(Request("GET", target, {}, b"", service.owner)).body
        assert isinstance(body, Iterable)
        for piece in body:
            pieces.append(bytes(piece))
            begun.set()
            over.wait(SECONDS)

    taker = threading.Thread(target=take_slowly)
    taker.start()
    begun.wait(SECONDS)
    assert forked(lambda: send(service, "GET", f"{target}/Text=7")[0]["Text"] == "7") == 0
    over.set()
    taker.join(SECONDS)
    assert b"".join(pieces).count(b'"Text"') == 25_000
