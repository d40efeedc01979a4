"""Run every benchmark and print the table: ``python -m benchmarks [--smoke] [--long] [--json] [NAME …]``.

``--smoke`` uses small sizes and only checks that each benchmark runs: its times say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Figure

LONG = ("growth", "memory")
NAMES = ("startup", "service", "loopback", "runs", "together", "launch")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join((*NAMES, *LONG))}")
    parser.add_argument("--long", action="store_true", help=f"also {', '.join(LONG)}, which take minutes and 8 GB")
    parser.add_argument("--smoke", action="store_true", help="small sizes: does each benchmark run?")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    os.environ.setdefault("DERIVA_ML_PROGRESS", "quiet")  # the table is what is asked for
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # programs start as they do where nobody compiles them each time anew
    unknown = set(arguments.names) - {*NAMES, *LONG}
    if unknown:
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are: {', '.join((*NAMES, *LONG))}")
    chosen = (*NAMES, *LONG) if arguments.long else NAMES
    found = [figure for name in arguments.names or chosen for figure in _run(name, arguments.smoke)]
    print(
        json.dumps([asdict(figure) for figure in found], indent=2) if arguments.json else table(found, arguments.smoke)
    )


def _run(name: str, smoke: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        figures: list[Figure] = list(import_module(f"benchmarks.{name}").figures(Path(folder), smoke))
    return figures


def table(figures: list[Figure], smoke: bool) -> str:
    """Return the figures as a Markdown table, ready for docs/benchmarks.md."""
    lines = [
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "",
        "| what | measured | floor | | ratio | target | |",
        "| --- | ---: | --- | ---: | ---: | --- | --- |",
    ]
    for figure in figures:
        verdict = "smoke" if smoke else "met" if figure.met else "**missed**"
        lines.append(
            f"| {figure.name} | {figure.ms:.2f} {figure.unit} | {figure.floor_name} | {figure.floor_ms:.2f} {figure.unit} "
            f"| {figure.ratio:.1f} | {figure.target} | {verdict} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
