"""Addresses and what they say, as tables."""

from __future__ import annotations

import timeit
from typing import Any

import pytest

from deriva_local.url.ast import (
    Address,
    AggregateItem,
    AliasAddress,
    AllOf,
    And,
    AnyOf,
    BinItem,
    CatalogAddress,
    CatalogPart,
    CatalogResource,
    CatalogsAddress,
    ColumnItem,
    ColumnRef,
    ColumnResource,
    ContextStep,
    DataResource,
    EntityRidResource,
    Facet,
    Filter,
    FilterStep,
    ForeignKeyResource,
    HistoryResource,
    JoinStep,
    KeyResource,
    LinkStep,
    Not,
    Or,
    Paging,
    Path,
    Predicate,
    RowStateItem,
    SchemaResource,
    ServiceAddress,
    SortKey,
    Step,
    TableRef,
    TableResource,
    TableStep,
    TextFacetResource,
)
from deriva_local.url.parse import parse
from deriva_local.url.unparse import unparse
from deriva_local.wire.errors import Refusal

T = TableStep(TableRef("T", "S"))


def col(*parts: str) -> ColumnRef:
    return ColumnRef(parts)


def eq(name: str, value: Any, operator: Any = "=") -> Predicate:
    return Predicate(col(*name.split(":")), operator, value)


def part_of(below: str) -> CatalogPart:
    address = parse(f"/ermrest/catalog/1/{below}")
    assert isinstance(address, CatalogAddress)
    return address.part


def data_of(below: str) -> DataResource:
    part = part_of(below)
    assert isinstance(part, DataResource)
    return part


# ------------------------------------------------------------------------------------------------------ whole targets


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("/ermrest", ServiceAddress()),
        ("/ermrest/catalog", CatalogsAddress()),
        ("/ermrest/alias", AliasAddress()),
        ("/ermrest/alias/prod", AliasAddress("prod")),
        ("/ermrest/catalog/1", CatalogAddress("1", None, CatalogResource())),
        ("/ermrest/catalog/1@3DD-EWED-7318", CatalogAddress("1", "3DD-EWED-7318", CatalogResource())),
        ("/ermrest/catalog/a%2Fb?vacuum", CatalogAddress("a/b", None, CatalogResource(), {"vacuum": ()})),
        (
            "/ermrest/catalog/1/entity/S:T?limit=5&accept=text%2Fcsv",
            CatalogAddress("1", None, DataResource("entity", Path((T,))), {"limit": ("5",), "accept": ("text/csv",)}),
        ),
        (
            "/ermrest/catalog/1/entity/S:T?defaults=RID,RCT",
            CatalogAddress("1", None, DataResource("entity", Path((T,))), {"defaults": ("RID", "RCT")}),
        ),
    ],
)
def test_canonical_targets(target: str, address: Address) -> None:
    assert parse(target) == address
    assert unparse(address) == target


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        ("/ermrest/", "/ermrest"),
        ("/ermrest/catalog/", "/ermrest/catalog"),
        ("/ermrest/alias/", "/ermrest/alias"),
        ("/ermrest/catalog/1/", "/ermrest/catalog/1"),
        ("/ermrest/catalog/1/?", "/ermrest/catalog/1"),
        ("/ermrest/CATALOG/1/Entity/S:T", "/ermrest/catalog/1/entity/S:T"),
        ("/ermrest/catalog/1/entity/:S:T", "/ermrest/catalog/1/entity/S:T"),
        ("/ermrest/catalog/1/entity/%53:%54", "/ermrest/catalog/1/entity/S:T"),
        ("/ermrest/catalog/1/entity/S:T?a=x&a=y,x;b", "/ermrest/catalog/1/entity/S:T?a=x,y&b"),
        ("/ermrest/catalog/1/entity/S:T?defaults=", "/ermrest/catalog/1/entity/S:T?defaults"),
        ("/ermrest/catalog/1/schema/", "/ermrest/catalog/1/schema"),
        ("/ermrest/catalog/1/schema/S/table/", "/ermrest/catalog/1/schema/S/table"),
        ("/ermrest/catalog/1/entity/S:T/a=b+c", "/ermrest/catalog/1/entity/S:T/a=b%20c"),
        ("/ermrest/catalog/1/entity/S:T/((a=1))", "/ermrest/catalog/1/entity/S:T/a=1"),
        ("/ermrest/catalog/1/entity/S:T/a::GT::1", "/ermrest/catalog/1/entity/S:T/a::gt::1"),
        ("/ermrest/catalog/1/entity/S:T/a=ANY(x)", "/ermrest/catalog/1/entity/S:T/a=any(x)"),
        ("/ermrest/catalog/1/entity/S:T@SORT(a::DESC::)", "/ermrest/catalog/1/entity/S:T@sort(a::desc::)"),
    ],
)
def test_other_spellings(target: str, canonical: str) -> None:
    assert unparse(parse(target)) == canonical


