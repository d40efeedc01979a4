"""Members of datasets: who they are, added and removed in batches, with checks that cost a few requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import PAGE_ROWS, Row, conditions, count, delete, insert, pages, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import (
    DerivaMLCycleError,
    DerivaMLRidsNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml.names import TableName, encode
from deriva_ml.rid import check_rid

Members: TypeAlias = Iterable[Any] | Mapping[str, Iterable[Any]]


def nesting_table(session: Catalog) -> TableName:
    """Return the name of the table that nests datasets in datasets."""
    return TableName(session.ml_schema, "Dataset_Dataset")


def dataset_table(session: Catalog) -> TableName:
    """Return the name of the table of datasets."""
    return TableName(session.ml_schema, "Dataset")


def member_column(link: TableModel, element: TableName) -> str:
    """Return the column of an element type's association that names the member."""
    if link.name.name == "Dataset_Dataset":
        return "Nested_Dataset"
    return next(key.column for key in link.association_references if key.target == element)


def dataset_column(link: TableModel) -> str:
    """Return the column of an element type's association that names the dataset."""
    if link.name.name == "Dataset_Dataset":
        return "Dataset"
    return next(key.column for key in link.association_references if key.target.name == "Dataset")


# ------------------------------------------------------------------------------------------------------------- nesting


def descendants(session: Catalog, rids: Collection[str], *, recurse: bool = True) -> dict[str, list[str]]:
    """Return parent → children for the datasets nested below ``rids``: one request a level, cycles end the search."""
    return _levels(session, rids, "Dataset", "Nested_Dataset", recurse)


def ancestors(session: Catalog, rids: Collection[str], *, recurse: bool = True) -> dict[str, list[str]]:
    """Return child → parents for the datasets above ``rids``: one request a level."""
    return _levels(session, rids, "Nested_Dataset", "Dataset", recurse)


