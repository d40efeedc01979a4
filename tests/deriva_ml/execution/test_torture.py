"""A small part of each campaign of ``make torture``: nothing is lost, nothing is twice, nothing is stuck."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("campaign", "seconds"), [("steps", 2), ("power", 2), ("wire", 0), ("models", 0), ("offline", 0)]
)
def test_a_small_part_of_a_campaign(campaign: str, seconds: int, tmp_path: Path) -> None:
    seed = str(int.from_bytes(os.urandom(3)))
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--only", campaign, "--seconds", str(seconds), "--seed", seed],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    everything = next(line for line in done.stdout.splitlines() if line.startswith("all "))
    assert int(everything.split()[1].replace(",", "")) > 0  # points
