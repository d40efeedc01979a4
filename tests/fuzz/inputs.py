"""What the fuzzer feeds: every reader of text from outside, each of which may refuse, and must not fail.

``one_input(data)`` takes any bytes. The first byte chooses the reader, the rest is what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from itertools import count
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from deriva_local.acl.view import view_of
from deriva_local.model import alter, ddl
from deriva_local.model.elements import Model
from deriva_local.model.intake import SYSTEM_TYPES
from deriva_local.objects.names import file_name, url_of
from deriva_local.objects.names import parse as hatrac
from deriva_local.query.bind import bind
from deriva_local.query.sql import compile_plan
from deriva_local.service import heads
from deriva_local.service.chunks import Chunks
from deriva_local.service.hatrac_requests import clean_disposition, clean_type
from deriva_local.service.negotiation import preferred
from deriva_local.service.places import own_place
from deriva_local.service.ranges import wanted
from deriva_local.url import ast
from deriva_local.url.parse import parse
from deriva_local.url.unparse import unparse
from deriva_local.wire import etag
from deriva_local.wire.crockford import decode, encode, normalise
from deriva_local.wire.crockford import encode as _encode
from deriva_local.wire.errors import Refusal
from deriva_local.wire.tabular import KINDS, read_rows
from deriva_local.wire.types import TYPES, codec

KNOWN = {400, 403, 404, 409, 415, 501}
"""The statuses with which a reader may refuse."""


def one_input(data: bytes) -> None:
    """Give one input to the reader that its first byte chooses.

    Raises:
        AssertionError: the reader broke a promise; any other exception is a failure as well.
    """
    if data:
        reader = READERS[data[0] % len(READERS)]
        try:
            reader(data[1:])
        except Refusal as refused:
            assert refused.status in KNOWN, refused.status


def address(data: bytes) -> None:
    """An address is refused, or written again it means the same; in a model it is refused or compiles."""
    target = "/ermrest/catalog/1/" + data.decode("latin-1")
    found = parse(target)
    assert parse(unparse(found)) == found
    if isinstance(found, ast.CatalogAddress) and isinstance(found.part, ast.DataResource):
        compile_plan(bind(found.part, view_of(MODEL, frozenset({"me"})), 5), False, "json")


def elements(data: bytes) -> None:
    """Documents of tables, columns, keys, foreign keys, bindings and lists."""
    document = _json(data)
    if not isinstance(document, dict):
        return
    table = MODEL.schemas["S"].tables["T"]
    acts: tuple[Callable[[], object], ...] = (
        lambda: ddl.create_table(MODEL, "S", {**TABLE, **document}, _rid),
        lambda: ddl.create_column(MODEL, table, document, _rid),
        lambda: ddl.create_key(MODEL, table, document, _rid),
        lambda: ddl.create_foreign_key(MODEL, table, document, _rid),
        lambda: alter.alter_table(MODEL, table, document),
        lambda: alter.alter_table(MODEL, table, {"acl_bindings": document}),
        lambda: alter.alter_table(MODEL, table, {"acl_bindings": {"b": {"types": ["select"], **document}}}),
        lambda: alter.alter_table(MODEL, table, {"acls": document}),
        lambda: alter.alter_column(MODEL, table, table.by_name["n"], document),
        lambda: alter.alter_schema(MODEL, MODEL.schemas["S"], document),
    )
    for act in acts:
        try:
            act()
        except Refusal as refused:
            assert refused.status in KNOWN, refused.status


def rows(data: bytes) -> None:
    """The rows of a body, in each of its forms."""
    for kind in KINDS:
        try:
            read_rows(kind, data)
        except Refusal as refused:
            assert refused.status in KNOWN, refused.status


def values(data: bytes) -> None:
    """A value of each type: as text, as JSON; what is stored can be shown in every form."""
    text = data.decode("utf-8", "replace")
    document = _json(data)
    for type in TYPES.values():
        of = codec(type)
        for read, given in ((of.from_text, text), (of.from_json, document)):
            try:
                stored = read(given)
            except ValueError:
                continue
            for show in (of.to_json, of.to_csv, of.to_match):
                show(stored)


def tags(data: bytes) -> None:
    """The lists of tags of preconditions, and the spellings of RIDs."""
    text = data.decode("latin-1")
    etag.refused("GET", {"if-none-match": text, "if-match": text}, etag.build({"*"}, None, "2-A"))
    try:
        number = decode(text)
    except ValueError:
        return
    assert decode(encode(number)) == number
    assert normalise(text) == encode(number)


def names(data: bytes) -> None:
    """Addresses of objects: one that is taken is canonical, and names nothing but itself as a file."""
    target = "/hatrac/" + data.decode("latin-1")
    found = hatrac(target)
    again = hatrac(url_of(found.name, found.version))
    assert (again.name, again.version) == (found.name, found.version)
    called = unquote(file_name(found.name))
    assert not found.name or (called not in ("", ".", "..") and "/" not in called and "\\" not in called)


def fields(data: bytes) -> None:
    """Fields of requests: whole heads, chunks, ranges, kinds that are liked, places to be sent to, names of files."""
    text = data.decode("latin-1")
    preferred(text, ("application/json", "text/html"))
    place = own_place(text, "http://lab:80")
    assert place is None or urlsplit(urljoin("http://lab:80/authn/login", place)).hostname == "lab"
    for read in (lambda: heads.fields(data.splitlines(keepends=True)), lambda: Chunks(BytesIO(data)).read(1000)):
        try:
            read()
        except ValueError:
            continue
    for check in (lambda: wanted(text, 10), lambda: clean_disposition(text), lambda: clean_type(text)):
        try:
            check()
        except Refusal as refused:
            assert refused.status in {*KNOWN, 416}, refused.status


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


READERS: tuple[Callable[[bytes], None], ...] = (address, elements, rows, values, tags, names, fields)

_numbers = count(1)


def _rid() -> str:
    return _encode(next(_numbers))


def _column(name: str, type_name: str, nullok: bool = True) -> dict[str, Any]:
    return {"name": name, "type": {"typename": type_name}, "nullok": nullok}


SYSTEM = [_column(name, kind, nullok) for name, (kind, nullok) in SYSTEM_TYPES.items()]
TABLE = {"table_name": "new", "column_definitions": SYSTEM, "keys": [{"unique_columns": ["RID"]}]}


def _model() -> Model:
    made, _ = ddl.create_schema(Model(1, {}, {}, {"owner": ("me",)}), "S", {}, _rid)
    own = [_column("t", "text"), _column("n", "int4"), _column("d", "date"), _column("j", "jsonb")]
    link = {
        "foreign_key_columns": [{"column_name": "t"}],
        "referenced_columns": [{"table_name": "U", "column_name": "t"}],
        "names": [["S", "to_u"]],
    }
    keys = [{"unique_columns": ["RID"]}, {"unique_columns": ["t"]}]
    for name, links in (("U", []), ("T", [link])):
        document = {"table_name": name, "column_definitions": SYSTEM + own, "keys": keys, "foreign_keys": links}
        made, table = ddl.create_table(made, "S", document, _rid)
        made, _ = ddl.link_table(made, table, document, _rid)
    return made


MODEL = _model()

SEEDS: tuple[bytes, ...] = (
    b"\x00entity/A:=S:T/t=x&(n::gt::3;!d::null::)/S:U/$A@sort(RID,t::desc::)@after(1,::null::)?limit=5",
    b"\x00attributegroup/S:T/n;c:=cnt(*),m:=max(d),b:=bin(n;5;0;10),r:=trs(RID)@sort(n)",
    b"\x00attribute/M:=S:T/N:=left(t)=(S:U:t)/x:=N:t,M:*",
    b"\x00schema/S/table/T/foreignkey/t/reference/S:U/t/acl_binding/b",
    b"\x00history/2-A,2-B/attribute/2C/2D=%22x%22",
    b'\x01{"table_name":"x","acls":{"select":["*"]},"acl_bindings":{"b":false},"annotations":{}}',
    b'\x01{"name":"c","type":{"typename":"text[]","is_array":true,"base_type":{"typename":"text"}},"default":["a"]}',
    b'\x01{"projection":[{"outbound":["S","to_u"],"alias":"u"},{"filter":["u","n"],"operand":3},"t"],"scope_acl":["*"]}',
    b'\x01{"foreign_key_columns":[{"column_name":"t"}],"referenced_columns":[{"table_name":"U","column_name":"t"}]}',
    b'\x02[{"t":"x","n":1},{"n":null}]',
    b't\x02t,n\n"a ""b""",\n,1\n',
    b'\x03{"a":[1,2.50,"\\u00e9"]}',
    b"\x032020-02-30T25:61:61.5+01:00",
    b'\x03{a,"b c",NULL}',
    b"\x03[1e11111111111111111111111111111111111]",
    b"\x031e999999999",
    b'\x04W/"a", "b-gzip", *',
    b"\x041-X4ZZ",
    b"\x05ns/a%20b%2Fc.png:5KQ;acl/subtree-read/me%40x?parents=true",
    b"\x05%2e%2E/..%5cx;upload/J/0",
    b"\x06Host: lab\r\nCookie: a\r\ncookie: b\r\nContent-Length: 5\r\n\r\n",
    b"\x063;x=y\r\nabc\r\n0\r\nT: t\r\n\r\n",
    b"\x06bytes=0-1,-5",
    b"\x06text/html;q=0.1, */*;q=x",
    b"\x06http://lab:80/x?y#z",
    b"\x06filename*=UTF-8''a%E2%82%AC.txt",
)
