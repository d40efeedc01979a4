"""A small part of each campaign of ``make torture``: nothing is lost, nothing is twice, nothing is stuck; and the judge notices when something is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def tortured(campaign: str, folder: Path, *more: str) -> tuple[int, str, list[int]]:
    """Return how a campaign ended, what it said, and its numbers: points, acknowledged, lost, twice, stuck, seconds."""
    seed = str(int.from_bytes(os.urandom(3)))
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--only", campaign, "--seed", seed, *more],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = done.stdout + done.stderr
    everything = next(line for line in done.stdout.splitlines() if line.startswith("all "))
    return done.returncode, said, [int(word.replace(",", "")) for word in everything.split()[1:]]


@pytest.mark.parametrize(
    ("campaign", "seconds"), [("steps", 2), ("power", 2), ("wire", 0), ("models", 0), ("offline", 0), ("interrupts", 2)]
)
def test_a_small_part_of_a_campaign(campaign: str, seconds: int, tmp_path: Path) -> None:
    code, said, (points, *_) = tortured(campaign, tmp_path, "--seconds", str(seconds))
    assert code == 0, said
    assert points > 0


@pytest.mark.parametrize(
    ("campaign", "scene", "promise", "kinds"),
    [
        ("power", "a run", "no file is synced", {"lost", "stuck"}),
        ("power", "a run", "told before it is written", {"lost"}),
        ("steps", "recovery of a run", "dead runs are not looked for", {"lost", "stuck"}),
    ],
)
def test_a_promise_that_is_broken_is_noticed(
    campaign: str, scene: str, promise: str, kinds: set[str], tmp_path: Path
) -> None:
    code, said, numbers = tortured(campaign, tmp_path, "--seconds", "0", "--scene", scene, "--break", promise)
    assert code == 1, said
    noticed = {kind for kind, number in zip(("lost", "twice", "stuck"), numbers[2:5], strict=True) if number}
    assert noticed, said
    assert noticed <= kinds, said
