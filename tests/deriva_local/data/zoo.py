"""A small real catalog for the tests of data: a zoo, made and filled through the service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_local.service.app import Service
from deriva_local.service.messages import Request

DEFAULTS = "defaults=RID,RCT,RMT,RCB,RMB"
SYSTEM = [
    {"name": "RID", "type": {"typename": "ermrest_rid"}, "nullok": False},
    {"name": "RCT", "type": {"typename": "ermrest_rct"}, "nullok": False},
    {"name": "RMT", "type": {"typename": "ermrest_rmt"}, "nullok": False},
    {"name": "RCB", "type": {"typename": "ermrest_rcb"}},
    {"name": "RMB", "type": {"typename": "ermrest_rmb"}},
]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Catalog:
    """One catalog of a service in process; addresses are relative to it."""

    service: Service
    id: str

    def send(self, method: str, path: str, body: Any = b"", snapshot: str = "", **headers: str) -> Reply:
        """Send a request; a body that is not bytes goes as JSON. ``content_type`` stands for Content-Type."""
        given = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        target = f"/ermrest/catalog/{self.id}{'@' + snapshot if snapshot else ''}{path}"
        response = self.service.handle(Request(method, target, sent, given, self.service.owner))
        assert isinstance(response.body, bytes)
        return Reply(response.status, dict(response.headers), response.body)

    def get(self, path: str, snapshot: str = "") -> Any:
        """Return the JSON of an address that exists."""
        reply = self.send("GET", path, snapshot=snapshot)
        assert reply.status == 200, reply.text
        return reply.json()

    def insert(self, table: str, *rows: dict[str, Any], more: str = "") -> list[dict[str, Any]]:
        reply = self.send("POST", f"/entity/{table}?{DEFAULTS}{more}", list(rows))
        assert reply.status == 200, reply.text
        return list(reply.json())

    def refusal(self, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, str]:
        """Return status and text of a request that is refused, after a look at whether anything changed."""
        before = self.snaptime()
        reply = self.send(method, path, body, **headers)
        assert reply.status >= 400, reply.text
        assert self.snaptime() == before
        return reply.status, reply.text

    def snaptime(self) -> str:
        return str(self.get("/")["snaptime"])

    def define(self, schema: str, *tables: dict[str, Any]) -> None:
        """Create tables in a schema, and the schema with them."""
        reply = self.send("POST", "/schema", {"schemas": {schema: {"tables": {t["table_name"]: t for t in tables}}}})
        assert reply.status == 201, reply.text


def new_catalog(folder: Path) -> Catalog:
    service = Service(folder)
    made = service.handle(Request("POST", "/ermrest/catalog", client=service.owner))
    assert isinstance(made.body, bytes)
    return Catalog(service, json.loads(made.body)["id"])


def column(spec: str, **more: Any) -> dict[str, Any]:
    """Return a column document for ``name type[] not null``."""
    name, type_name, *rest = spec.split()
    element = type_name.removesuffix("[]")
    kind: dict[str, Any] = {"typename": element}
    if element != type_name:
        kind = {"typename": type_name, "is_array": True, "base_type": kind}
    return {"name": name, "type": kind, "nullok": not rest, **more}


def table(
    name: str, *columns: Any, keys: tuple[str, ...] = (), links: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """Return a table document; a key is written ``a,b``, a column as for :func:`column` or as a document."""
    return {
        "table_name": name,
        "column_definitions": SYSTEM + [column(each) if isinstance(each, str) else each for each in columns],
        "keys": [{"unique_columns": ["RID"]}, *({"unique_columns": key.split(",")} for key in keys)],
        "foreign_keys": [
            {**link, "foreign_key_columns": [{**each, "table_name": name} for each in link["foreign_key_columns"]]}
            for link in links
        ],
    }


def link(columns: str, schema: str, target: str, theirs: str, **actions: str) -> dict[str, Any]:
    """Return a foreign key document, for use within :func:`table`."""
    return {
        "foreign_key_columns": [{"schema_name": schema, "column_name": name} for name in columns.split(",")],
        "referenced_columns": [
            {"schema_name": schema, "table_name": target, "column_name": name} for name in theirs.split(",")
        ],
        **actions,
    }


def zoo(folder: Path) -> Catalog:
    """Return a catalog with species, people, animals and visits."""
    catalog = new_catalog(folder)
    catalog.define(
        "zoo",
        table("Species", "Name text not-null", "Legs int4", keys=("Name",)),
        table("Person", "Name text not-null", keys=("Name",)),
        table(
            "Animal",
            "Name text not-null",
            "Species text",
            "Keeper text",
            "Vet text",
            "Mother text",
            "Weight float8",
            "Born date",
            "Tame boolean",
            "Tags text[]",
            "Facts jsonb",
            "Seen timestamptz",
            keys=("Name",),
            links=(
                link("Species", "zoo", "Species", "Name", on_update="CASCADE"),
                link("Keeper", "zoo", "Person", "Name", on_delete="SET NULL"),
                link("Vet", "zoo", "Person", "Name"),
                link("Mother", "zoo", "Animal", "Name"),
            ),
        ),
        table(
            "Visit",
            "Animal text not-null",
            "Day date",
            "Cost int8",
            links=(link("Animal", "zoo", "Animal", "Name", on_delete="CASCADE", on_update="CASCADE"),),
        ),
        table("Note", "Text text"),
    )
    catalog.insert(
        "zoo:Species",
        {"Name": "cat", "Legs": 4},
        {"Name": "owl", "Legs": 2},
        {"Name": "eel", "Legs": 0},
        {"Name": "yeti"},
    )
    catalog.insert("zoo:Person", {"Name": "Ada"}, {"Name": "Bob"}, {"Name": "Cy"})
    catalog.insert(
        "zoo:Animal",
        _animal(
            "Tom",
            "cat",
            "Ada",
            "Bob",
            None,
            4.5,
            "2020-01-31",
            True,
            ["loud", "grey"],
            {"n": 1},
            "2024-01-01T12:00:00Z",
        ),
        _animal("Kit", "cat", "Ada", None, "Tom", 0.5, "2023-05-01", True, [], {"n": 1.0}, "2024-01-01T12:00:00.5Z"),
        _animal("Uhu", "owl", "Bob", "Bob", None, 2, "2019-12-24", False, ["loud"], [1, 2], "2023-12-31T23:59:59Z"),
        _animal("Al", "eel", None, "Cy", None, None, None, None, None, None, None),
    )
    catalog.insert(
        "zoo:Visit",
        {"Animal": "Tom", "Day": "2024-02-01", "Cost": 100},
        {"Animal": "Tom", "Day": "2024-03-01", "Cost": 50},
        {"Animal": "Uhu", "Day": "2024-02-01", "Cost": 100},
    )
    return catalog


def _animal(*values: Any) -> dict[str, Any]:
    names = ("Name", "Species", "Keeper", "Vet", "Mother", "Weight", "Born", "Tame", "Tags", "Facts", "Seen")
    row = dict(zip(names, values, strict=True))
    return {name: value for name, value in row.items() if name != "Facts" or value is not None}
