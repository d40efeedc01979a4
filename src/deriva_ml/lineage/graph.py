"""What a walk has found: which executions, in which order, and which came before which.

Values only, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True, slots=True)
class Placement:
    """One line of the tree under a node: a parent, and whether it is shown in full elsewhere."""

    node: str
    already_shown: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The part of a data-flow graph that a walk has seen.

    ``parents`` has an entry for each node of ``order`` and names only nodes of ``order``; ``depth`` is the length of
    the shortest way from the seed; ``found_by`` is the node under which a node is shown in full.
    """

    order: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    depth: Mapping[str, int]
    found_by: Mapping[str, str | None]
    limit: int | None = None
    complete: bool = True
    depth_capped: bool = False

    @property
    def has_cycle(self) -> bool:
        """Whether some execution comes, along the data, before itself."""
        try:
            TopologicalSorter(self.parents).prepare()
        except CycleError:
            return True
        return False

    def placements(self, node: str) -> list[Placement]:
        """Return what the tree shows under ``node``: each node of the graph is shown in full once, where the way is shortest."""
        if self.limit is not None and self.depth[node] >= self.limit:
            return []
        return [Placement(parent, self.found_by[parent] != node) for parent in self.parents[node]]
