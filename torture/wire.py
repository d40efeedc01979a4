"""The misbehaving wire: runs against a server that is restarted now and then, through a proxy that is worse."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from deriva_ml import DerivaML
from deriva_ml.catalog import session
from deriva_ml.catalog.objects import get
from deriva_ml.errors import DerivaMLException
from deriva_ml.schema import create_ml_catalog
from torture import story
from torture.proxy import Proxy, Trap, listening
from torture.tally import Tally

RUNS = 6
SIZE = story.life_story.Size(values=63, metrics=4, groups=3, files=6, bulk=6)
TOKEN = {"bearer-token": "not-for-others"}


class Server:
    """``deriva-ml serve`` on one port, which can be ended, gently or not, and started again."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.port = "0"
        self.address = self.start()
        self.port = str(urlsplit(self.address).port)

    def start(self) -> str:
        """Start it; return its address once it answers."""
        command = [
            sys.executable,
            "-m",
            "deriva_ml.cli.serve",
            "--store",
            str(self.store),
            "--open",
            "--port",
            self.port,
        ]
        quiet = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet
        )
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()[0]

    def restart(self, how: signal.Signals) -> None:
        """End it by a signal and start it again."""
        self.stop(how)
        self.start()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal."""
        self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Live runs against the server through the proxy, at several rates of trouble, until the time is over."""
    tally = Tally("the wire")
    end = time.monotonic() + seconds
    Proxy.chance = random.Random(seed)
    session.PAUSES = (0.01, 0.02)
    os.environ["DERIVA_ML_TIMEOUT"] = "1.5"
    server = Server(work / "store")
    trap, proxy = listening(Trap), listening(Proxy)
    Proxy.upstream, Proxy.elsewhere = urlsplit(server.address).netloc, f"localhost:{trap.server_port}"
    try:
        while not tally.points or time.monotonic() < end:
            _catalog(work, f"http://localhost:{proxy.server_port}", server, end, tally)
    finally:
        proxy.shutdown()
        trap.shutdown()
        server.stop(signal.SIGKILL)
    for caught in Trap.caught:
        tally.blame("another host got credentials or data", "lost", caught)
    kinds = Counter(each.partition(":")[0] for each in Proxy.done)
    tally.notes.append("wire: " + ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items())))
    return tally


def _catalog(work: Path, address: str, server: Server, end: float, tally: Tally) -> None:
    """Runs on one catalog, each through a wire of its own badness; then the wire is well again and all is judged."""
    made = create_ml_catalog(address, "domain", credential={})
    story.life_story.DerivaML = functools.partial(_open, address, made.catalog_id)
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    story.life_story.prepare(home, SIZE.values)
    told, before = story.life_story.Acknowledged(home / "acknowledged.jsonl"), len(Proxy.done)
    for number in range(RUNS):
        if number and time.monotonic() > end:
            break
        _run(home, told, number, server, tally)
    story.judge(home, f"wire, {len(Proxy.done) - before} troubles, the last: {Proxy.done[-3:]}", tally, number + 1)
    if not tally.problems:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(home.with_name("home-sources"))


def _run(home: Path, told: object, number: int, server: Server, tally: Tally) -> None:
    Proxy.rate = Proxy.chance.choice((0.01, 0.03, 0.1, 0.3))
    try:
        with _restarts(server) if Proxy.chance.random() < 0.3 else contextlib.nullcontext():
            story.life_story.live(home, told, number, SIZE)
            _download(home, tally)
    except (DerivaMLException, OSError):
        return  # a clear error; what was acknowledged before it must survive
    finally:
        Proxy.rate = 0.0


def _download(home: Path, tally: Tally) -> None:
    """What is downloaded over the bad wire is whole, or an error."""
    ml = story.life_story.DerivaML(working_dir=home)
    for asset in ml.list_assets("Picture")[-20:]:
        if asset.filename.startswith("target"):
            continue
        target = home.with_name("downloaded")
        try:
            get(ml.session, asset.url, target, md5=asset.md5)
        except DerivaMLException:
            continue
        if story.life_story._md5(target.read_bytes()) != asset.md5:
            tally.blame("download", "lost", f"{asset.filename} is damaged, and nothing was said")


@contextlib.contextmanager
def _restarts(server: Server) -> Iterator[None]:
    """End the server again and again while the block runs, and start it again."""
    over = threading.Event()

    def restart() -> None:
        while not over.wait(Proxy.chance.uniform(0.2, 2)):
            Proxy.done.append("restart: of the server")
            server.restart(Proxy.chance.choice((signal.SIGKILL, signal.SIGTERM)))

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _open(address: str, catalog: str, working_dir: Path) -> DerivaML:
    return DerivaML(address, catalog, working_dir=working_dir, credential=TOKEN)
