"""Rows in batches, by both roads: stored, read, changed under a condition, deleted."""

from __future__ import annotations

import pytest

from deriva_ml import ColumnDefinition, DerivaML, KeyDefinition, TableDefinition
from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import count, delete, fetch, insert, pages, select, update, update_if
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLConflictError, DerivaMLReadOnlyError
from deriva_ml.names import TableName


@pytest.fixture
def thing(ml: DerivaML) -> TableName:
    columns = [
        ColumnDefinition("Name", "text", False),
        ColumnDefinition("Number", "int4", default=7),
        ColumnDefinition("Note", "text", default="none"),
        ColumnDefinition("Tags", "text[]"),
        ColumnDefinition("Facts", "jsonb"),
    ]
    ml.create_table(TableDefinition("Thing", columns, [KeyDefinition(["Name"])]))
    return TableName(ml.default_schema, "Thing")


def test_rows_come_back_as_stored_in_order(ml: DerivaML, thing: TableName) -> None:
    rows = [{"Name": f"n{n}", "Number": n, "Tags": ["a", "b"], "Facts": {"k": [n]}} for n in range(5)]
    stored = insert(ml.session, thing, rows)
    assert [row["Name"] for row in stored] == ["n0", "n1", "n2", "n3", "n4"]
    assert stored[3]["Tags"] == ["a", "b"] and stored[3]["Facts"] == {"k": [3]} and stored[3]["Note"] == "none"
    assert all(row["RID"] and row["RCT"] == row["RMT"] and row["RCB"] for row in stored)


def test_a_column_that_some_rows_leave_out_has_its_default_there(ml: DerivaML, thing: TableName) -> None:
    stored = insert(ml.session, thing, [{"Name": "a", "Number": 1}, {"Name": "b"}, {"Name": "c", "Number": None}])
    assert [row["Number"] for row in stored] == [1, 7, None]


def test_nothing_to_insert_asks_nothing(ml: DerivaML, thing: TableName) -> None:
    assert insert(ml.session, thing, []) == []


def test_a_batch_is_stored_whole_or_not_at_all(ml: DerivaML, thing: TableName) -> None:
    insert(ml.session, thing, [{"Name": "a"}])
    with pytest.raises(DerivaMLConflictError):
        insert(ml.session, thing, [{"Name": "b"}, {"Name": "a"}])
    assert count(ml.session, thing) == 1
    assert [row["Name"] for row in insert(ml.session, thing, [{"Name": "b"}, {"Name": "a"}], skip_conflicts=True)] == [
        "b"
    ]


def test_leased_rids_are_used_and_leasing_again_is_the_same(ml: DerivaML, thing: TableName) -> None:
    tokens = [f"token {n}" for n in range(1_100)]
    leased = lease(ml.session, tokens)
    assert len(set(leased.values())) == 1_100
    assert lease(ml.session, [*tokens[:3], "new"]).items() >= {token: leased[token] for token in tokens[:3]}.items()
    (row,) = insert(ml.session, thing, [{"RID": leased["token 5"], "Name": "a"}], given={"RID"})
    assert row["RID"] == leased["token 5"]
    assert lease(ml.session, ["token 5"]) == {"token 5": leased["token 5"]}


def test_many_values_are_asked_for_in_few_requests(ml: DerivaML, thing: TableName) -> None:
    stored = insert(ml.session, thing, [{"Name": f"n{n:04}", "Number": n % 3} for n in range(1_000)])
    rids = [row["RID"] for row in stored]
    found = select(ml.session, thing, {"RID": rids, "Number": [0, 2]}, columns=["Name", "Number"])
    assert len(found) == 667 and set(found[0]) == {"Name", "Number"}
    assert count(ml.session, thing, {"RID": rids}) == 1_000
    assert select(ml.session, thing, {"RID": []}) == []


