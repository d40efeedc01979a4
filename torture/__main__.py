"""``python -m torture``: every campaign for its share of a given time; prints what each did, and says 1 if one found something."""

from __future__ import annotations

import argparse
import importlib
import logging
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

SHARES = {"kills": 0.25, "steps": 0.25, "power": 0.25, "wire": 0.15, "crowd": 0.1}
ROW = "{:<52} {:>7} {:>13} {:>5} {:>6} {:>6} {:>8}"


def main() -> int:
    """Run the campaigns."""
    ask = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    ask.add_argument("--seconds", type=float, default=600, help="how long in all (default 600)")
    ask.add_argument("--seed", type=int, default=int(time.time()), help="for the same random choices again")
    ask.add_argument("--only", choices=SHARES, action="append", help="only this campaign; may be repeated")
    asked = ask.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    chosen = asked.only or list(SHARES)
    whole = sum(SHARES[name] for name in chosen)
    print(f"seed {asked.seed}")
    print(ROW.format("campaign", "points", "acknowledged", "lost", "twice", "stuck", "seconds"), flush=True)
    failed = False
    for name in chosen:
        failed |= _run(name, asked.seconds * SHARES[name] / whole, asked.seed)
    return int(failed)


def _run(name: str, seconds: float, seed: int) -> bool:
    work, began = Path(tempfile.mkdtemp(prefix=f"torture-{name}-")).resolve(), time.monotonic()
    tally = importlib.import_module(f"torture.{name}").campaign(work, seconds, seed)
    numbers = (tally.points, tally.acknowledged, tally.lost, tally.twice, tally.stuck)
    print(ROW.format(tally.name, *numbers, f"{time.monotonic() - began:.0f}"), flush=True)
    for problem in tally.problems:
        print(f"  {problem}", flush=True)
    if not tally.problems:
        shutil.rmtree(work, ignore_errors=True)
    return bool(tally.problems)


if __name__ == "__main__":
    sys.exit(main())
