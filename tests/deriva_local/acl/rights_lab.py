"""A catalog with several clients: what one may do and another may not, asked through the service itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request

DEFAULTS = "defaults=RID,RCT,RMT,RCB,RMB"
SYSTEM = [
    {"name": "RID", "type": {"typename": "ermrest_rid"}, "nullok": False},
    {"name": "RCT", "type": {"typename": "ermrest_rct"}, "nullok": False},
    {"name": "RMT", "type": {"typename": "ermrest_rmt"}, "nullok": False},
    {"name": "RCB", "type": {"typename": "ermrest_rcb"}},
    {"name": "RMB", "type": {"typename": "ermrest_rmb"}},
]
TYPES = {"Readers": {"typename": "text[]", "is_array": True, "base_type": {"typename": "text"}}}


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


@dataclass
class Lab:
    """Schema ``lab``: Team(Name, Members[]), Sample(Label, Note, Grade, Owner, Team → Team, Parent → Sample)."""

    folder: Path
    rids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service = Service(self.folder)
        self.clients: dict[str, Client | None] = {
            "owner": self.service.owner,
            "ann": Client.user("ann", ["reds"]),
            "bob": Client.user("bob", ["blues"]),
            "eve": Client.user("eve"),
            "nobody": None,
        }
        self.base = self.ask("owner", "POST", "", {}, base="/ermrest/catalog").headers["Location"]
        teams = _table("Team", ["Name", "Readers"], ["Name"])
        samples = _table("Sample", ["Label", "Note", "Grade", "Owner", "Team", "Parent"], ["Label"])
        samples["foreign_keys"] = [_link("Team", "Team", "Name", "to_team"), _link("Parent", "Sample", "Label", "up")]
        self.done("owner", "POST", "/schema", {"schemas": {"lab": {"tables": {"Team": teams, "Sample": samples}}}})
        self.fill("Team", [{"Name": "red", "Readers": ["reds"]}, {"Name": "blue", "Readers": ["blues", "eve"]}])
        self.fill(
            "Sample",
            [
                {"Label": "a", "Note": "first", "Grade": "x", "Owner": "ann", "Team": "red"},
                {"Label": "b", "Note": "second", "Grade": "y", "Owner": "bob", "Team": "blue", "Parent": "a"},
                {"Label": "c", "Note": "third", "Grade": "x", "Owner": "reds", "Team": "blue", "Parent": "a"},
                {"Label": "d", "Note": None, "Grade": "y", "Owner": None, "Team": None, "Parent": "b"},
            ],
        )

    def fill(self, table: str, rows: list[dict[str, Any]]) -> None:
        for row in self.done("owner", "POST", f"/entity/lab:{table}?{DEFAULTS}", rows).json():
            self.rids[row.get("Label") or row.get("Name")] = row["RID"]

    def ask(self, who: str, method: str, path: str, body: Any = b"", base: str | None = None, **headers: str) -> Reply:
        """Send a request as one of the clients; a body that is not bytes goes as JSON."""
        given = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        target = (self.base if base is None else base) + path
        response = self.service.handle(Request(method, target, sent, given, self.clients[who]))
        assert isinstance(response.body, bytes)
        return Reply(response.status, dict(response.headers), response.body)

    def done(self, who: str, method: str, path: str, body: Any = b"", **headers: str) -> Reply:
        reply = self.ask(who, method, path, body, **headers)
        assert reply.status < 300, (who, method, path, reply.status, reply.text)
        return reply

    def get(self, who: str, path: str) -> Any:
        return self.done(who, "GET", path).json()

    def status(self, who: str, method: str, path: str, body: Any = b"", **headers: str) -> int:
        return self.ask(who, method, path, body, **headers).status

    def allow(self, place: str = "", **lists: Any) -> None:
        """Set access control lists of the catalog, or of the element at ``place``; None removes one."""
        for name, members in lists.items():
            if members is None:
                self.done("owner", "DELETE", f"{place}/acl/{name}")
            else:
                self.done("owner", "PUT", f"{place}/acl/{name}", members)

    def bind(self, place: str, **bindings: Any) -> None:
        for name, binding in bindings.items():
            self.done("owner", "PUT", f"{place}/acl_binding/{name}", binding)

    def labels(self, who: str, path: str) -> str:
        """Return the labels that a client reads, one letter each."""
        return "".join(sorted(row["Label"] for row in self.get(who, path)))


SCHEMA, TEAM, SAMPLE = "/schema/lab", "/schema/lab/table/Team", "/schema/lab/table/Sample"


def _table(name: str, columns: list[str], key: list[str]) -> dict[str, Any]:
    own = [{"name": each, "type": TYPES.get(each, {"typename": "text"})} for each in columns]
    keys = [{"unique_columns": ["RID"]}, {"unique_columns": key}]
    return {"table_name": name, "column_definitions": SYSTEM + own, "keys": keys}


def _link(column: str, table: str, referenced: str, name: str) -> dict[str, Any]:
    return {
        "names": [["lab", name]],
        "foreign_key_columns": [{"column_name": column}],
        "referenced_columns": [{"schema_name": "lab", "table_name": table, "column_name": referenced}],
    }