# ------------------------------------------------------------------------------------------------------------ paths


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("T", (TableStep(TableRef("T")),)),
        ("S:T", (T,)),
        ("A:=S:T", (TableStep(TableRef("T", "S"), "A"),)),
        ("S:T/U/S:V", (T, TableStep(TableRef("U")), TableStep(TableRef("V", "S")))),
        ("S:T/B:=U", (T, TableStep(TableRef("U"), "B"))),
        ("S:T/(a)", (T, LinkStep((col("a"),)))),
        ("S:T/B:=(a,S:U:b)", (T, LinkStep((col("a"), col("S", "U", "b")), "B"))),
        ("S:T/(a)=(S:U:b)", (T, JoinStep((col("a"),), (col("S", "U", "b"),)))),
        ("S:T/B:=left(A:a,A:b)=(S:U:c,S:U:d)", (T, JoinStep((col("A", "a"), col("A", "b")), (col("S", "U", "c"), col("S", "U", "d")), "left", "B"))),
        ("S:T/full(a)=(S:U:b)", (T, JoinStep((col("a"),), (col("S", "U", "b"),), "full"))),
        ("S:T/right(a)=(S:U:b)", (T, JoinStep((col("a"),), (col("S", "U", "b"),), "right"))),
        ("A:=S:T/U/$A", (TableStep(TableRef("T", "S"), "A"), TableStep(TableRef("U")), ContextStep("A"))),
        ("left/full/any", (TableStep(TableRef("left")), TableStep(TableRef("full")), TableStep(TableRef("any")))),
        ("S:T/a%3Db:c%2Fd", (T, TableStep(TableRef("c/d", "a=b")))),
        ("null:desc/sort=any", (TableStep(TableRef("desc", "null")), FilterStep(eq("sort", "any")))),
    ],
)  # fmt: skip
def test_paths(path: str, steps: tuple[Step, ...]) -> None:
    assert data_of(f"entity/{path}") == DataResource("entity", Path(steps))
    assert unparse(parse(f"/ermrest/catalog/1/entity/{path}")) == f"/ermrest/catalog/1/entity/{path}"


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ("RID=1-ABC", eq("RID", "1-ABC")),
        ("a=", eq("a", "")),
        ("A:a=1", eq("A:a", "1")),
        ("S:T:a=1", eq("S:T:a", "1")),
        ("a=%28x%29%20%C3%A9", eq("a", "(x) é")),
        ("*::ciregexp::x.*y", eq("*", "x.*y", "ciregexp")),
        ("a::null::", eq("a", None, "null")),
        ("a::lt::5", eq("a", "5", "lt")),
        ("a::leq::", eq("a", "", "leq")),
        ("a::ts::x", eq("a", "x", "ts")),
        ("a=any(x,,z)", eq("a", AnyOf(("x", "", "z")))),
        ("a=any()", eq("a", AnyOf(("",)))),
        ("a::regexp::all(x,y)", eq("a", AllOf(("x", "y")), "regexp")),
        ("!a=1", Not(eq("a", "1"))),
        ("a=1&b=2", And((eq("a", "1"), eq("b", "2")))),
        ("a=1;b=2&c=3", Or((eq("a", "1"), And((eq("b", "2"), eq("c", "3")))))),
        ("a=1&b=2;c=3", Or((And((eq("a", "1"), eq("b", "2"))), eq("c", "3")))),
        ("(a=1;b=2)&!c=3", And((Or((eq("a", "1"), eq("b", "2"))), Not(eq("c", "3"))))),
        ("!(a=1&b=2)", Not(And((eq("a", "1"), eq("b", "2"))))),
        ("!(!a=1)", Not(Not(eq("a", "1")))),
        ("(a=1&b=2)&c=3", And((And((eq("a", "1"), eq("b", "2"))), eq("c", "3")))),
    ],
)
def test_filters(text: str, filter: Filter) -> None:
    assert data_of(f"entity/S:T/{text}").path.steps == (T, FilterStep(filter))
    assert unparse(parse(f"/ermrest/catalog/1/entity/S:T/{text}")).endswith(f"/S:T/{text}")


