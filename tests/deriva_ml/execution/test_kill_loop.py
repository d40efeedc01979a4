"""Killing a run at any moment, and its recovery as well, loses nothing that was acknowledged and repeats nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("kill_loop.py")
ROUNDS = 50
SECONDS = 110


def test_nothing_acknowledged_is_lost_however_often_the_process_is_killed(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "home"), str(ROUNDS), str(seed)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["problems"], f"seed {seed}: {told['problems']}"
    assert not told["errors"], f"seed {seed}: {told['errors']}"
    assert told["killed"] > ROUNDS / 2
    assert told["acknowledged"] > ROUNDS
