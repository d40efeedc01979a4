"""The answer to "how did this come to exist?", as values that serialise to JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

from deriva_ml.lineage.tree import render


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WorkflowSummary(_Model):
    """The code that ran."""

    rid: str
    name: str | None = None


class ExecutionSummary(_Model):
    """One run."""

    rid: str
    description: str | None = None
    workflow: WorkflowSummary | None = None
    status: str | None = None


class DatasetSummary(_Model):
    """A dataset that a run declared as its input, at the version that it used."""

    rid: str
    description: str | None = None
    version: str | None = None


class AssetSummary(_Model):
    """A file that a run declared as its input."""

    rid: str
    filename: str | None = None
    asset_table: str


class LineageNode(_Model):
    """A run, what it consumed, and the runs that produced what it consumed.

    A run that is reached in several ways is shown in full once; elsewhere it has ``already_shown`` and no lists.
    """

    execution: ExecutionSummary
    consumed_datasets: list[DatasetSummary] = []
    consumed_assets: list[AssetSummary] = []
    parents: list[LineageNode] = []
    already_shown: bool = False

    def __repr__(self) -> str:
        """Return one line: the whole tree below may be hundreds of levels deep."""
        return f"LineageNode({self.execution.rid!r}, parents={[parent.execution.rid for parent in self.parents]})"


class RootDescriptor(_Model):
    """What was asked about."""

    rid: str
    type: Literal["Dataset", "Asset", "Feature", "Execution"]
    description: str | None = None
    producing_execution: ExecutionSummary | None = None


class LineageResult(_Model):
    """The way from an artifact back to where its data came from.

    ``lineage`` is None when no run is recorded as its producer, which is an answer. ``walked_complete`` is False when
    ``max_executions`` was reached, ``depth_capped`` is True when ``depth`` hid older runs.
    """

    root: RootDescriptor
    lineage: LineageNode | None = None
    executions_visited: int = 0
    walked_complete: bool = True
    cycle_detected: bool = False
    depth_capped: bool = False
    _also_producers: frozenset[str] = PrivateAttr(frozenset())

    def name_also_producers(self, executions: Iterable[str]) -> LineageResult:
        """Keep which parents of the first producer stand there because they produced the artifact as well; for the text alone."""
        self._also_producers = frozenset(executions)
        return self

    def __str__(self) -> str:
        """Return the lineage as a tree of text."""
        return render(self, self._also_producers)

    def __repr__(self) -> str:
        """Return one line."""
        return f"LineageResult({self.root.type} {self.root.rid!r}, executions_visited={self.executions_visited})"

    def to_json(self) -> str:
        """Return the same JSON as ``model_dump_json``, however many generations there are (pydantic stops at some 250)."""
        facts = self.model_dump_json(exclude={"lineage"})
        return f'{facts[:-1]},"lineage":{_nested(self.lineage)}}}'

    def nodes(self) -> Iterator[LineageNode]:
        """Yield every node that is shown in full, each once, from the artifact backwards."""
        waiting = [self.lineage] if self.lineage else []
        while waiting:
            node = waiting.pop(0)
            if not node.already_shown:
                yield node
                waiting.extend(node.parents)


def _nested(top: LineageNode | None) -> str:
    if top is None:
        return "null"
    written: list[str] = []
    waiting: list[LineageNode | str] = [top]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            written.append(item)
            continue
        written.append(f'{item.model_dump_json(exclude={"parents"})[:-1]},"parents":[')
        waiting.append("]}")
        for place, parent in enumerate(reversed(item.parents)):
            waiting += [",", parent] if place else [parent]
    return "".join(written)
