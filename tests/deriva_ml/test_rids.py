"""Which table a RID belongs to: one, many at once, none, and rows that are gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deriva_ml import ColumnDefinition, DerivaML, TableDefinition
from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import delete, insert
from deriva_ml.errors import DerivaMLRidsNotFound, DerivaMLTableNotFound, DerivaMLValidationError
from deriva_ml.names import TableName

Rows = dict[str, list[str]]


@pytest.fixture
def rows(ml: DerivaML) -> Rows:
    made: Rows = {}
    for name in ("Cat", "Dog"):
        ml.create_table(TableDefinition(name, [ColumnDefinition("N", "int4")]))
        stored = insert(ml.session, TableName(ml.default_schema, name), [{"N": n} for n in range(300)])
        made[name] = [row["RID"] for row in stored]
    return made


def test_one(ml: DerivaML, rows: Rows) -> None:
    found = ml.resolve_rid(rows["Dog"][0])
    assert (found.schema_name, found.table_name, found.rid) == (ml.default_schema, "Dog", rows["Dog"][0])


def test_at_a_snapshot_a_deleted_row_is_still_there(ml: DerivaML, rows: Rows) -> None:
    rid = rows["Dog"][0]
    before = ml.session.latest_snapshot()
    delete(ml.session, TableName(ml.default_schema, "Dog"), {"RID": rid})
    with pytest.raises(DerivaMLRidsNotFound, match=f"{rid} of Dog was deleted at"):
        ml.resolve_rid(rid)
    assert ml.resolve_rid(f"{rid}@{before}").table_name == "Dog"


def test_many_cost_a_few_requests(ml: DerivaML, rows: Rows, requests_of: Callable[[DerivaML], list[str]]) -> None:
    wanted = [*rows["Cat"], *rows["Dog"]]
    sent = requests_of(ml)
    found = ml.resolve_rids(wanted)
    assert {found[rid].table_name for rid in rows["Cat"]} == {"Cat"}
    assert {found[rid].table_name for rid in rows["Dog"]} == {"Dog"}
    assert len(found) == 600 and len(sent) <= 8


def test_all_that_are_missing_are_named_without_a_request_for_each(
    ml: DerivaML, rows: Rows, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    unknown = [f"ZZ-{n:04}" for n in range(150)]
    sent = requests_of(ml)
    with pytest.raises(DerivaMLRidsNotFound) as error:
        ml.resolve_rids([rows["Cat"][0], *unknown, rows["Dog"][0]])
    assert error.value.missing_rids == unknown
    assert len(sent) <= 5 + len(list(ml.session.model().tables()))


def test_candidates_are_looked_at_first(ml: DerivaML, rows: Rows, requests_of: Callable[[DerivaML], list[str]]) -> None:
    sent = requests_of(ml)
    assert len(ml.resolve_rids(rows["Dog"][:50], candidate_tables=["Dog"])) == 50
    assert len(sent) == 1
    with pytest.raises(DerivaMLTableNotFound):
        ml.resolve_rids(rows["Dog"][:1], candidate_tables=["Bird"])


def test_a_leased_rid_means_the_row_that_took_it(ml: DerivaML, rows: Rows) -> None:
    leased = lease(ml.session, ["first", "second"])
    with pytest.raises(DerivaMLRidsNotFound, match="reserved; no row has it yet"):
        ml.resolve_rid(leased["first"])
    dog = TableName(ml.default_schema, "Dog")
    insert(ml.session, dog, [{"RID": leased["first"], "N": 1}], given={"RID"})
    assert ml.resolve_rid(leased["first"]).table_name == "Dog"
    assert ml.resolve_rids([leased["first"], rows["Cat"][0]])[leased["first"]].table_name == "Dog"
    delete(ml.session, dog, {"RID": leased["first"]})
    with pytest.raises(DerivaMLRidsNotFound, match="of Dog was deleted"):
        ml.resolve_rid(leased["first"])
    with pytest.raises(DerivaMLRidsNotFound):
        ml.resolve_rids([leased["second"], rows["Cat"][0]])


@pytest.mark.parametrize("rid", ["", "1 2", "../1", "abc", "1-ABC@"])
def test_what_is_no_rid(ml: DerivaML, rid: str) -> None:
    for call in (lambda: ml.resolve_rid(rid), lambda: ml.resolve_rids([rid]), lambda: ml.lookup_asset(rid)):
        with pytest.raises(DerivaMLValidationError, match="not a RID"):
            call()


def test_nobody_has_it(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLRidsNotFound, match="has the RID ZZ-ZZ") as error:
        ml.resolve_rid("ZZ-ZZ")
    assert error.value.missing_rids == ["ZZ-ZZ"]


def test_citing(ml: DerivaML, rows: Rows) -> None:
    rid = rows["Cat"][0]
    snapshot = ml.session.latest_snapshot()
    start = f"{(ml.working_dir / 'catalog').as_uri()}#" if ml.host_name == "embedded" else f"https://{ml.host_name}/id/"
    assert ml.cite(rid) == f"{start}{ml.catalog_id}/{rid}@{snapshot}"
    assert ml.cite({"RID": rid}, current=True) == f"{start}{ml.catalog_id}/{rid}"
    assert ml.cite(ml.resolve_rid(rid)) == ml.cite(rid)
    assert ml.catalog_snapshot(snapshot).cite(rid) == ml.cite(rid)
    assert "dry run" in ml.cite("0000")
    with pytest.raises(DerivaMLValidationError, match="no RID"):
        ml.cite(3)
