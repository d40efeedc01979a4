"""Whatever is asked, the service answers or refuses; it never fails with 500, and its forms and doors agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_kit import NOTE, SAMPLE, SPECIES, Door, sample_catalog, schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deriva_local.service.app import Service
from deriva_local.wire.tabular import KINDS, parse_csv

EXPECTED = {200, 201, 204, 400, 403, 404, 405, 409, 501}
FUZZ = settings(max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    service = Service(tmp_path_factory.mktemp("never") / "store")
    yield sample_catalog(Door.in_process(service))
    service.close()


# -------------------------------------------------------------------------------------------------------------- reads

COLUMNS = {
    "Sample": ["ID", "Name", "Count", "Weight", "Active", "Born", "Seen", "Tags", "Info", "Species", "RID", "RCT"],
    "Species": ["ID", "Legs", "RMT"],
    "Image": ["Name", "Sample", "Twin", "RID"],
    "Note": ["Text", "Sample", "RCB"],
    "Tree": ["ID", "Parent"],
}
NEXT = {
    "Sample": ["S:Species", "S:Image", "S:Note", "(Species)", "(S:Image:Twin)"],
    "Species": ["S:Sample", "(ID)"],
    "Image": ["S:Sample", "(Twin)", "(Sample)"],
    "Note": ["S:Sample", "(Sample)"],
    "Tree": ["(Parent)", "(ID)"],
}
TARGETS = {
    "(Species)": "Species",
    "(S:Image:Twin)": "Image",
    "(Twin)": "Sample",
    "(Sample)": "Sample",
    "(Parent)": "Tree",
}
VALUES = st.sampled_from([
    "", "1", "2", "x", "-1.5", "true", "2020-01-01", "2021-06-01T10%3A00%3A00Z", "%7B%22x%22%3A1%7D", "%5B1%2C2%5D", "null",
    "NaN", "1-0000", "99999999999999999999", "%F0%9F%99%82", "%5B", "a%7Bb", "%5C", "cat", "%7Ba%2Cb%7D", "b", "%28", "n",
])  # fmt: skip
LISTS = st.lists(VALUES, min_size=1, max_size=3).map(",".join)
RIGHT = VALUES | st.builds("any({})".format, LISTS) | st.builds("all({})".format, LISTS)
OPERATORS = ["=", "=", "::lt::", "::leq::", "::gt::", "::geq::", "::regexp::", "::ciregexp::", "::ts::"]
AGGREGATES = ["min", "max", "sum", "avg", "cnt", "cnt_d", "array", "array_d"]


class Walk:
    """A path on its way: where it stands, and the instances it has named."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.table = draw(st.sampled_from(["Sample", "Sample", *COLUMNS]))
        self.named = {"M": self.table}
        self.text = f"M:=S:{self.table}"

    def column(self) -> str:
        """Return a column: of the context, or of a named instance, seldom one that is not there."""
        alias = self.draw(st.sampled_from([None, None, *self.named]))
        names = COLUMNS[self.table if alias is None else self.named[alias]]
        name = self.draw(st.sampled_from([*names, *names, "*", "Nope"]))
        return name if alias is None else f"{alias}:{name}"

    def filter(self, depth: int = 0) -> str:
        kind = self.draw(st.integers(0, 9))
        if kind > 7 and depth < 2:
            mark = self.draw(st.sampled_from("&;"))
            return f"({self.filter(depth + 1)}{mark}{self.filter(depth + 1)})"
        if kind == 7:
            return f"!({self.filter(depth + 1)})"
        if kind == 6:
            return f"{self.column()}::null::"
        return f"{self.column()}{self.draw(st.sampled_from(OPERATORS))}{self.draw(RIGHT)}"

    def step(self) -> None:
        kind = self.draw(st.integers(0, 5))
        if kind < 3:
            self.text += "/" + self.filter()
        elif kind == 3:
            alias = self.draw(st.sampled_from(sorted(self.named)))
            self.text += f"/${alias}"
            self.table = self.named[alias]
        else:
            self.join(free=kind == 5)

    def join(self, free: bool) -> None:
        alias = f"N{len(self.named)}"
        if free:
            table = self.draw(st.sampled_from(sorted(COLUMNS)))
            outer = self.draw(st.sampled_from(["", "left", "right", "full"]))
            link = f"{outer}({self.column()})=(S:{table}:{self.draw(st.sampled_from(COLUMNS[table]))})"
        else:
            link = self.draw(st.sampled_from(NEXT[self.table]))
            ids = {"Species": "Sample", "Tree": "Tree"}
            table = link[2:] if link.startswith("S:") else ids[self.table] if link == "(ID)" else TARGETS[link]
        self.text += f"/{alias}:={link}"
        self.table = self.named[alias] = table

    def plain(self, out: str) -> str:
        if self.draw(st.integers(0, 8)) == 0:
            return f"{out}:={self.bin()}"
        return f"{out}:={self.column()}"

    def bin(self) -> str:
        low, high = self.draw(VALUES), self.draw(VALUES)
        return f"bin({self.column()};{self.draw(st.sampled_from(['3', '1', '0', 'x']))};{low};{high})"

    def computed(self, out: str) -> str:
        return f"{out}:={self.draw(st.sampled_from(AGGREGATES))}({self.column()})"


