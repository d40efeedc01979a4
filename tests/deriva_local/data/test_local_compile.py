"""Statements: free of users' values, reading through indexes, kept between requests, stopped when they take too long."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo import Catalog, link, table

from deriva_local.acl.view import view_of
from deriva_local.query import patience, patterns
from deriva_local.query.bind import bind
from deriva_local.query.fragment import Late
from deriva_local.query.prepared import prepare
from deriva_local.query.sql import compile_plan
from deriva_local.service import data as writing
from deriva_local.service import rows as running
from deriva_local.store import limit
from deriva_local.url.ast import CatalogAddress, DataResource
from deriva_local.url.parse import parse
from deriva_local.wire.errors import Refusal

ODD = st.text(st.sampled_from("'\"`;-? \\%{}é0"), min_size=6, max_size=12)


def statement(catalog: Catalog, path: str, snapshot: str | None = None) -> tuple[str, list[str]]:
    """Return the SQL of an address, and how SQLite means to run it."""
    address = parse(f"/ermrest/catalog/{catalog.id}{path}")
    assert isinstance(address, CatalogAddress)
    assert isinstance(address.part, DataResource)
    with catalog.service.store.catalog(catalog.id).read(snapshot) as session:
        compiled = compile_plan(
            bind(address.part, view_of(session.model, catalog.service.owner.roles), 7), snapshot is not None, "json"
        )
        params = [session.moment if isinstance(each, Late) else each for each in compiled.params]
        plan = session.connection.execute("EXPLAIN QUERY PLAN " + compiled.text, params).fetchall()
    return compiled.text, [row[3] for row in plan]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ODD, ODD, ODD)
def test_no_statement_holds_what_a_user_wrote(calm: Catalog, alias: str, value: str, name: str) -> None:
    a, v, n = (quote(each, safe="") for each in (alias, value, name))
    for path in (
        f"/attribute/{a}:=Animal/Name={v};Name=any({v},{v}x)/{a}:Species::gt::{v}/{n}:=Name,{a}:*@sort({n})@after({v})",
        f"/attributegroup/Animal/Tags={v}/{n}:=Name;{n}2:=cnt(*)@sort({n}2)@before(5)",
        f"/attribute/Animal/Name::ciregexp::{quote(quote(value, safe=''), safe='')}/{n}:=Name",
    ):
        text, _ = statement(calm, path)
        assert not any(each in text for each in (alias, value, name))
        assert calm.send("GET", path + "?limit=7").status == 200


PLANS = [
    ("one row by RID", "/entity/Animal/RID=1-A", "RID=? AND died=?"),
    ("one row by key", "/entity/Animal/Name=Tom", "died=?"),
    ("pages by RID", "/entity/Animal@sort(RID)@after(1-A)", "died=? AND RID>?"),
    ("children of a row", "/entity/Animal/Name=Tom/Visit", "COVERING INDEX"),
    ("a join without an index makes one", "/entity/Species/(Legs)=(Visit:Cost)", "AUTOMATIC"),
    ("so does a left join", "/attribute/S:=Species/V:=left(Legs)=(Visit:Cost)/S:Name,V:Day", "AUTOMATIC"),
]


@pytest.mark.parametrize(("path", "step"), [pytest.param(*case[1:], id=case[0]) for case in PLANS])
def test_the_plan_uses_indexes(calm: Catalog, path: str, step: str) -> None:
    _, plan = statement(calm, path)
    assert any(step in each for each in plan), plan
    assert not any(each.startswith("SCAN T") and "T0" not in each for each in plan), plan


def test_a_page_by_rid_needs_no_sorting(calm: Catalog) -> None:
    assert not any("ORDER BY" in step for step in statement(calm, "/entity/Animal@sort(RID)@after(1-A)")[1])


def test_the_past_is_read_by_the_same_statement_but_for_its_moment(calm: Catalog) -> None:
    path = "/attribute/A:=Animal/Visit/A:Name@sort(Name)"
    now, _ = statement(calm, path)
    then, _ = statement(calm, path, calm.snaptime())
    assert now != then
    assert now.count("died") == then.count("died")


def test_a_query_is_prepared_once_per_model(wild: Catalog) -> None:
    target = f"/ermrest/catalog/{wild.id}/entity/zoo:Note"
    address = parse(target)
    assert isinstance(address, CatalogAddress)
    assert isinstance(address.part, DataResource)

    def prepared() -> object:
        with wild.service.store.catalog(wild.id).read() as session:
            view = view_of(session.model, wild.service.owner.roles)
            return prepare(target, address.part, view, None, False, "json")  # type: ignore[union-attr, arg-type]

    first = prepared()
    wild.insert("zoo:Note", {"Text": "x"})
    assert prepared() is first
    wild.define("more", table("T", "a text"))
    assert prepared() is not first


def test_a_changed_model_changes_what_is_read(wild: Catalog) -> None:
    wild.insert("zoo:Note", {"Text": "x"})
    snap = wild.snaptime()
    assert list(wild.get("/entity/zoo:Note")[0])[-1] == "Text"
    wild.send("PUT", "/schema/zoo/table/Note/column/Text", {"name": "Words"})
    wild.send("POST", "/schema/zoo/table/Note/column", {"name": "New", "type": {"typename": "int4"}})
    assert list(wild.get("/entity/zoo:Note")[0])[-2:] == ["Words", "New"]
    assert wild.refusal("GET", "/entity/zoo:Note/Text=x")[0] == 409
    assert wild.get("/attribute/zoo:Note/Text", snapshot=snap) == [{"Text": "x"}]


def test_a_query_that_takes_too_long_is_stopped(calm: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TIME_LIMIT", -1.0)
    monkeypatch.setattr(limit, "_STEPS", 100)
    status, text = calm.refusal("GET", "/attribute/A:=Animal/B:=(Tame)=(Animal:Tame)/C:=(Tame)=(Animal:Tame)/A:RID")
    assert status == 400
    assert "Query run time limit exceeded." in text
    monkeypatch.undo()
    assert len(calm.get("/entity/Animal")) == 4


@pytest.mark.parametrize(
    ("path", "single"),
    [
        ("/entity/C:=Child/Middle/Parent/name=p1/$C", True),
        ("/entity/Parent/name=p1/Middle/Child", True),
        ("/attribute/P:=Parent/M:=Middle/C:=Child/RID,m:=M:name,p:=P:name", True),
        ("/entity/Parent/Middle", True),
        ("/entity/Middle/Parent", False),
        ("/entity/P:=Parent/Middle/Child/$P", False),
        ("/entity/Child/Middle/C2:=Child", False),
    ],
)
def test_joins_along_keys_need_no_sorting_out(empty: Catalog, path: str, single: bool) -> None:
    empty.define(
        "s",
        table("Parent", "name text", keys=("name",)),
        table("Middle", "name text", "parent text", keys=("name",), links=(link("parent", "s", "Parent", "name"),)),
        table("Child", "name text", "middle text", links=(link("middle", "s", "Middle", "name"),)),
    )
    empty.insert("Parent", {"name": "p1"}, {"name": "p2"})
    empty.insert("Middle", *({"name": f"m{n}", "parent": f"p{1 + n % 2}"} for n in range(4)))
    empty.insert("Child", *({"name": f"c{n}", "middle": f"m{n % 4}"} for n in range(12)))
    text, _ = statement(empty, path)
    assert ("GROUP BY" not in text and " IN (SELECT" not in text) == single
    rids = [row["RID"] for row in empty.get(path)]
    assert rids and len(set(rids)) == len(rids)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/entity/s:T", [{"n": n} for n in range(1000, 1500)]),
        ("PUT", "/entity/s:T", [{"n": n} for n in range(500)]),
        ("PUT", "/attributegroup/s:T/n;t", [{"n": n, "t": "x"} for n in range(200)]),
        ("DELETE", "/entity/s:T", None),
        ("DELETE", "/attribute/s:T/t", None),
    ],
)
def test_a_change_that_takes_too_long_is_stopped_and_leaves_nothing(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: object
) -> None:
    empty.define("s", table("T", "n int4", "t text", keys=("n",)))
    empty.insert("T", *({"n": n, "t": "t"} for n in range(200)))
    before = empty.get("/entity/s:T"), empty.snaptime()
    monkeypatch.setattr(writing, "WRITE_LIMIT", -1.0)
    monkeypatch.setattr(limit, "_STEPS", 100)
    status, text = empty.refusal(method, path, body)
    assert (status, "Query run time limit exceeded." in text) == (400, True)
    monkeypatch.undo()
    assert (empty.get("/entity/s:T"), empty.snaptime()) == before
    empty.insert("T", {"n": 1000})


@pytest.mark.parametrize(
    ("pattern", "status"), [("(a|aa)+$", 400), ("(a|aa)+!", 200), ("(.*a){3}!", 200), ("a.*a.*a.*b", 400)]
)
def test_a_pattern_that_would_search_for_ever_is_stopped(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, pattern: str, status: int
) -> None:
    empty.define("s", table("T", "t text"))
    empty.insert("T", {"t": "a" * 9000 + "!"})
    monkeypatch.setattr(patience, "LONGEST_SEARCH", 0.1)
    assert empty.send("GET", f"/entity/s:T/t::regexp::{quote(pattern)}").status == status


def test_floats_survive_as_text(empty: Catalog) -> None:
    empty.define("s", table("T", "f float8"))
    numbers = [0.1, 1 / 3, 2.5e-5, 1e14, 1e15, 1.5e15, 2.0**63, 1e22, 5e-324, 1.7976931348623157e308, -0.5, 12345.678]
    empty.insert("T", *({"f": number} for number in numbers))
    assert [row["f"] for row in empty.get("/attribute/T/f")] == numbers
    shown = empty.send("GET", "/attribute/T/f", accept="text/csv").text.split("\n")[1:-1]
    assert [float(text) for text in shown] == numbers
    assert shown[:6] == ["0.1", "0.3333333333333333", "2.5e-05", "100000000000000", "1e+15", "1.5e+15"]


PATTERNS = [
    (r"^a.c$", "abc", True), (r"\yfoo\y", "a foo b", True), (r"\mfoo", "afoo", False), (r"foo\M", "foos", False),
    (r"[[:digit:]]+x", "12x", True), (r"[^[:alpha:]]", "abc", False), (r"[[:punct:]]", "a,b", True), (r"\\y", r"\y", True),
    (r"[[:upper:]]", "é", False), (r"(a|b){2}", "xab", True), (r"[[:space:]]", "a\tb", True),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "found"), PATTERNS)
def test_patterns_of_the_other_dialect(pattern: str, text: str, found: bool) -> None:
    assert (patterns.compiled(pattern, False).search(text) is not None) == found


@pytest.mark.parametrize("pattern", ["[", "(", "a{2,1}", "*"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(Refusal) as refused:
        patterns.check_pattern(pattern, True)
    assert refused.value.status == 400
