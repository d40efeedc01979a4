"""Which rows an address names: joins, contexts, filters, projections, groups, pages, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from zoo import Catalog


def names(catalog: Catalog, path: str) -> str:
    """Return the first column of all rows, sorted, with ``-`` for null."""
    rows = catalog.get(path)
    return " ".join(sorted("-" if next(iter(row.values())) is None else str(next(iter(row.values()))) for row in rows))


JOINS = [
    ("by table name, along the foreign key", "/attribute/zoo:Visit/zoo:Animal/Name", "Tom Uhu"),
    ("by table name, against the foreign key", "/attribute/Species/Animal/Name", "Al Kit Tom Uhu"),
    ("over all foreign keys between two tables", "/attribute/Person/Name=Bob/Animal/Name", "Tom Uhu"),
    ("over the one foreign key of a column", "/attribute/Animal/(Keeper)/Name", "Ada Bob"),
    ("over the column at the far end", "/attribute/Person/(Animal:Vet)/Name", "Al Tom Uhu"),
    ("over the column at the far end, with its schema", "/attribute/Person/(zoo:Animal:Vet)/Name", "Al Tom Uhu"),
    ("back to a table from an alias", "/attribute/A:=Animal/(Keeper)/Name=Ada/(A:Species)/Name", "cat"),
    ("to itself along its own foreign key", "/attribute/Animal/Name=Kit/(Mother)/Name", "Tom"),
    ("to itself by equality", "/attribute/A:=Animal/Name=Kit/(Mother)=(zoo:Animal:Name)/Name", "Tom"),
    ("freely, by equality of two columns", "/attribute/Species/(Legs)=(zoo:Visit:Cost)/Animal", ""),
    ("freely, of several columns", "/attribute/V:=Visit/(Animal,Day)=(zoo:Visit:Animal,Day)/Animal", "Tom Tom Uhu"),
    ("left: rows without a partner stay", "/attribute/A:=Animal/V:=left(A:Name)=(Visit:Animal)/$A/Name", "Al Kit Tom Uhu"),
    ("left: those without a partner", "/attribute/A:=Animal/V:=left(Name)=(Visit:Animal)/V:RID::null::/$A/Name", "Al Kit"),
    ("right: partners without a row come too", "/attribute/A:=Animal/S:=right(Species)=(Species:Name)/S:Name", "cat eel owl yeti"),
    ("full, seen from the right", "/attributegroup/A:=Animal/S:=full(Keeper)=(Person:Name)/S:Name", "- Ada Bob Cy"),
    ("a context reset", "/attribute/A:=Animal/Visit/Cost=50/$A/Name", "Tom"),
    ("distinct rows of the context", "/attribute/Visit/Animal/Species/Name", "cat owl"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), [pytest.param(*case[1:], id=case[0]) for case in JOINS])
def test_a_path_names_rows(calm: Catalog, path: str, expected: str) -> None:
    assert names(calm, path) == expected


FILTERS = [
    ("Name=Tom", "Tom"), ("Name=", ""), ("!Name=Tom", "Al Kit Uhu"), ("Name=any(Tom,Al,Nobody)", "Al Tom"),
    ("Name=all(Tom,Tom)", "Tom"), ("Name=all(Tom,Al)", ""), ("Name=Tom;Name=Al", "Al Tom"),
    ("Species=cat&Weight::lt::1", "Kit"), ("(Name=Tom;Name=Kit)&!Weight::gt::1", "Kit"), ("Weight::null::", "Al"),
    ("!Weight::null::", "Kit Tom Uhu"), ("!Weight::lt::1", "Tom Uhu"), ("Weight::geq::2", "Tom Uhu"),
    ("Weight::leq::any(0.5,1)", "Kit"), ("Weight::gt::all(1,2)", "Tom"), ("Weight=2", "Uhu"), ("Weight=2.0e0", "Uhu"),
    ("Born::geq::2020-01-31", "Kit Tom"), ("Tame=true", "Kit Tom"), ("Tame=f", "Uhu"), ("Tame::null::", "Al"),
    ("Tags=loud", "Tom Uhu"), ("Tags=any(grey,x)", "Tom"), ("Tags=all(loud,grey)", "Tom"), ("!Tags=loud", "Kit"),
    ("Tags::gt::h", "Tom Uhu"), ("Tags::regexp::%5E%5C%7Bloud%5C%7D", "Uhu"),
    ("Facts=%7B%22n%22%3A1%7D", "Kit Tom"), ("Facts=%5B1%2C2%5D", "Uhu"), ("Facts::regexp::%22n%22", "Kit Tom"),
    ("Seen=2024-01-01T12%3A00%3A00.5%2B00%3A00", "Kit"), ("Seen=2024-01-01%2013%3A00%3A00%2B01", "Tom"),
    ("Seen::regexp::%5E2024-01-01T12%3A00%3A00Z%24", "Kit Tom"), ("Seen::lt::2024-01-01", "Uhu"),
    ("Name::regexp::%5E%5BTU%5D", "Tom Uhu"), ("Name::ciregexp::T", "Kit Tom"), ("Name::regexp::%5CyTom", "Tom"),
    ("Name::regexp::%5E%5B%5B%3Aupper%3A%5D%5D%5B%5B%3Alower%3A%5D%5D%7B2%7D%24", "Kit Tom Uhu"),
    ("Name::regexp::any(To,l)", "Al Tom"), ("Name::regexp::all(T,o)", "Tom"), ("*::ciregexp::GREY", "Tom"),
    ("Tame::regexp::true", "Kit Tom"), ("Weight::regexp::%5E2%24", "Uhu"), ("Born::regexp::2019", "Uhu"),
    ("*::regexp::nowhere", ""), ("A:Name=Tom", "Tom"), ("zoo:Animal:Name=Tom", "Tom"), ("Animal:Name=Tom", "Tom"),
    ("Name=%C3%A4%2F%22%27%3B--", ""), ("RID::null::", ""), ("Name::GT::S", "Tom Uhu"),
    ("Name=any(" + ",".join(f"n{i}" for i in range(600)) + ",Tom)", "Tom"),
    ("Weight=any(" + ",".join(f"{i}.25" for i in range(300)) + ",4.5)", "Tom"),
    ("Name::regexp::any(" + ",".join(f"n{i}" for i in range(1500)) + ",Tom)", "Tom"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FILTERS, ids=[case[0][:40] for case in FILTERS])
def test_a_filter_keeps_rows(calm: Catalog, text: str, expected: str) -> None:
    assert names(calm, f"/attribute/A:=zoo:Animal/{text}/Name") == expected


def test_a_rid_is_found_in_any_spelling(calm: Catalog) -> None:
    rid = calm.get("/entity/zoo:Animal/Name=Tom")[0]["RID"]
    sloppy = rid.replace("-", "").lower().replace("1", "l").replace("0", "o")
    for spelled in (rid, rid.lower(), sloppy, f"any(x,{sloppy})", f"all({sloppy},{rid})"):
        assert names(calm, f"/attribute/zoo:Animal/RID={spelled}/Name") == "Tom"


PROJECTIONS: list[tuple[str, Any]] = [
    ("/attribute/Animal/Name=Tom/n:=Name,Weight", [{"n": "Tom", "Weight": 4.5}]),
    ("/attribute/A:=Animal/Name=Kit/P:=(Keeper)/p:=Name,A:Name,A:Tame", [{"p": "Ada", "Name": "Kit", "Tame": True}]),
    ("/attribute/S:=Species/Name=eel/S:*", [{"S:Name": "eel", "S:Legs": 0}]),
    ("/attribute/Species/Name=eel/*", [{"Name": "eel", "Legs": 0}]),
    ("/attributegroup/Animal/Species;n:=cnt(*),w:=sum(Weight)@sort(Species)",
     [{"Species": "cat", "n": 2, "w": 5}, {"Species": "eel", "n": 1, "w": None}, {"Species": "owl", "n": 1, "w": 2}]),
    ("/attributegroup/Animal/Species@sort(Species::desc::)", [{"Species": "owl"}, {"Species": "eel"}, {"Species": "cat"}]),
    ("/attributegroup/Animal/Species;n:=cnt(*)@sort(n::desc::,Species)@after(2,cat)?limit=1", [{"Species": "eel", "n": 1}]),
    ("/attributegroup/Animal/Species=owl/Species;Name", [{"Species": "owl", "Name": "Uhu"}]),
    ("/attributegroup/A:=Animal/V:=left(Name)=(Visit:Animal)/$A/A:Name;n:=cnt(V:RID),d:=cnt_d(V:Cost)@sort(Name)",
     [{"Name": "Al", "n": 0, "d": 0}, {"Name": "Kit", "n": 0, "d": 0}, {"Name": "Tom", "n": 2, "d": 2},
      {"Name": "Uhu", "n": 1, "d": 1}]),
    ("/attributegroup/Animal/Facts;n:=cnt(*)@sort(Facts)",
     [{"Facts": [1, 2], "n": 1}, {"Facts": {"n": 1}, "n": 2}, {"Facts": None, "n": 1}]),
    ("/aggregate/Animal/n:=cnt(*),w:=cnt(Weight),lo:=min(Weight),hi:=max(Born),a:=avg(Weight)",
     [{"n": 4, "w": 3, "lo": 0.5, "hi": "2023-05-01", "a": 7 / 3}]),
    ("/aggregate/Visit/s:=sum(Cost),a:=array(Cost),d:=array_d(Cost)", [{"s": 250, "a": [100, 50, 100], "d": [100, 50]}]),
    ("/aggregate/Animal/lo:=min(Tags),hi:=max(Tags),t:=array(Tags)",
     [{"lo": [], "hi": ["loud", "grey"], "t": [["loud", "grey"], [], ["loud"], None]}]),
    ("/aggregate/Species/Name=cat/s:=array(*)", [{"s": [{"Name": "cat", "Legs": 4}]}]),
    ("/aggregate/Animal/Name=None/n:=cnt(*),s:=sum(Weight),a:=array(Name)", [{"n": 0, "s": None, "a": None}]),
    ("/attributegroup/Animal/Weight::gt::0/b:=bin(Weight;2;1;5);n:=cnt(*)@sort(n::desc::,b)",
     [{"b": [0, None, 1], "n": 1}, {"b": [1, 1, 3], "n": 1}, {"b": [2, 3, 5], "n": 1}]),
    ("/attribute/Animal/Name=any(Al,Tom)/b:=bin(Born;2;2020-01-01;2020-01-31)@sort(b)",
     [{"b": [None, None, None]}, {"b": [3, "2020-01-31", None]}]),
    ("/attribute/Visit/Animal=Uhu/b:=bin(Cost;4;0;200)", [{"b": [3, 100, 150]}]),
    ("/attribute/Animal/Name=Kit/b:=bin(Seen;2;2024-01-01;2024-01-02)",
     [{"b": [2, "2024-01-01T12:00:00+00:00", "2024-01-02T00:00:00+00:00"]}]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), PROJECTIONS, ids=[case[0][:70] for case in PROJECTIONS])
def test_a_projection_shows_values(calm: Catalog, path: str, expected: Any) -> None:
    system = {"RID", "RCT", "RMT", "RCB", "RMB"}
    assert without(calm.get(path), system) == expected


def without(value: Any, names: set[str]) -> Any:
    """Return a JSON value without the fields of some names, at any depth."""
    if isinstance(value, list):
        return [without(each, names) for each in value]
    if isinstance(value, dict):
        return {name: without(each, names) for name, each in value.items() if name.rpartition(":")[2] not in names}
    return value


def test_whole_rows_of_an_outer_join_are_null_where_there_is_none(calm: Catalog) -> None:
    rows = calm.get("/attributegroup/A:=Animal/V:=left(Name)=(Visit:Animal)/A:Name;v:=array_d(V:*)@sort(Name)")
    assert {row["Name"]: [each and each["Cost"] for each in row["v"]] for row in rows} == {
        "Al": [None],
        "Kit": [None],
        "Tom": [100, 50],
        "Uhu": [100],
    }


PAGES = [
    ("@sort(Name)?limit=2", "Al Kit"), ("@sort(Name::desc::)?limit=2", "Uhu Tom"), ("@sort(Weight,Name)", "Kit Uhu Tom Al"),
    ("@sort(Weight::desc::,Name)", "Al Tom Uhu Kit"), ("@sort(Name)@after(Kit)", "Tom Uhu"),
    ("@sort(Name)@before(Tom)?limit=1", "Kit"), ("@sort(Name)@before(Tom)?limit=9", "Al Kit"),
    ("@sort(Name::desc::)@before(Kit)?limit=1", "Tom"), ("@sort(Name)@after(Al)@before(Uhu)", "Kit Tom"),
    ("@sort(Weight,Name)@after(2,Uhu)", "Tom Al"), ("@sort(Weight,Name)@after(::null::,Ak)", "Al"),
    ("@sort(Weight,Name)@after(::null::,Al)", ""), ("@sort(Weight::desc::,Name)@after(::null::,Al)", "Tom Uhu Kit"),
    ("@sort(Weight,Name)@before(::null::,Al)?limit=2", "Uhu Tom"), ("@sort(Weight::desc::,Name)@before(4.5,Tom)?limit=5", "Al"),
    ("@sort(Tame,Weight::desc::)@after(true,4.5)", "Kit Al"), ("@sort(Seen)@after(2024-01-01T12%3A00%3A00%2B00%3A00)", "Kit Al"),
    ("@sort(Name)?limit=0", ""), ("@sort(Name)?limit=none", "Al Kit Tom Uhu"), ("@sort(Tags,Name)", "Kit Uhu Tom Al"),
    ("@sort(Facts,Name)", "Uhu Kit Tom Al"),
]  # fmt: skip


@pytest.mark.parametrize(("page", "expected"), PAGES, ids=[case[0] for case in PAGES])
@pytest.mark.parametrize("path", ["/entity/zoo:Animal", "/attribute/zoo:Animal/*", "/entity/Species/zoo:Animal"])
def test_a_page_is_a_slice_of_the_order(calm: Catalog, path: str, page: str, expected: str) -> None:
    assert " ".join(row["Name"] for row in calm.get(path + page)) == expected


REFUSALS = [
    (409, "/entity/Nothing"), (409, "/entity/nowhere:Animal"), (409, "/entity/Animal/Nothing=1"),
    (409, "/entity/Animal/Animal"), (409, "/entity/Species/Person"), (409, "/entity/Person/(Name)"),
    (409, "/entity/Animal/(Name,Species)"), (409, "/entity/Animal/(Weight)"), (409, "/entity/A:=Animal/(Keeper,Person:Name)"),
    (409, "/entity/Animal/(Keeper)=(Nothing:Name)"), (400, "/entity/Animal/(Keeper)=(Person:Name,RID)"),
    (409, "/entity/A:=Animal/B:=Visit/(Animal)=(A:Name)"), (400, "/entity/A:=Animal/A:=Species"), (400, "/entity/Animal/$B"),
    (400, "/entity/Species/Animal/Species:Legs=4/$S") , (409, "/attribute/Animal/Person:Name"), (400, "/attribute/Animal/Name,Name"),
    (400, "/attribute/Animal/n:=Name,n:=Species"), (400, "/attribute/Animal/x:=*"), (400, "/entity/Animal/Weight=heavy"),
    (400, "/entity/Visit/Cost=1.5"), (400, "/entity/Animal/Facts=%7B"), (409, "/entity/Animal/Born=soon"), (409, "/entity/Animal/Tame=perhaps"),
    (400, "/entity/Animal/Name::regexp::%5B"), (400, "/entity/Animal/*=1"), (501, "/entity/Animal/Name::ts::x"),
    (409, "/entity/Animal@sort(Nothing)"), (400, "/attribute/Animal/Name@sort(Weight)"), (400, "/entity/Animal@after(x)"),
    (400, "/entity/Animal@sort(Name)@after(a,b)"), (400, "/entity/Animal@sort(Name)@before(a)"), (400, "/aggregate/Animal/n:=cnt(*)@sort(n)"),
    (400, "/aggregate/Animal/cnt(*)"), (400, "/aggregate/Animal/Name"), (409, "/aggregate/Animal/x:=avg(Name)"),
    (409, "/aggregate/Animal/x:=min(Tame)"), (409, "/aggregate/Animal/x:=max(Facts)"), (400, "/aggregate/Animal/x:=min(*)"),
    (400, "/attributegroup/Animal/Name;bin(Weight;2;0;1)"), (409, "/attributegroup/Animal/b:=bin(Name;2;a;b);n:=cnt(*)"),
    (400, "/attributegroup/Animal/b:=bin(Weight;0;0;1)"), (400, "/attributegroup/Animal/b:=bin(Weight;2;1;1)"), (400, "/attributegroup/Animal/b:=bin(Weight;2;0;Infinity)"), (400, "/attributegroup/Animal/n:=cnt(*)"),
    (400, "/entity/Animal?limit=many"), (400, "/entity/Animal?limit=-1"), (400, "/entity/Animal?accept=pdf"), (400, "/entity/Animal?download="),
    (400, "/entity"), (400, "/attribute/Animal"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "path"), REFUSALS, ids=[case[1] for case in REFUSALS])
def test_what_makes_no_sense_is_refused(calm: Catalog, status: int, path: str) -> None:
    assert calm.refusal("GET", path)[0] == status


def test_a_name_in_two_schemas_is_ambiguous(empty: Catalog) -> None:
    from zoo import table

    empty.define("one", table("T", "a text"))
    empty.define("two", table("T", "a text"))
    status, text = empty.refusal("GET", "/entity/T")
    assert status == 409
    assert "ambiguous" in text
    assert empty.get("/entity/two:T") == []
