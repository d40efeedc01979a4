"""The walk, on graphs small enough to draw and on random ones against networkx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml.lineage.graph import Graph
from deriva_ml.lineage.walk import walk


def on(graph: Mapping[str, str], seed: str = "a", depth: int | None = None, limit: int = 500) -> Graph:
    return walk(seed, lambda nodes: {node: list(graph.get(node, "")) for node in nodes}, depth=depth, limit=limit)


def drawn(graph: Graph, node: str = "a") -> str:
    """Write the tree in one line: ``a(b(d) c(d*))``, a star on what is shown elsewhere."""
    lines = [line.node + "*" if line.already_shown else drawn(graph, line.node) for line in graph.placements(node)]
    return f"{node}({' '.join(lines)})" if lines else node


@pytest.mark.parametrize(
    ("graph", "depth", "limit", "tree", "complete", "cycle", "capped"),
    [
        ({}, None, 500, "a", True, False, False),
        ({"a": "b", "b": "c"}, None, 500, "a(b(c))", True, False, False),
        ({"a": "bc", "b": "d", "c": "d"}, None, 500, "a(b(d) c(d*))", True, False, False),
        ({"a": "b", "b": "a"}, None, 500, "a(b(a*))", True, True, False),
        ({"a": "a"}, None, 500, "a", True, False, False),
        ({"a": "b", "b": "b"}, None, 500, "a(b)", True, False, False),
        ({"a": "bb"}, None, 500, "a(b)", True, False, False),
        # depth: 0 is the producer alone, and says whether there was more
        ({"a": "b", "b": "c"}, 0, 500, "a", True, False, True),
        ({"a": "b", "b": "c"}, 1, 500, "a(b)", True, False, True),
        ({"a": "b", "b": "c"}, 2, 500, "a(b(c))", True, False, False),
        # c is first met at the depth limit through b, but a shorter way expands it
        ({"a": "bc", "b": "c", "c": "d"}, 2, 500, "a(b(c*) c(d))", True, False, False),
        ({"a": "b", "b": "c", "c": "a"}, 2, 500, "a(b(c))", True, True, True),
        # the cap
        ({"a": "bcd"}, None, 3, "a(b c)", False, False, False),
        ({"a": "b", "b": "c"}, None, 1, "a", False, False, False),
        ({"a": "bc", "b": "d", "c": "d"}, None, 4, "a(b(d) c(d*))", True, False, False),
    ],
)
def test_small_graphs(
    graph: Mapping[str, str], depth: int | None, limit: int, tree: str, complete: bool, cycle: bool, capped: bool
) -> None:
    found = on(graph, depth=depth, limit=limit)
    assert drawn(found) == tree
    assert (found.complete, found.has_cycle, found.depth_capped) == (complete, cycle, capped)


graphs = st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4), max_size=10)


@given(graphs, st.none() | st.integers(0, 5))
def test_random_graphs_as_networkx_sees_them(graph: dict[int, list[int]], depth: int | None) -> None:
    edges = {str(node): [str(parent) for parent in parents] for node, parents in graph.items()}
    known = nx.DiGraph((node, parent) for node, parents in edges.items() for parent in parents if parent != node)
    known.add_node("0")
    asked: list[str] = []

    def answer(nodes: Sequence[str]) -> dict[str, list[str]]:
        asked.extend(nodes)
        return {node: edges.get(node, []) for node in nodes}

    found = walk("0", answer, depth=depth)
    near = nx.single_source_shortest_path_length(known, "0", cutoff=depth)
    assert dict(found.depth) == dict(near)
    assert sorted(asked) == sorted(near), "each node is asked about once"
    assert found.has_cycle == (not nx.is_directed_acyclic_graph(known.subgraph(near)))
    assert found.complete
    assert walk("0", answer, depth=depth) == found, "the same graph gives the same answer in the same order"


@given(graphs, st.integers(1, 6))
def test_the_cap_holds_and_is_confessed(graph: dict[int, list[int]], limit: int) -> None:
    edges = {str(node): "".join(map(str, parents)) for node, parents in graph.items()}
    full, found = on(edges, "0"), on(edges, "0", limit=limit)
    assert len(found.order) == min(limit, len(full.order))
    assert found.complete == (len(full.order) <= limit)
    assert set(found.order) <= set(full.order)


@given(graphs, st.none() | st.integers(0, 4))
def test_the_tree_shows_every_node_in_full_exactly_once(graph: dict[int, list[int]], depth: int | None) -> None:
    found = on({str(node): "".join(map(str, parents)) for node, parents in graph.items()}, "0", depth)
    shown, waiting = [], ["0"]
    while waiting:
        node = waiting.pop()
        shown.append(node)
        waiting.extend(line.node for line in found.placements(node) if not line.already_shown)
    assert sorted(shown) == sorted(found.order)