# ------------------------------------------------------------------------------------- projections, order and pages


@pytest.mark.parametrize(
    ("below", "resource"),
    [
        ("attribute/S:T/a", DataResource("attribute", Path((T,)), (), (ColumnItem(col("a")),))),
        ("attribute/S:T/*,x:=A:b", DataResource("attribute", Path((T,)), (), (ColumnItem(col("*")), ColumnItem(col("A", "b"), "x")))),
        ("attribute/S:T/min,cnt", DataResource("attribute", Path((T,)), (), (ColumnItem(col("min")), ColumnItem(col("cnt"))))),
        ("aggregate/S:T/n:=cnt(*)", DataResource("aggregate", Path((T,)), (), (AggregateItem("cnt", col("*"), "n"),))),
        ("aggregate/S:T/n:=array_d(A:*),cnt_d(b)", DataResource("aggregate", Path((T,)), (), (AggregateItem("array_d", col("A", "*"), "n"), AggregateItem("cnt_d", col("b"))))),
        ("attributegroup/S:T/a", DataResource("attributegroup", Path((T,)), (ColumnItem(col("a")),))),
        ("attributegroup/S:T/RID;b", DataResource("attributegroup", Path((T,)), (ColumnItem(col("RID")),), (ColumnItem(col("b")),))),
        ("attributegroup/S:T/old:=c;new:=c", DataResource("attributegroup", Path((T,)), (ColumnItem(col("c"), "old"),), (ColumnItem(col("c"), "new"),))),
        ("attributegroup/S:T/b:=bin(a;10;0;1.5);n:=cnt(*)", DataResource("attributegroup", Path((T,)), (BinItem(col("a"), "10", "0", "1.5", "b"),), (AggregateItem("cnt", col("*"), "n"),))),
        ("attributegroup/S:T/RID;t:=trs(RID),c:=tcrs(A:RID)", DataResource("attributegroup", Path((T,)), (ColumnItem(col("RID")),), (RowStateItem("trs", None, "t"), RowStateItem("tcrs", "A", "c")))),
        ("entity/S:T@sort(a,b::desc::)", DataResource("entity", Path((T,)), paging=Paging((SortKey("a"), SortKey("b", True))))),
        ("entity/S:T/a=1@sort(RID)@after(1-ABC)", DataResource("entity", Path((T, FilterStep(eq("a", "1")))), paging=Paging((SortKey("RID"),), None, ("1-ABC",)))),
        ("entity/S:T@sort(a,b)@before(,::null::)", DataResource("entity", Path((T,)), paging=Paging((SortKey("a"), SortKey("b")), ("", None)))),
        ("entity/S:T@sort(A%3Ab)@before(x)@after(y)", DataResource("entity", Path((T,)), paging=Paging((SortKey("A:b"),), ("x",), ("y",)))),
        ("attribute/S:T/a@sort(a)", DataResource("attribute", Path((T,)), (), (ColumnItem(col("a")),), Paging((SortKey("a"),)))),
    ],
)  # fmt: skip
def test_data(below: str, resource: DataResource) -> None:
    assert part_of(below) == resource
    assert unparse(parse(f"/ermrest/catalog/1/{below}")) == f"/ermrest/catalog/1/{below}"


def test_before_and_after_may_come_in_either_order() -> None:
    assert data_of("entity/T@sort(a)@after(1)@before(2)") == data_of("entity/T@sort(a)@before(2)@after(1)")


# ---------------------------------------------------------------------------------------------------- model resources


