"""What the conformance cases are written in: a door that sends requests, model documents in short, and sample data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from deriva_local.service.app import Service
from deriva_local.service.messages import FileSlice, Request, Response
from deriva_local.wire.types import TYPES, type_document

SYSTEM = {"RID", "RCT", "RMT", "RCB", "RMB"}


@dataclass(frozen=True)
class Reply:
    """A response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Door:
    """A way into a service, standing at an address: the root, or a catalog."""

    way: Callable[..., Any]
    at: str = ""

    @classmethod
    def in_process(cls, service: Service) -> Door:
        def way(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
            sent = {name.lower(): value for name, value in headers.items()} | {"content-length": str(len(body))}
            answer = service.handle(Request(method, target, sent, body, service.owner))
            return Reply(
                answer.status, {name.lower(): value for name, value in answer.headers.items()}, _content(answer)
            )

        return cls(way)

    def send(self, method: str, below: str = "", body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request to an address below this one; a body that is not bytes goes as JSON, text as CSV."""
        kind = {} if body is None else {"Content-Type": "text/csv" if isinstance(body, str) else "application/json"}
        content = _encoded(body)
        answer = self.way(method, self.at + below, content, {**kind, **(headers or {})})
        return Reply(answer.status, answer.headers, answer.body)

    def get(self, below: str = "", **headers: str) -> Reply:
        return self.send("GET", below, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def rows(self, below: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        reply = self.get(below)
        assert reply.status == 200, (below, reply.text)
        return reply.json()

    def post(self, below: str, body: Any = None) -> Reply:
        return self.send("POST", below, body)

    def made(self, below: str, body: Any = None) -> Any:
        """Return the JSON of a POST that must succeed."""
        reply = self.post(below, body)
        assert reply.status in (200, 201), (below, reply.status, reply.text)
        return reply.json() if reply.body else None

    def put(self, below: str, body: Any = None) -> Reply:
        return self.send("PUT", below, body)

    def delete(self, below: str) -> Reply:
        return self.send("DELETE", below)

    def insert(self, table: str, *rows: Mapping[str, Any], options: str = "") -> Any:
        return self.made(f"/entity/{table}{options}", list(rows))

    def statuses(self, *requests: tuple[Any, ...]) -> list[int]:
        """Return the status of each ``(method, below[, body])``."""
        return [self.send(*request).status for request in requests]

    def new_catalog(self) -> Door:
        root = replace(self, at="")
        reply = root.send("POST", "/ermrest/catalog", {})
        assert reply.status == 201, reply.text
        return replace(self, at=reply.headers["location"])

    def snapshot(self, snaptime: str | None = None) -> Door:
        """Return this catalog as it was at a snaptime, by default as it is now."""
        return replace(self, at=f"{self.at}@{snaptime or self.snaptime()}")

    def snaptime(self) -> str:
        return str(self.rows("")["snaptime"])


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _content(response: Response) -> bytes:
    if isinstance(response.body, FileSlice):
        return response.body.path.read_bytes()[response.body.offset :][: response.body.length]
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


# --------------------------------------------------------------------------------------------------- model documents


def column(name: str, type: str = "text", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_document(TYPES[type]), **more}


def key(*columns: str, **more: Any) -> dict[str, Any]:
    return {"unique_columns": list(columns), **more}


def foreign_key(columns: str, table: str, referenced: str, schema: str = "S", **more: Any) -> dict[str, Any]:
    """Return the document of a foreign key; columns are separated by blanks."""
    return {
        "foreign_key_columns": [{"column_name": name} for name in columns.split()],
        "referenced_columns": [
            {"schema_name": schema, "table_name": table, "column_name": name} for name in referenced.split()
        ],
        **more,
    }


SYSTEM_COLUMNS = [
    column("RID", "ermrest_rid", nullok=False),
    column("RCT", "ermrest_rct", nullok=False),
    column("RMT", "ermrest_rmt", nullok=False),
    column("RCB", "ermrest_rcb"),
    column("RMB", "ermrest_rmb"),
]


def table(name: str, *columns: dict[str, Any], keys: Any = (), fkeys: Any = (), **more: Any) -> dict[str, Any]:
    """Return the document of a table with its system columns and the key on RID."""
    return {
        "table_name": name,
        "kind": "table",
        "column_definitions": [*SYSTEM_COLUMNS, *columns],
        "keys": [key("RID"), *keys],
        "foreign_keys": list(fkeys),
        **more,
    }


def schema(name: str, *tables: dict[str, Any]) -> dict[str, Any]:
    return {"schema_name": name, "tables": {each["table_name"]: each for each in tables}}


def without_system(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in SYSTEM} for row in rows]


# ----------------------------------------------------------------------------------------------------------- samples

SPECIES = table("Species", column("ID", nullok=False), column("Legs", "int4"), keys=[key("ID")])
SAMPLE = table(
    "Sample",
    column("ID", "int4", nullok=False),
    column("Name"),
    column("Count", "int8"),
    column("Weight", "float8"),
    column("Active", "boolean"),
    column("Born", "date"),
    column("Seen", "timestamptz"),
    column("Tags", "text[]"),
    column("Info", "jsonb"),
    column("Species"),
    keys=[key("ID")],
    fkeys=[foreign_key("Species", "Species", "ID")],
)
IMAGE = table(
    "Image",
    column("Name"),
    column("Sample", "int4"),
    column("Twin", "int4"),
    fkeys=[foreign_key("Sample", "Sample", "ID"), foreign_key("Twin", "Sample", "ID")],
)
NOTE = table("Note", column("Text"), column("Sample", "int4"), fkeys=[foreign_key("Sample", "Sample", "ID")])
ODD = table("Odd %:,/Ü", column("Ä b", "text"), column("*:x", "int4"))
TREE = table(
    "Tree", column("ID", nullok=False), column("Parent"), keys=[key("ID")], fkeys=[foreign_key("Parent", "Tree", "ID")]
)
TYPED = table(
    "Typed",
    column("i2", "int2"), column("i8", "int8"), column("f4", "float4"), column("f8", "float8"), column("b", "boolean"),
    column("t", "text"), column("d", "date"), column("ts", "timestamp"), column("tz", "timestamptz"), column("j", "json"),
    column("jb", "jsonb"), column("ta", "text[]"), column("ia", "int4[]"), column("m", "markdown"), column("n", "int4"),
)  # fmt: skip

SPECIES_ROWS = [{"ID": "cat", "Legs": 4}, {"ID": "bird", "Legs": 2}, {"ID": "fish", "Legs": 0}]
SAMPLE_ROWS = [
    {"ID": 1, "Name": "Anna", "Count": 10, "Weight": 1.5, "Active": True, "Born": "2020-01-01", "Seen": "2021-06-01T12:00:00+02:00", "Tags": ["a", "b"], "Info": {"x": 1}, "Species": "cat"},
    {"ID": 2, "Name": "bob", "Count": 20, "Weight": 2, "Active": False, "Born": "2021-05-05", "Seen": "2021-06-01T10:00:00.5Z", "Tags": ["b", None], "Info": [1, 2], "Species": "cat"},
    {"ID": 3, "Name": "Cy, \"C\"", "Count": 20, "Weight": None, "Active": None, "Born": None, "Seen": None, "Tags": [], "Info": "x", "Species": "bird"},
    {"ID": 4, "Name": "", "Count": None, "Weight": "NaN", "Active": True, "Born": "1999-12-31", "Seen": "1969-12-31T23:59:59.999999Z", "Tags": None, "Info": None, "Species": None},
    {"ID": 5, "Name": None, "Count": -3, "Weight": "-Infinity", "Active": True, "Born": "2020-01-01", "Seen": None, "Tags": ["c"], "Species": "bird"},
]  # fmt: skip
IMAGE_ROWS = [
    {"Name": "i1", "Sample": 1, "Twin": 2},
    {"Name": "i2", "Sample": 1, "Twin": None},
    {"Name": "i3", "Sample": 2, "Twin": 1},
    {"Name": "i4", "Sample": None, "Twin": None},
]
NOTE_ROWS = [{"Text": "n1", "Sample": 1}, {"Text": "n2", "Sample": 1}, {"Text": "n3", "Sample": 3}]


def sample_catalog(door: Door) -> Door:
    """Create a catalog with all tables above, and rows in them."""
    catalog = door.new_catalog()
    catalog.made("/schema", [schema("S", SPECIES, SAMPLE, IMAGE, NOTE, ODD, TREE, TYPED)])
    catalog.insert("S:Species", *SPECIES_ROWS)
    catalog.insert("S:Sample", *SAMPLE_ROWS)
    catalog.insert("S:Image", *IMAGE_ROWS)
    catalog.insert("S:Note", *NOTE_ROWS)
    catalog.insert(f"S:{quote(ODD['table_name'], safe='')}", {"Ä b": "ü/%", "*:x": 1}, {"Ä b": "a b+c", "*:x": 2})
    catalog.insert("S:Tree", {"ID": "leaf", "Parent": "root"}, {"ID": "root", "Parent": None})
    return catalog
