"""Executions that ran others, and the datasets that executions read: links in the catalog, followed a level per request.

A link whose two ends the catalog does not both know, or that is made offline, waits in the workspace and is sent later.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deriva_ml.catalog.leases import LEASES
from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.errors import (
    DerivaMLCatalogError,
    DerivaMLConflictError,
    DerivaMLDataError,
    DerivaMLNotFoundError,
    DerivaMLServerError,
    DerivaMLValidationError,
)
from deriva_ml.execution.nested import REFUSED, TOLD, WAITS, Link, Nested
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.names import DRY_RUN_RID, TableName
from deriva_ml.rid import check_rid, is_local

log = logging.getLogger(__name__)


def rid_of(execution: Any) -> str:
    """Return the RID of an execution given as one, as its record, or as its RID.

    Raises:
        DerivaMLValidationError: it is none of these, or a dry run.
    """
    rid = execution if isinstance(execution, str) else getattr(execution, "execution_rid", None)
    if not isinstance(rid, str):
        raise DerivaMLValidationError(f"{execution!r} is not an execution: give the execution or its RID.")
    if rid == DRY_RUN_RID:
        raise DerivaMLValidationError("A dry run has no record, so it cannot be nested in another execution.")
    return check_rid(rid)


def nest(session: Catalog, parent: str, child: str, sequence: int | None = None) -> None:
    """Record in the catalog that ``parent`` ran ``child``; recording it again changes nothing.

    Raises:
        DerivaMLValidationError: the child contains the parent, or has another number among its children already.
        DerivaMLNotFoundError: the catalog does not have both executions.
    """
    if parent == child or parent in children(session, child, recurse=True):
        raise _in_a_circle(parent, child)
    row = {"Execution": parent, "Nested_Execution": child, "Sequence": sequence}
    try:
        made = insert(session, _links(session), [row], skip_conflicts=True)
    except DerivaMLConflictError as error:
        _refuse_missing(session, (parent, child), error)
        raise
    if made or sequence is None:
        return
    known = select(session, _links(session), {"Execution": parent, "Nested_Execution": child}, columns=["Sequence"])
    if known and known[0]["Sequence"] != sequence:
        raise _another_number(parent, child, known[0]["Sequence"], sequence)


def _refuse_missing(session: Catalog, wanted: Sequence[str], error: DerivaMLConflictError) -> None:
    there = select(session, TableName(session.ml_schema, "Execution"), {"RID": list(wanted)}, columns=["RID"])
    missing = [rid for rid in wanted if rid not in {row["RID"] for row in there}]
    if missing:
        raise DerivaMLNotFoundError(f"The catalog has no execution {' and no '.join(missing)}.") from error


def _in_a_circle(parent: str, child: str) -> DerivaMLValidationError:
    return DerivaMLValidationError(f"Execution {child} contains {parent}, so it cannot be nested in it.")


def _another_number(parent: str, child: str, known: int | None, wanted: int | None) -> DerivaMLValidationError:
    return DerivaMLValidationError(
        f"Execution {child} is recorded as run by {parent} with the sequence number {known}, which stays; {wanted} was given now."
    )


def _links(session: Catalog) -> TableName:
    return TableName(session.ml_schema, "Execution_Execution")


def children(session: Catalog, rid: str, recurse: bool = False) -> list[str]:
    """Return the executions that ``rid`` ran, in their order; with ``recurse`` all below it."""
    return _follow(session, rid, "Execution", "Nested_Execution", recurse)


def parents(session: Catalog, rid: str, recurse: bool = False) -> list[str]:
    """Return the executions that ran ``rid``; with ``recurse`` all above it."""
    return _follow(session, rid, "Nested_Execution", "Execution", recurse)


def _follow(session: Catalog, rid: str, here: str, there: str, recurse: bool) -> list[str]:
    found: dict[str, None] = {}
    generation = [rid]
    while generation:
        where, columns = {here: generation}, [there, "Sequence", "RCT"]
        rows = select(session, _links(session), where, columns=columns, sort=("Sequence", "RCT"))
        generation = [
            other for other in dict.fromkeys(row[there] for row in rows) if other not in found and other != rid
        ]
        found |= dict.fromkeys(generation)
        if not recurse:
            break
    return list(found)


def input_datasets(session: Catalog, rid: str) -> list[Dataset]:
    """Return the datasets that the execution ``rid`` read."""
    rows = select(session, TableName(session.ml_schema, "Dataset_Execution"), {"Execution": rid}, columns=["Dataset"])
    return [Dataset(session, dataset) for dataset in dict.fromkeys(row["Dataset"] for row in rows)]


# -------------------------------------------------------------------------------------------- with what this machine knows


def add(session: Catalog, store: ExecutionStore, parent: str, child: str, sequence: int | None = None) -> None:
    """Record that ``parent`` ran ``child``: in the catalog, or here until the catalog can be told and knows both.

    Raises:
        DerivaMLValidationError: the child contains the parent, or has another number already.
        DerivaMLStateInconsistency: a local name that this workspace does not know.
        DerivaMLNotFoundError: the catalog does not have both executions.
    """
    for name in (parent, child):
        if is_local(name):
            store.require(name)
    parent, child = store.current_name(parent), store.current_name(child)
    link, nested = Link(parent, child, sequence), Nested(store)
    waiting = nested.find(parent, child, (WAITS,))
    if waiting is not None and sequence not in (None, waiting.sequence):
        raise _another_number(parent, child, waiting.sequence, sequence)
    if session.offline or _untold(store, parent) or _untold(store, child):
        _wait(nested, link)
    else:
        nest(session, parent, child, sequence)
        nested.write(link, TOLD, durable=False)  # the catalog has it: this is for offline sessions


def _wait(nested: Nested, link: Link) -> None:
    if link.parent == link.child or link.parent in nested.children(link.child, recurse=True):
        raise _in_a_circle(link.parent, link.child)
    if nested.find(link.parent, link.child, (WAITS,)) is None:
        nested.write(link, WAITS)


def _untold(store: ExecutionStore, rid: str) -> bool:
    found = store.get(rid)
    return found is not None and found.untold


def children_known(session: Catalog, store: ExecutionStore, rid: str, recurse: bool) -> list[str]:
    """Return the executions that ``rid`` ran, by the catalog with those that wait to be told; offline by this workspace."""
    nested, name = Nested(store), store.current_name(rid)
    if session.offline or _untold(store, name):
        return nested.children(name, recurse)
    return list(dict.fromkeys([*children(session, name, recurse), *nested.children(name, recurse, (WAITS,))]))


def parents_known(session: Catalog, store: ExecutionStore, rid: str, recurse: bool) -> list[str]:
    """Return the executions that ran ``rid``, as :func:`children_known` returns those that it ran."""
    nested, name = Nested(store), store.current_name(rid)
    if session.offline or _untold(store, name):
        return nested.parents(name, recurse)
    return list(dict.fromkeys([*parents(session, name, recurse), *nested.parents(name, recurse, (WAITS,))]))


def tell(session: Catalog, store: ExecutionStore, rid: str | None = None) -> list[str]:
    """Send the links that wait, of one execution or of all, in their order, as far as the catalog knows both ends now.

    What the catalog does not take (an execution is gone, another number is there, a circle) stays here with the reason, and
    nothing is overwritten; the sentences that are returned say so. A process that dies on the way leaves the rest to the next.
    """
    said = []
    for link in Nested(store).links((WAITS,), rid):
        ends = [_in_catalog(session, store, *end) for end in _ends(link)]
        if not all(ends):
            continue
        now = replace(link, parent=ends[0], child=ends[1])
        try:
            nest(session, now.parent, now.child, now.sequence)
            Nested(store).settle(link, now, TOLD)
        except DerivaMLServerError:  # it may take it later
            raise
        except (DerivaMLDataError, DerivaMLCatalogError) as error:
            Nested(store).settle(link, replace(now, reason=str(error)), REFUSED)
            said.append(_refusal(replace(now, reason=str(error))))
            log.warning("%s", said[-1])
    return said


def refused(store: ExecutionStore, rid: str) -> list[str]:
    """Return what the catalog did not take of the links of ``rid``, as sentences."""
    return [_refusal(link) for link in Nested(store).links((REFUSED,), rid)]


def _refusal(link: Link) -> str:
    return f"that {link.parent} ran {link.child} is not recorded: {link.reason}"


def _ends(link: Link) -> Sequence[tuple[str, str | None]]:
    return (link.parent, link.parent_token), (link.child, link.child_token)


def _in_catalog(session: Catalog, store: ExecutionStore, name: str, token: str | None) -> str:
    """Return the RID of an end that the catalog knows; "" while it does not.

    One that was brought there by another machine is found by the token of its lease.
    """
    known = store.get(name)
    if known is not None:
        return "" if known.untold else known.rid
    if not is_local(name):
        return name
    leased = select(session, LEASES, {"ID": token}, columns=["RID"]) if token else []
    table = TableName(session.ml_schema, "Execution")
    rows = select(session, table, {"RID": [row["RID"] for row in leased]}, columns=["RID"])
    return str(rows[0]["RID"]) if rows else ""
