"""What to do when store and catalog name two states for one execution: one table for all pairs.

Floor 1, a law: values in, values out. A row is the store's state, a column the catalog's::

    =  they agree
    >  the catalog lags behind: tell it
    <  somebody else drove the execution on: the store follows
    ?  tell the catalog if the store has been in its state, else follow
    x  tell the catalog if the store has been in its state, else they contradict each other

Why so. A catalog that lags was out of reach; the store's own history proves it. An end that others can see (Aborted,
Uploaded) is never taken back by a machine that did not see it. A catalog that says Running is followed by nobody: only the
process that runs can say so, and a store that never ran contradicts it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType

from deriva_ml.execution.states import ExecutionStatus

S = ExecutionStatus


class Verdict(StrEnum):
    """What makes store and catalog agree."""

    AGREE = "agree"
    TELL = "tell the catalog"
    FOLLOW = "follow the catalog"
    CONTRADICT = "contradict"


_COLUMNS = (S.Created, S.Running, S.Stopped, S.Failed, S.Pending_Upload, S.Uploaded, S.Aborted)
_GRID = """
    Created         = x < < < < <
    Running         > = < < < < <
    Stopped         > > = < < < <
    Failed          > > ? = ? < <
    Pending_Upload  > > ? ? = < <
    Uploaded        > > x ? ? = x
    Aborted         > > x x < < =
"""
PAIRS: Mapping[tuple[ExecutionStatus, ExecutionStatus], str] = MappingProxyType(
    {
        (S(row.split()[0]), column): mark
        for row in _GRID.strip().splitlines()
        for column, mark in zip(_COLUMNS, row.split()[1:], strict=True)
    }
)


def verdict(here: ExecutionStatus, there: ExecutionStatus, passed: Collection[ExecutionStatus]) -> Verdict:
    """Return what to do when the store says ``here`` and the catalog ``there``; the store has ``passed`` these states.

    Example:
        >>> verdict(S.Stopped, S.Running, {S.Created, S.Running})
        <Verdict.TELL: 'tell the catalog'>
        >>> verdict(S.Pending_Upload, S.Uploaded, {S.Created, S.Running, S.Stopped})
        <Verdict.FOLLOW: 'follow the catalog'>
    """
    mark = PAIRS[here, there]
    if mark in "?x":
        mark = ">" if there in passed else "<" if mark == "?" else "!"
    return {"=": Verdict.AGREE, ">": Verdict.TELL, "<": Verdict.FOLLOW, "!": Verdict.CONTRADICT}[mark]
