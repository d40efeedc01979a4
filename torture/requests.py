"""Every request of every scene fails, in process and over HTTP: its answer is lost before its effect or after it, or the process ends there."""

from __future__ import annotations

import functools
import os
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from deriva_ml import DerivaML
from deriva_ml.catalog import session
from deriva_ml.catalog.embedded import EmbeddedPort
from deriva_ml.catalog.port import Request, Response
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.errors import DerivaMLException, DerivaMLOfflineError
from deriva_ml.schema import create_ml_catalog
from torture import story
from torture.again import patient
from torture.scenes import SCENES, SHORT, SIZE, Scene, fitting, furnish, life_story, recover, settle, told_in
from torture.tally import Tally
from torture.wire import Server

BEFORE, AFTER, GONE, KILL, KILLED_AFTER, AGAIN = (
    "nothing done, no answer", "done, no answer", "no answer from here", "kill before", "kill after", ", and again",
)  # fmt: skip
WRITING = (BEFORE, BEFORE + AGAIN, AFTER, AFTER + AGAIN, GONE, KILL, KILLED_AFTER)
READING = (BEFORE + AGAIN, GONE)
"""What can go wrong with a request that changes something, and with one that does not: a kill there is a kill before the next change."""
TOGETHER = 12
"""So many runs share a catalog of the server, and are judged together."""
Asked = Callable[[], Any]
Around = Callable[[Asked, "Request | None", bool], Any]
Pair = tuple[int, int, str]
"""A scene, a request of it, and what goes wrong with that."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Try pairs of request and kind, by both roads, until all have been tried or the time is over."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    tally, server = Tally("every request"), Server(work / "served")
    together = TOGETHER if seconds > SHORT else 2
    try:
        served = Served(work, server.address)
        scenes = fitting(SCENES, seconds, chance)
        asked = [_requests(work, scene) for scene in scenes]
        pairs = [(scene, *pair) for scene, kinds in enumerate(asked) for pair in _pairs(kinds)]
        there = _pairs(served.requests())
        waiting, sent = chance.sample(pairs, len(pairs)), chance.sample(there, len(there))
        tried = over = 0
        while (waiting or sent) and (time.monotonic() < end or not tally.points):
            if waiting:
                scene, number, kind = waiting.pop()
                _point(work, scenes[scene], number, kind, tally)
                tried += 1
            if len(sent) * len(pairs) >= len(waiting) * len(there) and sent:  # both end at the same time
                some, sent = sent[:together], sent[together:]
                served.points(some, chance, tally)
                over += len(some)
    finally:
        server.stop(signal.SIGKILL)
    tally.name = f"every request ({tried + over:,} of {len(pairs) + len(there):,} pairs)"
    tally.notes = [
        f"requests in process: {tried:,} of {len(pairs):,} pairs ({sum(map(len, asked)):,} requests of {len(scenes)} scenes with what can go wrong)",
        f"requests over HTTP: {over:,} of {len(there):,} pairs",
    ]
    return tally


def _pairs(kinds: Sequence[tuple[str, ...]]) -> list[tuple[int, str]]:
    return [(number, kind) for number, some in enumerate(kinds) for kind in some]


def _requests(work: Path, scene: Scene) -> list[tuple[str, ...]]:
    story.template(work, scene)
    home = story.renew(work, scene)
    return _counted(work, lambda: scene.act(home, told_in(home)))


def _counted(work: Path, act: Callable[[], None]) -> list[tuple[str, ...]]:
    """Return what can go wrong with each request that it takes."""

    def run() -> tuple[list[tuple[str, ...]], list[str]]:
        found: list[tuple[str, ...]] = []

        def note(send: Asked, request: Request | None, _: bool) -> Any:
            found.append(READING if request is not None and request.method in session.READS else WRITING)
            return send()

        _wrap(note)
        act()
        return found, sorted(sys.modules)

    found, modules = _returned(work, run)
    story.load(modules)
    return list(found)


def _returned(work: Path, act: Callable[[], Any]) -> Any:
    """Return what a child returns."""
    told, trouble = work / "returned.pickle", work / "errors.txt"
    trouble.unlink(missing_ok=True)
    if story.child(lambda: told.write_bytes(pickle.dumps(act())), trouble):
        raise RuntimeError(trouble.read_text())
    return pickle.loads(told.read_bytes())


def _point(work: Path, scene: Scene, number: int, kind: str, tally: Tally) -> None:
    home = story.renew(work, scene)
    where = f"{scene.name}: request {number} {kind}"
    _act(work, lambda: scene.act(home, told_in(home)), number, kind, where, tally)
    story.judge(home, where, tally, scene=scene, syncs=False)


def _act(work: Path, act: Callable[[], None], number: int, kind: str, where: str, tally: Tally) -> None:
    """Let a child act, and its request of this number fail."""
    trouble = work / "errors.txt"
    trouble.unlink(missing_ok=True)

    def run() -> None:
        if kind.endswith(AGAIN):
            patient()
        _wrap(_failing(number, kind.removesuffix(AGAIN)))
        with suppress(DerivaMLException, OSError):  # the error is a clear one
            act()

    status = story.child(run, trouble)
    tally.kills += os.WIFSIGNALED(status)
    if trouble.exists():
        tally.blame(where, "stuck", f"an error that is none of ours: {trouble.read_text()[-1500:]}")
    elif os.WIFSIGNALED(status) and not kind.startswith("kill"):
        tally.blame(where, "stuck", f"it was ended by signal {os.WTERMSIG(status)}")


def _failing(number: int, kind: str) -> Around:
    """Return what lets the request with this number fail, counted from 0."""
    numbers = count()

    def around(send: Asked, _: Request | None, remote: bool) -> Any:
        now = next(numbers)
        if now < number or (now > number and kind != GONE):
            return send()
        if kind == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind in (AFTER, KILLED_AFTER):
            send()
        if kind == KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
        if remote:
            raise DerivaMLOfflineError("The cable is out. Nothing staged is lost.", doubtful=True)
        return Response(500, {"content-type": "text/plain"}, b"The service fails.")

    return around


def _wrap(around: Around) -> None:
    """Let each request of this process go through ``around``, which gets what sends it, the request (None: several), and whether it is remote."""
    for port in (EmbeddedPort, RemotePort):
        for name in ("send", "fetch"):
            setattr(port, name, _wrapped(getattr(port, name), around, port is RemotePort))
    one = EmbeddedPort.send_together

    def together(port: EmbeddedPort, requests: Sequence[Request]) -> list[Response]:
        answer = around(lambda: one(port, requests), None, False)
        return answer if isinstance(answer, list) else [answer] * len(requests)

    EmbeddedPort.send_together = together  # type: ignore[method-assign]


def _wrapped(real: Callable[..., Any], around: Around, remote: bool) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(port: Any, request: Request, *more: Any) -> Any:
        return around(lambda: real(port, request, *more), request, remote)

    return call


class Served:
    """Runs against a server, several in each catalog; only children open it."""

    def __init__(self, work: Path, address: str) -> None:
        self.work, self.address, self.catalog = work / "over HTTP", address, ""
        self.work.mkdir()
        self.home = self.work / "home"
        self.scene = Scene("over HTTP", self._furnish, self._live, self._settle)
        session.PAUSES = (0.01, 0.02)

    def requests(self) -> list[tuple[str, ...]]:
        """Return what can go wrong with each request of a run."""
        self._renew()
        return _counted(self.work, lambda: self._live(self.home, told_in(self.home)))

    def points(self, pairs: Sequence[tuple[int, str]], chance: random.Random, tally: Tally) -> None:
        """Let a request of each run fail, and one of the recovery after it; then judge all of them."""
        self._renew()
        for turn, (number, kind) in enumerate(pairs):
            where, told = f"over HTTP: request {number} {kind}", told_in(self.home)
            _act(self.work, functools.partial(self._live, self.home, told, turn), number, kind, where, tally)
            _act(self.work, self._recover, chance.randrange(60), chance.choice(WRITING), where, tally)
        story.judge(self.home, f"over HTTP: {pairs}", tally, len(pairs), self.scene, syncs=False)

    def _renew(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.catalog = _returned(self.work, lambda: create_ml_catalog(self.address, "domain", credential={}).catalog_id)
        _returned(self.work, lambda: self._furnish(self.home))

    def _there(self) -> None:
        life_story.DerivaML = functools.partial(_open, self.address, self.catalog)

    def _furnish(self, home: Path) -> None:
        self._there()
        furnish(home)

    def _live(self, home: Path, told: Any, turn: int = 0) -> None:
        self._there()
        life_story.live(home, told, turn, SIZE)

    def _recover(self) -> None:
        self._there()
        recover(self.home, None)

    def _settle(self, home: Path) -> None:
        self._there()
        settle(home)


def _open(address: str, catalog: str, working_dir: Path) -> DerivaML:
    return DerivaML(address, catalog, working_dir=working_dir, credential={})
