"""Many processes and threads on one store, forks, and processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_worker import notes, send

from deriva_local.service.app import Service
from deriva_local.store.registry import Store
from deriva_local.wire.errors import Refusal

WORKER = Path(__file__).with_name("store_worker.py")


def spawn(verb: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), verb, str(folder), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def texts(folder: Path, target: str) -> list[str]:
    service = Service(folder)
    try:
        return [row["Text"] for row in send(service, "GET", target)]
    finally:
        service.close()


def test_sixty_four_processes_start_on_a_store_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "store"
    crowd = spawn("crowd", folder, "64", "start")
    out, told = crowd.communicate(timeout=100)
    assert (told, crowd.returncode) == ("", 0)
    assert sorted(int(id) for id in out.split()) == list(range(1, 65))
    assert len(Store(folder).catalogs()) == 64


def test_eight_processes_insert_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    crowd = spawn("crowd", folder, "8", "insert", target, "worker {}", "25")
    out, told = crowd.communicate(timeout=100)
    assert (told, crowd.returncode) == ("", 0)
    assert len({line.split()[0] for line in out.splitlines()}) == 200
    assert sorted(texts(folder, target)) == sorted(f"worker {w} {n}" for w in range(8) for n in range(25))


def test_threads_share_a_service(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    service = Service(folder)
    seen: list[int] = []

    def work(number: int) -> None:
        for step in range(10):
            send(service, "POST", target + "?defaults=RID", [{"Text": f"{number} {step}"}])
            seen.append(len(send(service, "GET", target)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(send(service, "GET", target)) == 80
    assert max(seen) == 80


def test_every_change_has_a_time_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    service = Service(folder)
    with ThreadPoolExecutor(4) as pool:
        bodies = [[{"Text": str(number)}] for number in range(40)]
        list(pool.map(lambda body: send(service, "POST", target + "?defaults=RID", body), bodies))
    times = [row["RCT"] for row in send(service, "GET", target)]
    assert len(set(times)) == 40


def test_a_forked_child_goes_on_with_the_same_service(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    service = Service(folder)
    send(service, "POST", target, [{"Text": "parent", "RID": None}])
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                send(service, "POST", target, [{"Text": f"child {number}"}])
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    send(service, "POST", target, [{"Text": "parent again"}])
    found = sorted(row["Text"] for row in send(service, "GET", target))
    assert found == ["child 0", "child 1", "child 2", "parent", "parent again"]


def test_a_child_forked_inside_a_transaction_cannot_finish_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    notes(folder)
    service, store = Service(folder), Store(folder)
    database = store.catalog("1")
    with database.read() as session:
        before = session.snaptime
    outcome = 3
    with database.write(service.owner) as session:
        session.data_changed()
        child = os.fork()
        if child == 0:
            try:
                database._commit(session, os.getppid())
            except Refusal:
                outcome = 0
            finally:
                os._exit(outcome)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with database.read() as session:
        assert session.snaptime > before


def test_a_writer_that_waits_too_long_is_told_to_try_again(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    notes(folder)
    holder = spawn("hold", folder, "1")
    assert holder.stdout is not None and holder.stdout.readline() == "holding\n"
    database = Store(folder, patience=0.3).catalog("1")
    with database.read() as session:
        assert session.moment is None  # readers wait for nobody
    owner = Service(folder).owner
    started = time.monotonic()
    with pytest.raises(Refusal) as refusal, database.write(owner):
        pass
    assert refusal.value.status == 503
    assert time.monotonic() - started < 20
    holder.communicate("", timeout=20)
    with database.write(owner) as session:
        session.data_changed()


def test_a_thread_that_waits_too_long_is_told_to_try_again(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    notes(folder)
    database, owner = Store(folder, patience=0.2).catalog("1"), Service(folder).owner
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write(owner):
            held.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    with pytest.raises(Refusal) as refusal, database.write(owner):
        pass
    done.set()
    holder.join()
    assert refusal.value.status == 503


def test_a_dead_writer_holds_nobody_up(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    holder = spawn("hold", folder, "1")
    assert holder.stdout is not None and holder.stdout.readline() == "holding\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    service = Service(folder)
    send(service, "POST", target, [{"Text": "after"}])
    assert texts(folder, target) == ["after"]


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    target = notes(folder)
    acknowledged: set[str] = set()
    chance = random.Random(7)
    for round in range(6):
        workers = [spawn("insert", folder, target, f"{round}.{number}", "100000") for number in range(2)]
        told = [[worker.stdout.readline()] for worker in workers if worker.stdout]
        time.sleep(chance.uniform(0.01, 0.15))
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for lines, worker in zip(told, workers, strict=True):
            assert worker.stdout is not None
            lines.extend(worker.stdout)
            worker.communicate()
        whole = [line for lines in told for line in lines if line.endswith("\n")]
        acknowledged |= {line.split(maxsplit=1)[1].strip() for line in whole}
    present = texts(folder, target)
    assert acknowledged <= set(present)
    assert len(present) == len(set(present)) <= len(acknowledged) + 12
    with Store(folder).catalog("1").read() as session:
        assert session.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
