"""Reading: paths, joins, filters, projections, groups, order and pages over the catalog of samples."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from conformance_kit import SYSTEM, Door, column, schema, table, without_system

ODD = "S:Odd%20%25%3A%2C%2F%C3%9C"


def ids(door: Door, path: str) -> list[Any]:
    """Return the IDs (or names, or texts) of the rows of an entity path, sorted."""
    rows = door.rows(f"/entity/{path}")
    return sorted(row["ID"] if "ID" in row else row.get("Name", row.get("Text")) for row in rows)


# ------------------------------------------------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("ID=1", [1]),
        ("ID=any(1,3,99)", [1, 3]),
        ("ID=all(1,1)", [1]),
        ("ID=all(1,2)", []),
        ("Name=Anna", [1]),
        ("Name=", [4]),
        ("Name=Cy%2C%20%22C%22", [3]),
        ("Name=Cy%2C+%22C%22", [3]),
        ("Name::null::", [5]),
        ("!Name::null::", [1, 2, 3, 4]),
        ("Count::gt::10", [2, 3]),
        ("Count::geq::10", [1, 2, 3]),
        ("Count::lt::10", [5]),
        ("Count::leq::10", [1, 5]),
        ("Count=20", [2, 3]),
        ("!(Count=20)", [1, 5]),
        ("!Count=20", [1, 5]),
        ("Count::gt::any(15,100)", [2, 3]),
        ("Count::gt::all(5,15)", [2, 3]),
        ("Count=20&Active=false", [2]),
        ("Count=10;Active=false", [1, 2]),
        ("Count=10;Count=20&Active=false", [1, 2]),
        ("(Count=10;Count=20)&Active=false", [2]),
        ("!(Count=10;Active=false)&!Species::null::", [5]),
        ("Active=true", [1, 4, 5]),
        ("Active=f", [2]),
        ("Active=any(true,false)", [1, 2, 4, 5]),
        ("Weight=1.5", [1]),
        ("Weight=2", [2]),
        ("Weight=NaN", [4]),
        ("Weight=-Infinity", [5]),
        ("Weight::lt::1.6", [1, 5]),
        ("Born=2020-01-01", [1, 5]),
        ("Born::gt::2020-01-01", [2]),
        ("Seen=2021-06-01T10%3A00%3A00Z", [1]),
        ("Seen=2021-06-01T12%3A00%3A00%2B02%3A00", [1]),
        ("Seen::gt::2021-06-01T10%3A00%3A00Z", [2]),
        ("Seen=1969-12-31%2023%3A59%3A59.999999", [4]),
        ("Name::regexp::n.a", [1]),
        ("Name::regexp::B", []),
        ("Name::ciregexp::B", [2]),
        ("Name::ciregexp::%5Ea%7Cb%24", [1, 2]),
        ("Name::regexp::any(nna,ob)", [1, 2]),
        ("Name::regexp::all(A,n)", [1]),
        ("Count::regexp::%5E2", [2, 3]),
        ("Active::regexp::true", [1, 4, 5]),
        ("Born::regexp::-05-", [2]),
        ("Seen::regexp::%5E2021-06-01T10%3A00%3A00Z%24", [1, 2]),
        ("Tags::regexp::%5E%7Ba%2Cb%7D%24", [1]),
        ("Info::regexp::x", [1, 3]),
        ("*::ciregexp::ANNA", [1]),
        ("*::regexp::bird", [3, 5]),
        ("Tags=b", [1, 2]),
        ("Tags=any(a,c)", [1, 5]),
        ("Tags=all(a,b)", [1]),
        ("Tags::gt::b", [5]),
        ("Tags::null::", [4]),
        ("Info::null::", [5]),
        ("!Info::null::", [1, 2, 3, 4]),
        ("Info=%7B%22x%22%3A1%7D", [1]),
        ("Info=%22x%22", [3]),
        ("ID=1/Name=Anna", [1]),
        ("ID=1/Name=bob", []),
    ],
)
def test_filters(samples: Door, filter: str, expected: list[int]) -> None:
    assert ids(samples, f"S:Sample/{filter}") == expected


def test_a_rid_is_found_in_any_spelling(samples: Door) -> None:
    rid = samples.rows("/entity/S:Sample/ID=1")[0]["RID"]
    for spelling in (rid, rid.lower(), rid.replace("-", ""), rid.replace("1", "i").replace("0", "o")):
        assert ids(samples, f"S:Sample/RID={spelling}") == [1]
        assert ids(samples, f"S:Sample/RID=any({spelling},2-ZZZZ)") == [1]
    assert ids(samples, "S:Sample/RID=nothing!".replace("!", "%21")) == []


@pytest.mark.parametrize(
    ("below", "status"),
    [
        ("/entity/S:Sample/ID=x", 400),
        ("/entity/S:Sample/Weight=x", 400),
        ("/entity/S:Sample/Nope=1", 409),
        ("/entity/S:Sample/X:ID=1", 409),
        ("/entity/S:Sample/S:Species:ID=cat", 409),
        ("/entity/S:Sample/*=1", 400),
        ("/entity/S:Sample/ID=(1,2)", 400),
        ("/entity/S:Nope", 409),
        ("/entity/Nope", 409),
        ("/entity/X:Sample", 409),
        ("/entity/S:Sample/S:Sample", 409),
        ("/entity/S:Sample/public:ERMrest_RID_Lease/S:Sample", 409),
        ("/entity/S:Species/S:Image", 409),
        ("/entity/S:Sample/(Name)", 409),
        ("/entity/S:Sample/(ID)", 409),
        ("/entity/S:Sample/(Nope)", 409),
        ("/entity/S:Image/(Sample)=(S:Nope:ID)", 409),
        ("/entity/S:Image/(Sample)=(S:Sample:Name)", 409),
        ("/entity/S:Sample/(Tags)=(S:Species:ID)", 409),
        ("/entity/A:=S:Sample/A:=S:Species", 400),
        ("/entity/S:Sample@sort(Nope)", 409),
        ("/entity/S:Sample@sort(ID)@before(3)", 400),
        ("/entity/S:Sample?limit=x", 400),
        ("/entity/S:Sample?limit=-1", 400),
        ("/attribute/S:Sample/Nope", 409),
        ("/attribute/S:Sample/ID,ID:=Name", 400),
        ("/attribute/S:Sample/ID@sort(Name)", 400),
        ("/aggregate/S:Sample/cnt(*)", 400),
        ("/aggregate/S:Sample/n:=cnt(*)@sort(n)", 400),
        ("/aggregate/S:Sample/n:=sum(Name)", 409),
        ("/aggregate/S:Sample/n:=max(Active)", 409),
        ("/aggregate/S:Sample/n:=min(Info)", 409),
        ("/attributegroup/S:Sample/Species;cnt(*)", 400),
        ("/attributegroup/S:Sample/Species;n:=cnt(*)@sort(x)", 400),
    ],
)
def test_what_cannot_be_read_is_refused(samples: Door, below: str, status: int) -> None:
    reply = samples.get(below)
    assert reply.status == status, reply.text
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.text.count("\n") == 1


# -------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Sample", [1, 2, 3, 4, 5]),
        ("S:Sample/S:Species", ["bird", "cat"]),
        ("S:Species/S:Sample", [1, 2, 3, 5]),
        ("S:Species/ID=cat/S:Sample", [1, 2]),
        ("S:Species/Sample/Count=20/Note", ["n3"]),
        ("S:Sample/S:Note", ["n1", "n2", "n3"]),
        ("M:=S:Sample/S:Note/$M", [1, 3]),
        ("M:=S:Sample/S:Note/Text=n3/$M/S:Species", ["bird"]),
        ("S:Sample/S:Image", ["i1", "i2", "i3"]),
        ("S:Image/S:Sample", [1, 2]),
        ("S:Image/(Sample)", [1, 2]),
        ("S:Image/(Twin)", [1, 2]),
        ("S:Image/(Twin)/ID=2", [2]),
        ("S:Sample/(S:Image:Twin)", ["i1", "i3"]),
        ("S:Sample/ID=2/(S:Image:Sample)", ["i3"]),
        ("M:=S:Image/N:=(M:Twin)/Name=bob/$M", ["i1"]),
        ("S:Image/(Twin)=(S:Sample:ID)", [1, 2]),
        ("S:Image/N:=(Sample)=(S:Note:Sample)", ["n1", "n2"]),
        ("M:=S:Image/N:=left(Sample)=(S:Sample:ID)/$M", ["i1", "i2", "i3", "i4"]),
        ("M:=S:Image/N:=left(Sample)=(S:Sample:ID)/N:ID::null::/$M", ["i4"]),
        ("M:=S:Sample/left(ID)=(S:Note:Sample)/RID::null::/$M", [2, 4, 5]),
        ("M:=S:Image/N:=S:Sample/M:Twin::null::", [1]),
        ("M:=S:Sample/N:=S:Note/M:Name=Anna&N:Text=n2", ["n2"]),
        ("M:=S:Sample/N:=S:Note/M:Name=bob;N:Text=n3", ["n3"]),
        ("S:Species/ID=cat/(ID)", [1, 2]),
        ("S:Sample/(Species)", ["bird", "cat"]),
        ("S:Tree/(Parent)", ["root"]),
        ("S:Tree/ID=root/(ID)", ["leaf"]),
        ("S:Tree/ID=root/(S:Tree:Parent)", ["leaf"]),
        ("A:=S:Tree/B:=(A:Parent)=(S:Tree:ID)/A:ID=leaf", ["root"]),
    ],
)
def test_paths(samples: Door, path: str, expected: list[Any]) -> None:
    assert ids(samples, path) == expected


def test_entities_have_every_column(samples: Door) -> None:
    row = samples.rows("/entity/S:Sample/ID=1")[0]
    assert set(row) == {"ID", "Name", "Count", "Weight", "Active", "Born", "Seen", "Tags", "Info", "Species"} | SYSTEM
    assert without_system([row]) == [
        {
            "ID": 1, "Name": "Anna", "Count": 10, "Weight": 1.5, "Active": True, "Born": "2020-01-01",
            "Seen": "2021-06-01T10:00:00+00:00", "Tags": ["a", "b"], "Info": {"x": 1}, "Species": "cat",
        }
    ]  # fmt: skip
    assert row["RCT"] == row["RMT"]
    assert row["RCB"] == row["RMB"] == samples.way("GET", "/authn/session", b"", {}).json()["client"]["id"]


def test_names_may_hold_anything(samples: Door) -> None:
    assert samples.rows(f"/attribute/{ODD}/%C3%84%20b=a+b%2Bc/%2A%3Ax") == [{"*:x": 2}]
    assert samples.rows(f"/attribute/{ODD}/%C3%84%20b=%C3%BC%2F%25/x:=%2A%3Ax") == [{"x": 1}]
    assert samples.rows(f"/attribute/{ODD}/%2A%3Ax@sort(%2A%3Ax::desc::)@after(2)") == [{"*:x": 1}]


# -------------------------------------------------------------------------------------------------------- projections


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("/attribute/S:Sample/ID=1/Name,n:=Count", [{"Name": "Anna", "n": 10}]),
        ("/attribute/S:Sample/ID=any(2,3)/Count", [{"Count": 20}, {"Count": 20}]),
        ("/attribute/M:=S:Sample/S:Note/Text,M:Name@sort(Text)", [{"Text": "n1", "Name": "Anna"}, {"Text": "n2", "Name": "Anna"}, {"Text": "n3", "Name": 'Cy, "C"'}]),
        ("/attribute/M:=S:Sample/ID=1/S:Species/legs:=Legs,M:ID", [{"legs": 4, "ID": 1}]),
        ("/attribute/M:=S:Image/N:=left(Sample)=(S:Sample:ID)/$M/Name,s:=N:Name@sort(Name)", [{"Name": "i1", "s": "Anna"}, {"Name": "i2", "s": "Anna"}, {"Name": "i3", "s": "bob"}, {"Name": "i4", "s": None}]),
        ("/attributegroup/S:Sample/Count@sort(Count)", [{"Count": -3}, {"Count": 10}, {"Count": 20}, {"Count": None}]),
        ("/attributegroup/S:Sample/Species;n:=cnt(*)@sort(Species)", [{"Species": "bird", "n": 2}, {"Species": "cat", "n": 2}, {"Species": None, "n": 1}]),
        ("/attributegroup/S:Sample/Species;n:=cnt(Name),d:=cnt_d(Count)@sort(n::desc::,Species)", [{"Species": "cat", "n": 2, "d": 2}, {"Species": "bird", "n": 1, "d": 2}, {"Species": None, "n": 1, "d": 0}]),
        ("/attributegroup/S:Sample/Species;n:=cnt(*)@sort(n::desc::,Species)@after(2,bird)", [{"Species": "cat", "n": 2}, {"Species": None, "n": 1}]),
        ("/attributegroup/M:=S:Sample/S:Note/M:ID;n:=cnt(*)@sort(ID)", [{"ID": 1, "n": 2}, {"ID": 3, "n": 1}]),
        ("/attributegroup/S:Sample/ID=any(1,2)/s:=Species;names:=array(Name)", [{"s": "cat", "names": ["Anna", "bob"]}]),
        ("/aggregate/S:Sample/n:=cnt(*)", [{"n": 5}]),
        ("/aggregate/S:Sample/n:=cnt(Count),d:=cnt_d(Count)", [{"n": 4, "d": 3}]),
        ("/aggregate/S:Sample/a:=min(Count),b:=max(Count),s:=sum(Count)", [{"a": -3, "b": 20, "s": 47}]),
        ("/aggregate/S:Sample/ID=any(1,2)/a:=avg(Weight),b:=avg(Count)", [{"a": 1.75, "b": 15}]),
        ("/aggregate/S:Sample/a:=min(Born),b:=max(Seen)", [{"a": "1999-12-31", "b": "2021-06-01T10:00:00.5+00:00"}]),
        ("/aggregate/S:Sample/ID=any(1,2)/a:=max(Name)", [{"a": "bob"}]),
        ("/aggregate/S:Sample/ID=99/n:=cnt(*),s:=sum(Count),m:=max(Name)", [{"n": 0, "s": None, "m": None}]),
        ("/aggregate/S:Image/ID:=cnt(*)", [{"ID": 4}]),
        ("/aggregate/M:=S:Sample/S:Image/n:=cnt(*),d:=cnt_d(M:ID)", [{"n": 5, "d": 2}]),
    ],
)  # fmt: skip
def test_projections(samples: Door, below: str, expected: list[dict[str, Any]]) -> None:
    assert samples.rows(below) == expected


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("10;1;5", {1: [2, 1.4, 1.8], 2: [3, 1.8, 2.2], 4: [11, 5, None], 5: [0, None, 1], 3: [None, None, None]}),
        ("1;1.5;2", {1: [1, 1.5, 2], 2: [2, 2, None]}),
        ("2;2;1", {1: [2, 1.5, 1], 2: [1, 2, 1.5]}),
        ("4;-1e308;1e308", {1: [3, 0, 5e307], 5: [0, None, -1e308]}),
    ],
)
def test_bins(samples: Door, bounds: str, expected: dict[int, list[Any]]) -> None:
    rows = samples.rows(f"/attribute/S:Sample/ID,b:=bin(Weight;{bounds})")
    found = {row["ID"]: row["b"] for row in rows if row["ID"] in expected}
    assert {number: bucket[:1] for number, bucket in found.items()} == {n: b[:1] for n, b in expected.items()}
    for number, bucket in expected.items():
        assert found[number][1:] == [edge if edge is None else pytest.approx(edge) for edge in bucket[1:]], number


def test_a_star_means_every_column(samples: Door) -> None:
    rows = samples.rows("/attribute/M:=S:Sample/ID=1/S:Species/*,M:*")
    assert {"ID", "Legs", "M:ID", "M:Name", "M:RID"} <= set(rows[0])
    assert (rows[0]["ID"], rows[0]["M:ID"]) == ("cat", 1)
    assert samples.rows("/attribute/M:=S:Sample/S:Note/M:*@sort(M%3AID::desc::)")[0]["M:ID"] == 3


def test_an_array_of_a_star_holds_records(samples: Door) -> None:
    rows = samples.rows("/attributegroup/M:=S:Sample/ID=1/N:=left(ID)=(S:Note:Sample)/$M/RID,Name;notes:=array_d(N:*)")
    assert [row["Name"] for row in rows] == ["Anna"]
    assert sorted(note["Text"] for note in rows[0]["notes"]) == ["n1", "n2"]
    assert set(rows[0]["notes"][0]) == {"Text", "Sample"} | SYSTEM


def test_an_array_of_a_column_keeps_nulls_and_drops_repeats_on_request(samples: Door) -> None:
    (row,) = samples.rows("/aggregate/S:Sample/x:=array(Count),d:=array_d(Count)")
    assert sorted(row["x"], key=str) == [-3, 10, 20, 20, None]
    assert sorted(row["d"], key=str) == [-3, 10, 20, None]


def test_entities_of_a_join_are_distinct_and_groups_are_not(samples: Door) -> None:
    assert len(samples.rows("/entity/M:=S:Sample/S:Note/$M")) == 2
    assert len(samples.rows("/attribute/M:=S:Sample/S:Note/$M/ID")) == 2
    assert samples.rows("/aggregate/M:=S:Sample/S:Note/$M/n:=cnt(*)") == [{"n": 3}]


# ------------------------------------------------------------------------------------------------------ order, pages


@pytest.mark.parametrize(
    ("paging", "expected"),
    [
        ("@sort(ID)", [1, 2, 3, 4, 5]),
        ("@sort(ID::desc::)", [5, 4, 3, 2, 1]),
        ("@sort(Count,ID)", [5, 1, 2, 3, 4]),
        ("@sort(Count::desc::,ID)", [4, 2, 3, 1, 5]),
        ("@sort(Count,ID::desc::)", [5, 1, 3, 2, 4]),
        ("@sort(Weight)", [5, 1, 2, 4, 3]),
        ("@sort(Active,ID)", [2, 1, 4, 5, 3]),
        ("@sort(Seen,ID)", [4, 1, 2, 3, 5]),
        ("@sort(ID)?limit=2", [1, 2]),
        ("@sort(ID)?limit=0", []),
        ("@sort(ID)?limit=none", [1, 2, 3, 4, 5]),
        ("@sort(ID)@after(2)", [3, 4, 5]),
        ("@sort(ID)@after(2)?limit=1", [3]),
        ("@sort(ID::desc::)@after(2)", [1]),
        ("@sort(ID)@before(4)?limit=2", [2, 3]),
        ("@sort(ID::desc::)@before(2)?limit=2", [4, 3]),
        ("@sort(ID)@after(1)@before(4)", [2, 3]),
        ("@sort(ID)@before(4)@after(1)?limit=1", [2]),
        ("@sort(Count,ID)@after(20,2)", [3, 4]),
        ("@sort(Count,ID)@after(20,3)", [4]),
        ("@sort(Count,ID)@after(::null::,4)", []),
        ("@sort(Count::desc::,ID)@after(::null::,4)", [2, 3, 1, 5]),
        ("@sort(Count::desc::,ID)@after(20,2)", [3, 1, 5]),
        ("@sort(Count,ID)@before(::null::,4)?limit=2", [2, 3]),
        ("@sort(Name,ID)@after(,4)", [1, 3, 2, 5]),
        ("@sort(Seen,ID)@after(2021-06-01T10%3A00%3A00Z,1)", [2, 3, 5]),
    ],
)
def test_order_and_pages(samples: Door, paging: str, expected: list[int]) -> None:
    assert [row["ID"] for row in samples.rows(f"/entity/S:Sample{paging}")] == expected


def test_pages_of_one_cover_everything_once(samples: Door) -> None:
    seen: list[int] = []
    after = ""
    while page := samples.rows(f"/attribute/S:Sample/ID,Count@sort(Count::desc::,ID){after}?limit=1"):
        seen.append(page[0]["ID"])
        count = "::null::" if page[0]["Count"] is None else page[0]["Count"]
        after = f"@after({count},{page[0]['ID']})"
    assert seen == [4, 2, 3, 1, 5]


def test_unknown_options_are_ignored(samples: Door) -> None:
    assert len(samples.rows("/entity/S:Sample?cid=x&uinit=1;limit=2")) == 2


def test_a_quantifier_takes_many_values(samples: Door) -> None:
    many = ",".join(map(str, range(2, 3000)))
    assert ids(samples, f"S:Sample/ID=any({many})") == [2, 3, 4, 5]


def test_values_that_are_equal_are_not_distinct(mine: Door) -> None:
    mine.made("/schema", [schema("S", table("T", column("j", "jsonb"), column("i", "interval")))])
    for number in ("1", "1.0", "1.00"):
        body = f'[{{"j": [{number}], "i": "1 day"}}, {{"j": {{"a": {number}}}, "i": "24:00:00"}}]'
        assert mine.send("POST", "/entity/S:T", body.encode(), {"Content-Type": "application/json"}).status == 200
    (found,) = mine.rows("/aggregate/S:T/n:=cnt_d(j),m:=cnt_d(i),js:=array_d(j),is:=array_d(i)")
    assert (found["n"], found["m"], len(found["js"]), len(found["is"])) == (2, 1, 2, 1)
    assert "[1.00]" in mine.get("/aggregate/S:T/all:=array(j)").text
    assert len(mine.rows("/attributegroup/S:T/j;n:=cnt(*)")) == 2


@pytest.mark.deviation
def test_text_sorts_by_code_point(samples: Door) -> None:
    assert samples.rows(f"/attribute/{ODD}/%C3%84%20b@sort({quote('Ä b')})") == [{"Ä b": "a b+c"}, {"Ä b": "ü/%"}]