@st.composite
def reads(draw: st.DrawFn) -> str:
    walk = Walk(draw)
    for _ in range(draw(st.integers(0, 3))):
        walk.step()
    api = draw(st.sampled_from(["entity", "attribute", "attributegroup", "aggregate"]))
    outs, below = COLUMNS[walk.table], f"/{api}/{walk.text}"
    if api != "entity":
        outs = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
        plain = len(outs) if api == "attribute" else 0 if api == "aggregate" else draw(st.integers(1, len(outs)))
        parts = [walk.plain(out) for out in outs[:plain]], [walk.computed(out) for out in outs[plain:]]
        below += "/" + ";".join(",".join(part) for part in parts if part)
    keys = draw(st.lists(st.sampled_from(outs), max_size=2, unique=True)) if api != "aggregate" else []
    if keys:
        below += f"@sort({','.join(key + draw(st.sampled_from(['', '::desc::'])) for key in keys)})"
        for word in ("before", "after"):
            if draw(st.integers(0, 2)) == 0:
                below += f"@{word}({','.join(draw(VALUES | st.just('::null::')) for _ in keys)})"
    return below + draw(st.sampled_from(["?limit=2", "?limit=none", ""]))


@FUZZ
@given(below=reads())
def test_reads(here: Door, below: str) -> None:
    reply = here.get(below)
    assert reply.status in EXPECTED, (below, reply.text)
    past = here.snapshot().get(below)
    assert past.status == reply.status, (below, past.text)
    if reply.status == 200:
        rows = reply.json()
        assert len(past.json()) == len(rows)
        assert len(parse_csv(here.get(below, Accept="text/csv").text)[1]) == len(rows)
        assert len(here.get(below, Accept="application/x-json-stream").text.splitlines()) == len(rows)
    else:
        assert "Detail: " in reply.text and reply.text.count("\n") == 1


# ------------------------------------------------------------------------------------------------------------- writes

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5),
    st.sampled_from(["2020-01-01", "12:00", "NaN", "{a,b}", "[1]", "1e400", "\ud800", "\0", "t", "P1D", "-0"]),
    st.lists(st.none() | st.integers() | st.text(max_size=2), max_size=3), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip
