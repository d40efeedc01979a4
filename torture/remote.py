"""The kill loop over the wire: runs and their recoveries are killed while they speak to ``deriva-ml serve``."""

from __future__ import annotations

import functools
import signal
import time
from pathlib import Path

from deriva_ml import DerivaML
from deriva_ml.schema import create_ml_catalog
from torture import kills, story
from torture.tally import Tally
from torture.wire import Server


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Repeat the loop on a new catalog of one server and a new home each, until the time is over."""
    tally = Tally("kill loop against a server")
    end = time.monotonic() + seconds
    server = Server(work / "store")
    try:
        while not tally.points or time.monotonic() < end:
            made = create_ml_catalog(server.address, "domain", credential={})
            story.life_story.DerivaML = functools.partial(_open, server.address, made.catalog_id)
            kills.one_home(work / f"home-{seed}", seed, end, tally)
            seed += 1
    finally:
        server.stop(signal.SIGKILL)
    tally.kills = tally.points
    return tally


def _open(address: str, catalog: str, working_dir: Path) -> DerivaML:
    return DerivaML(address, catalog, working_dir=working_dir, credential={})