@pytest.mark.parametrize(
    ("below", "part"),
    [
        ("acl", CatalogResource(Facet("acl"))),
        ("acl/owner", CatalogResource(Facet("acl", "owner"))),
        ("annotation/tag%3Aa%2C2026%3Ab", CatalogResource(Facet("annotation", "tag:a,2026:b"))),
        ("schema", SchemaResource()),
        ("schema/S", SchemaResource("S")),
        ("schema/S/comment", SchemaResource("S", Facet("comment"))),
        ("schema/table/table/acl", TableResource("table", "acl")),
        ("schema/S/table", TableResource("S")),
        ("schema/S/table/T", TableResource("S", "T")),
        ("schema/S/table/T/acl_binding/x", TableResource("S", "T", Facet("acl_binding", "x"))),
        ("schema/S/table/T/column", ColumnResource("S", "T")),
        ("schema/S/table/T/column/a", ColumnResource("S", "T", "a")),
        ("schema/S/table/T/column/a/acl/select", ColumnResource("S", "T", "a", Facet("acl", "select"))),
        ("schema/S/table/T/key", KeyResource("S", "T")),
        ("schema/S/table/T/key/a,b", KeyResource("S", "T", ("a", "b"))),
        ("schema/S/table/T/key/a/annotation", KeyResource("S", "T", ("a",), Facet("annotation"))),
        ("schema/S/table/T/foreignkey", ForeignKeyResource("S", "T")),
        ("schema/S/table/T/foreignkey/a,b", ForeignKeyResource("S", "T", ("a", "b"))),
        ("schema/S/table/T/foreignkey/a/reference", ForeignKeyResource("S", "T", ("a",), True)),
        ("schema/S/table/T/foreignkey/a/reference/X:U", ForeignKeyResource("S", "T", ("a",), True, TableRef("U", "X"))),
        ("schema/S/table/T/foreignkey/a/reference/X:U/b", ForeignKeyResource("S", "T", ("a",), True, TableRef("U", "X"), ("b",))),
        ("schema/S/table/T/foreignkey/a/reference/U/b/acl/insert", ForeignKeyResource("S", "T", ("a",), True, TableRef("U"), ("b",), Facet("acl", "insert"))),
        ("entity_rid/1-ABC", EntityRidResource("1-ABC")),
        ("textfacet/x%20y", TextFacetResource("x y")),
        ("history/,", HistoryResource(None, None)),
        ("history/2-A,2-B", HistoryResource("2-A", "2-B")),
        ("history/2-A,2-B/acl", HistoryResource("2-A", "2-B", "acl")),
        ("history/2-A,2-B/annotation/1-X", HistoryResource("2-A", "2-B", "annotation", "1-X")),
        ("history/,2-B/attribute/1-X", HistoryResource(None, "2-B", attribute="1-X")),
        ("history/,2-B/attribute/1-X/1-Y=%22a%22", HistoryResource(None, "2-B", None, None, "1-X", "1-Y", '"a"')),
    ],
)  # fmt: skip
def test_model_resources(below: str, part: CatalogPart) -> None:
    assert part_of(below) == part
    assert unparse(parse(f"/ermrest/catalog/1/{below}")) == f"/ermrest/catalog/1/{below}"


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("", 404, "nothing at"),
        ("/other", 404, "nothing at"),
        ("/ermrestx", 404, "nothing at"),
        ("/ermrest/client_action", 404, "client_action"),
        ("/ermrest/catalog/1/meta", 404, "meta"),
        ("/ermrest/catalog/1/entit/S:T", 404, "entit"),
        ("/ermrest/catalog/1/entity", 400, "a name"),
        ("/ermrest/catalog/1/entity/", 400, "a name"),
        ("/ermrest/catalog/1/attribute/S:T", 400, "needs a path|a name"),
        ("/ermrest/catalog/1/entity/(a)", 400, "start with a table"),
        ("/ermrest/catalog/1/entity/a=1", 400, "start with a table"),
        ("/ermrest/catalog/1/entity/S:T/a=(1,2)", 400, "any"),
        ("/ermrest/catalog/1/entity/S:T/", 400, "a name"),
        ("/ermrest/catalog/1/entity/S:T/a", None, ""),
        ("/ermrest/catalog/1/entity/S:T/a:b:c", 400, "operator"),
        ("/ermrest/catalog/1/entity/S:T/a::eq::1", 400, "operator"),
        ("/ermrest/catalog/1/entity/S:T/a::g%74::1", 400, "operator"),
        ("/ermrest/catalog/1/entity/S:T/a::=::1", 400, "operator"),
        ("/ermrest/catalog/1/entity/S:T/!!a=1", 400, "a name"),
        ("/ermrest/catalog/1/entity/S:T/(a=1", 400, r"'\)'"),
        ("/ermrest/catalog/1/entity/S:T/a=1)", 400, "the end"),
        ("/ermrest/catalog/1/entity/S:T/(a,b)=(c)", 400, "as many"),
        ("/ermrest/catalog/1/entity/S:T/left(a)", 400, "left join"),
        ("/ermrest/catalog/1/entity/S:T@after(x)", 400, "needs @sort"),
        ("/ermrest/catalog/1/entity/S:T@sort(a)@after(x,y)", 400, "match"),
        ("/ermrest/catalog/1/entity/S:T@sort(a)@sort(b)", 400, "once"),
        ("/ermrest/catalog/1/entity/S:T@sort(a)@after(x)@after(y)", 400, "once"),
        ("/ermrest/catalog/1/entity/S:T@sort(a::asc::)", 400, "desc"),
        ("/ermrest/catalog/1/aggregate/S:T/n:=median(a)", 400, "aggregate"),
        ("/ermrest/catalog/1/attribute/S:T/n:=cnt(a)", 400, "columns and bins"),
        ("/ermrest/catalog/1/attributegroup/S:T/a;t:=trs(b)", 400, "RID"),
        ("/ermrest/catalog/1/entity/S:T/a=b c", 400, "' ' must be escaped"),
        ("/ermrest/catalog/1/entity/S:T/a=é", 400, "must be escaped"),
        ("/ermrest/catalog/1/entity/S:T/a=%zz", 400, "percent-escape"),
        ("/ermrest/catalog/1/entity/S:T/a=%2", 400, "percent-escape"),
        ("/ermrest/catalog/1/entity/S:T/a=%FF", 400, "UTF-8"),
        ("/ermrest/catalog/1/entity/S:T/a=%00", 400, "NUL"),
        ("/ermrest/catalog/1/entity/S:T?limit=1,", 400, "a name"),
        ("/ermrest/catalog/1/entity/S:T?=1", 400, "a name"),
        ("/ermrest/catalog/1/entity/S:T?a=b/c", 400, "the end"),
        ("/ermrest/catalog/1/schema/S/tables", 400, "tables"),
        ("/ermrest/catalog/1/schema/S/acl_binding", 400, "acl_binding"),
        ("/ermrest/catalog/1/schema/S/acl/a/b", 400, "follow"),
        ("/ermrest/catalog/1/schema/S/comment/a", 400, "follow"),
        ("/ermrest/catalog/1/schema/S/table/T/key/a/acl", 400, "acl"),
        ("/ermrest/catalog/1/schema/S/table/T/foreignkey/a/to", 400, "reference"),
        ("/ermrest/catalog/1/schema/S:T", 400, "the end"),
        ("/ermrest/catalog/1/history", 400, "range"),
        ("/ermrest/catalog/1/history/2-A", 400, "','"),
        ("/ermrest/catalog/1/history/,/comment", 400, "comment"),
        ("/ermrest/catalog/1/entity_rid", 400, "one RID"),
        ("/ermrest/catalog/1/textfacet/a/b", 400, "one pattern"),
        ("/ermrest/alias/a/b", 400, "follow"),
        ("/ermrest/catalog/1@", 400, "a name"),
    ],
)
def test_refusals(target: str, status: int | None, says: str) -> None:
    if status is None:
        assert parse(target)
        return
    with pytest.raises(Refusal, match=says) as refusal:
        parse(target)
    assert refusal.value.status == status


def test_parsing_a_typical_address_costs_microseconds() -> None:
    target = "/ermrest/catalog/1/entity/deriva-ml:Execution/RID=1-ABC"
    seconds = min(timeit.repeat(lambda: parse(target), number=200, repeat=10)) / 200
    assert seconds < 100e-6
