"""Walk back along the data, one generation at a time. The walk knows no catalog.

::

    walk("E4", edges)             edges(["E4"])       -> {"E4": ["E3", "E2"]}
                                  edges(["E3", "E2"]) -> {"E3": ["E1"], "E2": ["E1"]}
                                  edges(["E1"])       -> {"E1": []}

Each node is asked about once, at the end of the shortest way to it, so a depth limit never hides what a shorter way
reaches. Values only, no I/O: ``edges`` may do some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deriva_ml.lineage.graph import Graph

Edges = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
"""Given the nodes of one generation, return the parents of each, in the order to show them."""


def walk(seed: str, edges: Edges, *, depth: int | None = None, limit: int = 500) -> Graph:
    """Return the graph that is reached from ``seed``: at most ``depth`` generations back, at most ``limit`` nodes.

    A node that is its own parent loses that edge. ``complete`` is False when ``limit`` left nodes out,
    ``depth_capped`` is True when nodes at ``depth`` have parents.
    """
    depths: dict[str, int] = {seed: 0}
    found_by: dict[str, str | None] = {seed: None}
    parents: dict[str, tuple[str, ...]] = {}
    generation, complete, capped = [seed], True, False
    while generation:
        answers = edges(tuple(generation))
        following: list[str] = []
        for node in generation:
            parents[node] = tuple(dict.fromkeys(parent for parent in answers.get(node, ()) if parent != node))
            if depth is not None and depths[node] >= depth:
                capped = capped or bool(parents[node])
                continue
            for parent in parents[node]:
                if parent in depths:
                    continue
                if len(depths) >= limit:
                    complete = False
                    continue
                depths[parent], found_by[parent] = depths[node] + 1, node
                following.append(parent)
        generation = following
    seen = {node: tuple(parent for parent in parents[node] if parent in depths) for node in depths}
    return Graph(tuple(depths), seen, depths, found_by, depth, complete, capped)
