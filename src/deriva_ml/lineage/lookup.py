"""``lookup``: from any dataset, file, feature value or execution back to where its data came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml.lineage.edges import Edges
from deriva_ml.lineage.graph import Graph
from deriva_ml.lineage.models import LineageNode, LineageResult, RootDescriptor
from deriva_ml.lineage.walk import walk
from deriva_ml.rid import split_snapshot
from deriva_ml.rids import find_row_table

Kind = Literal["Dataset", "Asset", "Feature", "Execution"]


@dataclass(frozen=True, slots=True)
class _Root:
    """What was asked about, and who produced it: the first stands at the head of the lineage."""

    rid: str
    kind: Kind
    description: str | None
    producers: list[str]


def lookup(session: Catalog, rid: str, depth: int | None = None, max_executions: int = 500) -> LineageResult:
    """Return how the artifact ``rid`` came to exist: the executions behind it, as far back as is recorded.

    ``depth`` limits the generations behind the producer (0: the producer alone). Data flow counts, orchestration does
    not: an execution that merely started another is not its parent.

    Raises:
        DerivaMLRidsNotFound: no row has this RID.
        DerivaMLTableTypeError: the row is of a kind that has no lineage (a workflow, a term, a domain row).
        DerivaMLValidationError: a limit is negative, or ``rid`` is not a RID.
    """
    if (depth is not None and depth < 0) or max_executions < 1:
        raise DerivaMLValidationError(
            f"depth must be 0 or more, max_executions 1 or more: not {depth}, {max_executions}."
        )
    own, snapshot = split_snapshot(rid)
    session = session.at(snapshot) if snapshot else session
    edges = Edges(session)
    root = _find_root(edges, find_row_table(session, own), own)
    if not root.producers:
        return LineageResult(root=_describe(root, edges), walked_complete=not edges.sources.unresolved)
    graph = walk(root.producers[0], _with_others(edges, root), depth=depth, limit=max_executions)
    result = LineageResult(
        root=_describe(root, edges),
        lineage=_tree(graph, edges),
        executions_visited=len(graph.order),
        walked_complete=graph.complete and not edges.sources.unresolved,
        cycle_detected=graph.has_cycle,
        depth_capped=graph.depth_capped,
    )
    return result.name_also_producers(root.producers[1:])


# ------------------------------------------------------------------------------------------------------------- the root


def _find_root(edges: Edges, table: TableModel, rid: str) -> _Root:
    (row,) = select(edges.session, table.name, {"RID": rid})
    own = table.name.schema == edges.session.ml_schema
    if own and table.name.name == "Execution":
        return _Root(rid, "Execution", row["Description"], [rid])
    if own and table.name.name == "Dataset":
        return _Root(rid, "Dataset", row["Description"], edges.sources.of_dataset(rid))
    if table.is_asset:
        return _Root(rid, "Asset", row["Description"], edges.sources.of_assets(table.name, [rid])[rid])
    feature = edges.session.model().feature_of(table)
    if feature is not None:
        known = [row["Execution"]] if row["Execution"] not in edges.sources.unknown else []
        return _Root(rid, "Feature", f"{feature.name} of {feature.target.name} {row[feature.target_column]}", known)
    raise DerivaMLTableTypeError("artifact", table.name.name, _no_lineage(rid, table))


def _no_lineage(rid: str, table: TableModel) -> str:
    more = f" It runs in executions: `ml.find_executions(workflow={rid!r})`." if table.name.name == "Workflow" else ""
    return f"{rid} is a row of {table.name.name}. Lineage is recorded for datasets, files, feature values and executions.{more}"


def _with_others(edges: Edges, root: _Root) -> _AlsoProducers:
    return _AlsoProducers(edges, root.producers[0], root.producers[1:])


@dataclass(frozen=True, slots=True)
class _AlsoProducers:
    """The catalog's edges, with the other producers of the artifact as parents of the first.

    One that read what the first wrote has merely written the same bytes again: it came later and is left out.
    """

    edges: Edges
    first: str
    others: list[str]

    def __call__(self, generation: Sequence[str]) -> Mapping[str, Sequence[str]]:
        if not self.others or self.first not in generation:
            return self.edges(generation)
        answers = dict(self.edges((*generation, *self.others)))
        earlier = [run for run in self.others if self.first not in answers[run]]
        return {self.first: [*answers[self.first], *earlier]}


def _describe(root: _Root, edges: Edges) -> RootDescriptor:
    edges.summarise(root.producers[:1])
    producer = edges.executions[root.producers[0]] if root.producers else None
    return RootDescriptor(rid=root.rid, type=root.kind, description=root.description, producing_execution=producer)


# ------------------------------------------------------------------------------------------------------------- the tree


def _tree(graph: Graph, edges: Edges) -> LineageNode:
    """Build the nodes from the last found to the first, so that each finds its parents built."""
    built: dict[str, LineageNode] = {}
    for run in reversed(graph.order):
        built[run] = LineageNode(
            execution=edges.executions[run],
            consumed_datasets=edges.datasets.get(run, []),
            consumed_assets=edges.assets.get(run, []),
            parents=[
                LineageNode(execution=edges.executions[line.node], already_shown=True)
                if line.already_shown
                else built[line.node]
                for line in graph.placements(run)
            ],
        )
    return built[graph.order[0]]
