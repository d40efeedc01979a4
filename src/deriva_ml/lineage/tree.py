"""Lineage as a tree of text, from the artifact back to the raw data.

Values only, no I/O::

    Asset 2-PRED  predictions on the held-out images
    └─ 1-E3  Evaluate digits  [Uploaded]  evaluate on held-out digits
       reads dataset 1-D2 1.0.0  images for testing
       reads Model 1-M  digits.npz
       ├─ 1-E1  Ingest digits  [Uploaded]  1,797 handwritten digits
       └─ 1-E2  Train digits  [Uploaded]  train on labelled digits
          reads dataset 1-D1 1.0.0  images for training
          └─ 1-E1  Ingest digits  (shown elsewhere)
    3 executions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deriva_ml.lineage.models import ExecutionSummary, LineageNode, LineageResult

LONGEST = 100
UNKNOWN_FILE = "unknown-provenance"


def render(result: LineageResult, also: Set[str] = frozenset()) -> str:
    """Return the tree of a lineage, with a last line that says how far it was followed.

    Of the executions ``also`` below the first one it is said that they produced the same artifact.
    """
    root = result.root
    lines = [_words(f"{root.type} {root.rid}", root.description)]
    if result.lineage is None:
        lines.append("No execution is recorded as its producer.")
    else:
        notes = dict.fromkeys(also, f"  (also produced {root.rid})")
        lines += [*_lines(result.lineage, notes), *_summary(result)]
    return "\n".join(lines)


def _lines(top: LineageNode, notes: Mapping[str, str]) -> Iterator[str]:
    waiting: list[tuple[str, str, LineageNode]] = [("└─ ", "   ", top)]
    while waiting:
        bullet, indent, node = waiting.pop()
        yield bullet + _headline(node.execution, node.already_shown) + notes.get(node.execution.rid, "")
        yield from (f"{indent}{line}" for line in _inputs(node))
        last = len(node.parents) - 1
        below = [
            (indent + ("└─ " if place == last else "├─ "), indent + ("   " if place == last else "│  "), parent)
            for place, parent in enumerate(node.parents)
        ]
        waiting += reversed(below)


def _headline(execution: ExecutionSummary, already_shown: bool) -> str:
    workflow = execution.workflow.name if execution.workflow else "no workflow"
    if already_shown:
        return _words(execution.rid, workflow, "(shown elsewhere)")
    return _words(execution.rid, workflow, f"[{execution.status or 'unknown status'}]", execution.description)


def _inputs(node: LineageNode) -> Iterator[str]:
    for dataset in node.consumed_datasets:
        yield _words(f"reads dataset {dataset.rid} {dataset.version or ''}".rstrip(), dataset.description)
    for asset in node.consumed_assets:
        if asset.filename == UNKNOWN_FILE:
            yield "declared no inputs: its data is of unknown origin"
        else:
            yield _words(f"reads {asset.asset_table} {asset.rid}", asset.filename)


def _summary(result: LineageResult) -> Iterator[str]:
    count = result.executions_visited
    yield f"{count} execution{'' if count == 1 else 's'}"
    if not result.walked_complete:
        yield "Not complete: there is more than was followed (a limit, or a snapshot that the catalog no longer has)."
    if result.depth_capped:
        yield "Older executions are hidden by the depth."
    if result.cycle_detected:
        yield "The records go in a circle: some execution comes before itself."


def _words(*parts: str | None) -> str:
    """Return the parts side by side, on one line, without anything that a terminal would act on."""
    return "  ".join(plain(part) for part in parts if part)


def plain(text: str) -> str:
    """Return ``text`` as one line that is not too long and that a terminal only prints."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