def _levels(session: Catalog, rids: Collection[str], near: str, far: str, recurse: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    level = list(dict.fromkeys(rids))
    while level:
        found |= {rid: [] for rid in level}
        rows = select(session, nesting_table(session), {near: level}, columns=["RID", near, far], sort=["RID"])
        for row in rows:
            found[row[near]].append(row[far])
        level = [rid for rid in dict.fromkeys(row[far] for row in rows) if rid not in found] if recurse else []
    return found


def all_below(session: Catalog, rid: str) -> list[str]:
    """Return the datasets nested below ``rid``, nearest first, without ``rid`` itself."""
    tree = descendants(session, [rid])
    return list(dict.fromkeys(child for children in tree.values() for child in children if child != rid))


def _refuse_cycle(session: Catalog, rid: str, children: Sequence[str]) -> None:
    tree = descendants(session, children)
    trails: list[list[str]] = [[rid, child] for child in children]
    while trails:
        trail = trails.pop()
        if trail[-1] == rid:
            raise DerivaMLCycleError(trail)
        trails.extend([*trail, below] for below in tree[trail[-1]] if below not in trail[1:])


# ------------------------------------------------------------------------------------------------------------- reading


def list_members(session: Catalog, rids: Collection[str], *, limit: int | None = None) -> dict[str, list[Row]]:
    """Return element table → member rows of the datasets ``rids``, each member once: one request per element type."""
    page = PAGE_ROWS if limit is None else max(1, min(limit, PAGE_ROWS))
    found: dict[str, list[Row]] = {}
    for element, link in session.model().element_types().items():
        rows: dict[str, Row] = {}
        for address in member_addresses(link, element, rids):
            rows |= {row["RID"]: row for row in islice(pages(session, f"/entity/{address}", page), limit)}
        found[element.name] = list(rows.values())[:limit]
    return found


def member_addresses(link: TableModel, element: TableName, rids: Collection[str]) -> list[str]:
    """Return the addresses (below ``/entity/``) of the member rows of ``rids``; one, unless the datasets are many."""
    join = f"({encode(member_column(link, element))})=({element.path}:RID)"
    return [f"{link.name.path}{part}/{join}" for part in conditions({dataset_column(link): list(rids)})]


# ------------------------------------------------------------------------------------------------------------- writing


def chosen(session: Catalog, rid: str, members: Members, *, validate: bool = True) -> dict[TableName, list[str]]:
    """Return the rows that are to be members of the dataset ``rid``, by their tables.

    ``members`` is element table → RIDs, or a plain list of RIDs, whose tables are then looked up. Objects that know
    their RID (assets, datasets) stand for it.

    Raises:
        DerivaMLTableTypeError: a table is not an element type.
        DerivaMLRidsNotFound: with ``validate``, some RIDs name no row of their table.
        DerivaMLCycleError: the dataset would come to contain itself.
    """
    found = by_table(session, members, validate=validate)
    nested = found.get(dataset_table(session), [])
    if nested:
        _refuse_cycle(session, rid, nested)
    return found


def has_others(session: Catalog, rid: str, rows: Mapping[TableName, list[str]]) -> bool:
    """Return whether some of these rows are not members of the dataset ``rid``."""
    return any(
        len(rids) > count(session, link, {near: rid}) or len(rids) > count(session, link, {near: rid, far: rids})
        for link, near, far, rids in _links(session, rows)
    )


def has_any(session: Catalog, rid: str, rows: Mapping[TableName, list[str]]) -> bool:
    """Return whether some of these rows are members of the dataset ``rid``."""
    return any(count(session, link, {near: rid, far: rids}) for link, near, far, rids in _links(session, rows))


def _links(session: Catalog, rows: Mapping[TableName, list[str]]) -> Iterator[tuple[TableName, str, str, list[str]]]:
    """Yield the association of each element type, its columns for the dataset and for the member, and the members."""
    links = session.model().element_types()
    for element, rids in rows.items():
        yield links[element].name, dataset_column(links[element]), member_column(links[element], element), rids


def add_members(session: Catalog, rid: str, rows: Mapping[TableName, list[str]]) -> int:
    """Make rows members of the dataset ``rid``; return how many were not members before."""
    return sum(
        len(insert(session, link, [{near: rid, far: member} for member in rids], skip_conflicts=True))
        for link, near, far, rids in _links(session, rows)
    )


def delete_members(session: Catalog, rid: str, rows: Mapping[TableName, list[str]]) -> int:
    """Take rows out of the dataset ``rid``; return how many were members."""
    return sum(delete(session, link, {near: rid, far: rids}) for link, near, far, rids in _links(session, rows))


def by_table(session: Catalog, members: Members, *, validate: bool) -> dict[TableName, list[str]]:
    """Return the rows that ``members`` means, by their tables; raises as :func:`chosen` does."""
    if not isinstance(members, Mapping):
        return _sorted_out(session, _rids(members))
    found: dict[TableName, list[str]] = {}
    for name, given in members.items():
        element = _element(session, name)
        found[element] = _rids([*found.get(element, ()), *given])
        if validate:
            _check_there(session, element, found[element])
    return found


def _element(session: Catalog, name: str) -> TableName:
    element = session.model().find_table(name).name
    if element not in session.model().element_types() and element not in session.refresh().element_types():
        raise DerivaMLTableTypeError(
            "element type",
            element.name,
            f"Rows of {element.name} cannot be members yet: `ml.add_dataset_element_type({element.name!r})` allows it.",
        )
    return element


def _sorted_out(session: Catalog, rids: list[str]) -> dict[TableName, list[str]]:
    """Find the table of each RID: a request per element type and batch, not per RID."""
    left, found = rids, {}
    for element in session.refresh().element_types():
        if not left:
            break
        there = {row["RID"] for row in select(session, element, {"RID": left}, columns=["RID"])}
        if there:
            found[element] = [rid for rid in left if rid in there]
            left = [rid for rid in left if rid not in there]
    if left:
        raise DerivaMLRidsNotFound(left, f"These RIDs are in no table of an element type: {', '.join(left[:20])}.")
    return found


def _check_there(session: Catalog, element: TableName, rids: list[str]) -> None:
    there = {row["RID"] for row in select(session, element, {"RID": rids}, columns=["RID"])}
    missing = [rid for rid in rids if rid not in there]
    if missing:
        raise DerivaMLRidsNotFound(missing, f"Table {element.name} has no row with the RID {', '.join(missing[:20])}.")


def _rids(members: Iterable[Any]) -> list[str]:
    if isinstance(members, str):
        raise DerivaMLValidationError(f"Members are given as a list of RIDs, not as one text: [{members!r}].")
    return list(dict.fromkeys(check_rid(_rid_of(member)) for member in members))


def _rid_of(member: Any) -> str:
    """Return the RID of a member that is given as one, or as an object that has one."""
    if isinstance(member, str):
        return member
    for name in ("asset_rid", "dataset_rid", "RID", "rid"):
        rid = getattr(member, name, None)
        if isinstance(rid, str):
            return rid
    raise DerivaMLValidationError(
        f"{member} has no RID: a staged file gets one when it is committed, and can be a member after that."
    )