JSON = st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=4)  # fmt: skip
FITTING: dict[str, st.SearchStrategy[Any]] = {
    "i2": st.integers(-(2**15), 2**15 - 1), "i8": st.integers(-(2**63), 2**63 - 1), "f4": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "f8": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity"]), "b": st.booleans(), "t": st.text(max_size=4),
    "d": st.dates().map(str), "ts": st.datetimes().map(str), "tz": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    "j": JSON, "jb": JSON, "ta": st.lists(st.none() | st.text(max_size=2), max_size=2), "ia": st.lists(st.integers(-9, 9), max_size=2),
    "m": st.just("*m*"), "n": st.integers(-5, 5), "RID": st.sampled_from(["2-AAAA", "2-aaaa", "x!"]), "RCT": st.datetimes().map(str),
}  # fmt: skip


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return rows of which most values fit their column."""
    names = draw(st.lists(st.sampled_from(sorted(FITTING)), max_size=6, unique=True))
    return [
        {
            name: draw(ODD if draw(st.integers(0, 11)) == 0 else st.none() | FITTING[name])
            for name in [*names, "i2", "n"]
        }
        for _ in range(draw(st.integers(0, 3)))
    ]


WRITES = st.sampled_from([
    ("POST", "/entity/S:Typed"), ("POST", "/entity/S:Typed"), ("POST", "/entity/S:Typed?defaults=t,n"),
    ("POST", "/entity/S:Typed?nondefaults=RID,RCT"), ("POST", "/entity/S:Typed?onconflict=skip"), ("PUT", "/entity/S:Typed"),
    ("PUT", "/attributegroup/S:Typed/i2;t,n"), ("PUT", "/attributegroup/S:Typed/o:=ta,p:=jb;ta,jb"),
    ("PUT", "/attributegroup/S:Typed/f8;f4,b"), ("PUT", "/attributegroup/S:Typed/n;i8,f8,tz,j,ia,d"),
    ("PUT", "/attributegroup/S:Typed/n;new:=n,i2"), ("DELETE", "/entity/S:Typed/i2::gt::5"), ("DELETE", "/attribute/S:Typed/n,t"),
])  # fmt: skip


@FUZZ
@given(
    request=WRITES, body=rows() | rows() | ODD, form=st.sampled_from(["application/json", "application/x-json-stream"])
)
def test_writes(here: Door, request: tuple[str, str], body: Any, form: str) -> None:
    before = here.rows("/entity/S:Typed@sort(RID)")
    lines = body if isinstance(body, list) else [body]
    content = "\n".join(map(json.dumps, lines)) if form == "application/x-json-stream" else json.dumps(body)
    reply = here.send(*request, content.encode(), {"Content-Type": form})
    assert reply.status in EXPECTED, reply.text
    after = here.rows("/entity/S:Typed@sort(RID)")
    if reply.status >= 400:
        assert after == before
    elif request == ("POST", "/entity/S:Typed") and form == "application/json":
        made = {row["RID"]: row for row in reply.json()}
        assert {row["RID"]: row for row in after if row not in before} == made
    csv = here.get("/entity/S:Typed@sort(RID)", Accept="text/csv").text
    assert len(parse_csv(csv)[1]) == len(after)


@FUZZ
@given(body=rows())
def test_copies(here: Door, body: list[dict[str, Any]]) -> None:
    """What a table gives as CSV, JSON or a stream, it takes back and gives again, byte for byte.

    JSON shows the NULL of a json column as the JSON null that it is not: here both columns hold a JSON value.
    """
    here.delete("/entity/S:Typed")
    filled = [{"j": None, "jb": None, **row} for row in body]
    if not filled or here.post("/entity/S:Typed", filled).status != 200:
        return
    fields = "RID,RCT,i2,i8,f4,f8,b,t,d,ts,tz,j,jb,ta,ia,m,n"
    before = [here.get(f"/attribute/S:Typed/{fields}@sort(RID)", Accept=form).text for form in KINDS]
    for form in KINDS:
        content = here.get("/entity/S:Typed", Accept=form).body
        assert here.delete("/entity/S:Typed").status == 204
        reply = here.send("POST", "/entity/S:Typed?nondefaults=RID,RCT,RCB", content, {"Content-Type": form})
        assert reply.status == 200, reply.text
        assert [here.get(f"/attribute/S:Typed/{fields}@sort(RID)", Accept=each).text for each in KINDS] == before


# -------------------------------------------------------------------------------------------------------------- model

MANGLED = st.one_of(
    ODD, st.just({}), st.just([]), st.just({"typename": "text"}), st.just([["S", "x"]]), st.just(["RID"])
)
FIELDS = st.sampled_from([
    "schema_name", "table_name", "name", "names", "kind", "comment", "annotations", "acls", "acl_bindings", "type", "nullok",
    "default", "column_definitions", "keys", "foreign_keys", "unique_columns", "foreign_key_columns", "referenced_columns",
    "on_delete", "on_update", "tables", "schemas",
])  # fmt: skip
PLACES = st.sampled_from([
    ("POST", "/schema"), ("PUT", "/schema/S"), ("POST", "/schema/S/table"), ("PUT", "/schema/S/table/Note"),
    ("POST", "/schema/S/table/Note/column"), ("PUT", "/schema/S/table/Note/column/Text"), ("POST", "/schema/S/table/Note/key"),
    ("PUT", "/schema/S/table/Sample/key/ID"), ("POST", "/schema/S/table/Note/foreignkey"), ("PUT", "/annotation"), ("PUT", "/acl"),
    ("PUT", "/schema/S/table/Note/foreignkey/Sample/reference/S:Sample/ID"), ("PUT", "/schema/S/table/Note/annotation/x"),
    ("PUT", "/schema/S/table/Note/acl/select"), ("PUT", "/schema/S/table/Note/acl_binding/x"), ("PUT", "/schema/S/table/Note/comment"),
])  # fmt: skip
CHANGED: dict[str, Door] = {}
FULL: dict[str, Any] = {
    "table_name": "New", "name": "new", "type": {"typename": "text"}, "unique_columns": ["Text"], "schema_name": "New",
    "foreign_key_columns": [{"schema_name": "S", "table_name": "Note", "column_name": "Sample"}],
    "referenced_columns": [{"schema_name": "S", "table_name": "Sample", "column_name": "ID"}],
}  # fmt: skip


@settings(FUZZ, max_examples=100)
@given(place=PLACES, changes=st.dictionaries(FIELDS, MANGLED, max_size=3), full=st.booleans(), listed=st.booleans())
def test_documents(here: Door, place: tuple[str, str], changes: dict[str, Any], full: bool, listed: bool) -> None:
    document = {**(FULL if full else {}), **changes}
    catalog = CHANGED.setdefault("now", here)
    before = catalog.rows("/schema")
    reply = catalog.send(*place, [document] if listed else document)
    assert reply.status in EXPECTED, (place, document, reply.text)
    if reply.status < 400:
        assert catalog.get("/schema").status == 200
        CHANGED["now"] = here.new_catalog()
        CHANGED["now"].made("/schema", [schema("S", SPECIES, SAMPLE, NOTE)])
        CHANGED["now"].insert("S:Sample", {"ID": 1})
        CHANGED["now"].insert("S:Note", {"Text": "n", "Sample": 1})
    else:
        assert catalog.rows("/schema") == before