def test_order_and_limit_hold_across_requests(ml: DerivaML, thing: TableName) -> None:
    names = [f"n{n:04}" for n in range(600)]
    insert(ml.session, thing, [{"Name": name, "Number": None if n % 50 == 0 else n} for n, name in enumerate(names)])
    upwards = select(ml.session, thing, {"Name": names}, sort=["Number", "Name"], limit=590)
    numbers = [row["Number"] for row in upwards]
    assert len(numbers) == 590 and numbers[:3] == [1, 2, 3] and numbers[-2:] == [None, None]
    downwards = select(ml.session, thing, {"Name": names}, sort=["Number::desc::", "Name"], limit=14)
    assert [row["Number"] for row in downwards] == [None] * 12 + [599, 598]
    one_request = select(ml.session, thing, sort=["Number::desc::", "Name"], limit=14)
    assert one_request == downwards


@pytest.mark.parametrize(
    "name", ["a/b", "50%", "x=y&z;w", "größer", "it's", "(a,b)", "::null::", "+ +", "", "a\tb", "🙂"]
)
def test_any_text_is_a_value(ml: DerivaML, thing: TableName, name: str) -> None:
    insert(ml.session, thing, [{"Name": name}, {"Name": "other"}])
    assert [row["Name"] for row in select(ml.session, thing, {"Name": name})] == [name]
    assert len(select(ml.session, thing, {"Name": [name, "other"]})) == 2


def test_updates_touch_the_rows_that_exist(ml: DerivaML, thing: TableName) -> None:
    stored = insert(ml.session, thing, [{"Name": "a"}, {"Name": "b"}])
    changes = [{"RID": row["RID"], "Note": f"new {row['Name']}"} for row in stored] + [{"RID": "ZZ-ZZ", "Note": "x"}]
    assert len(update(ml.session, thing, changes, targets=["Note"])) == 2
    assert [row["Note"] for row in select(ml.session, thing, sort=["Name"])] == ["new a", "new b"]
    update(ml.session, thing, [{"Name": "a", "Number": 1}], keys=["Name"], targets=["Number"])
    assert select(ml.session, thing, {"Name": "a"})[0]["Number"] == 1


def test_compare_and_set(ml: DerivaML, thing: TableName) -> None:
    (row,) = insert(ml.session, thing, [{"Name": "a", "Note": None}])
    assert update_if(ml.session, thing, row["RID"], {"Note": None}, {"Note": "first", "Number": 1})
    assert not update_if(ml.session, thing, row["RID"], {"Note": None}, {"Note": "second"})
    assert update_if(ml.session, thing, row["RID"], {"Note": "first", "Number": 1}, {"Note": "third"})
    assert select(ml.session, thing)[0]["Note"] == "third"
    assert not update_if(ml.session, thing, "ZZ-ZZ", {"Note": None}, {"Note": "x"})


def test_deleting_says_how_many(ml: DerivaML, thing: TableName) -> None:
    insert(ml.session, thing, [{"Name": f"n{n}", "Number": n} for n in range(450)])
    assert delete(ml.session, thing, {"Name": [f"n{n}" for n in range(449)]}) == 449
    assert delete(ml.session, thing, {"Name": "n0"}) == 0
    assert [row["Name"] for row in fetch(ml.session, f"/entity/{thing.path}")] == ["n449"]


def test_pages_visit_each_row_once(ml: DerivaML, thing: TableName) -> None:
    insert(ml.session, thing, [{"Name": f"n{n}"} for n in range(10)])
    for size in (1, 3, 5, 10, 11):
        assert len({row["RID"] for row in pages(ml.session, f"/entity/{thing.path}", size)}) == 10


def test_a_snapshot_is_what_was_and_cannot_be_changed(ml: DerivaML, thing: TableName) -> None:
    insert(ml.session, thing, [{"Name": "a"}])
    before = ml.session.latest_snapshot()
    insert(ml.session, thing, [{"Name": "b"}])
    past = ml.session.at(before)
    assert past is ml.session.at(before)
    assert [row["Name"] for row in select(past, thing)] == ["a"]
    with pytest.raises(DerivaMLReadOnlyError, match="live catalog"):
        insert(past, thing, [{"Name": "c"}])
    assert ml.session.latest_snapshot() != before


def test_refusals_say_what_was_asked_and_why(ml: DerivaML, thing: TableName) -> None:
    with pytest.raises(DerivaMLCatalogError, match=r"answered 40\d to GET .*Nope") as error:
        fetch(ml.session, f"/entity/{thing.path}/Nope=1")
    assert error.value.status in {400, 404, 409}
