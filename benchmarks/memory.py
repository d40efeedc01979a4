"""What a commit holds in memory: a million feature values, a small file and a large one, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.measure import Figure
from deriva_ml import DerivaML
from deriva_ml.catalog.rows import insert
from deriva_ml.names import TableName

MIB = 1 << 20
MOST, SLACK = 150.0, 16.0
PORTION = 20_000

_COMMIT = """
import resource, sys
from deriva_ml import DerivaML
DerivaML(working_dir=sys.argv[1]).resume_execution(sys.argv[2]).commit_output_assets()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    os.environ["DERIVA_ML_ALLOW_DIRTY"] = "true"
    home = folder / "memory"
    ml = DerivaML(working_dir=str(home))
    ml.create_asset("Thing", comment="what the benchmark stages")
    small, large = (_with_file(ml, home, size << 20) for size in (1, 8 if smoke else 2048))
    name = "memory of a commit of one file of 2 GiB"
    yield Figure(name, large, "one of 1 MiB", small, small + SLACK, "floor + 16 MiB", "MiB")
    rows = 2_000 if smoke else 1_000_000
    many = _with_features(ml, home, rows)
    yield Figure(f"memory of a commit of {rows:,} feature values", many, "one of 1 MiB", small, MOST, "150 MiB", "MiB")


def _with_file(ml: DerivaML, home: Path, size: int) -> float:
    exe = ml.create_execution(workflow=ml.create_workflow("bench", "Training", "benchmark"))
    with exe, exe.asset_file_path("Thing", f"{size}.bin").open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") * (MIB // 8))
    return _committed(home, exe.execution_rid)


def _with_features(ml: DerivaML, home: Path, number: int) -> float:
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Thing", "Severity", terms=["Grade"])
    md5 = "d41d8cd98f00b204e9800998ecf8427e"
    things = iter(range(number))
    record = ml.feature_record_class("Thing", "Severity")
    with ml.create_execution(workflow=ml.create_workflow("bench", "Training", "benchmark")) as exe:
        while part := list(islice(things, PORTION)):
            facts = ({"URL": f"/hatrac/{n}", "Filename": f"{n}", "Length": 1, "MD5": md5} for n in part)
            rows = insert(ml.session, TableName("domain", "Thing"), facts)
            exe.add_features([record(Thing=row["RID"], Grade="Mild") for row in rows])
    return _committed(home, exe.execution_rid)


def _committed(home: Path, rid: str) -> float:
    """Commit an execution in a new process; return the most memory that it held, in MiB."""
    answer = subprocess.run(
        [sys.executable, "-c", _COMMIT, str(home), rid], capture_output=True, text=True, check=True
    ).stdout
    return int(answer.split()[-1]) / (MIB if sys.platform == "darwin" else 1024)
