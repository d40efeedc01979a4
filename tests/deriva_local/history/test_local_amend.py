"""The past, changed on purpose: other configuration over a range, redacted values, and tables that are not recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request

SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]
COLUMNS = [{"name": "k", "type": {"typename": "text"}}, {"name": "n", "type": {"typename": "int4"}}]
KEYS = [{"unique_columns": ["RID"]}, {"unique_columns": ["k"]}]
T = {"table_name": "T", "column_definitions": [*SYSTEM, *COLUMNS], "keys": KEYS}
U = {"table_name": "U", "column_definitions": SYSTEM, "keys": KEYS[:1]}
CAPTURE = "tag:isrd.isi.edu,2020:history-capture"
EVE = Client("eve", "Eve", frozenset({"eve", "*"}))


class Past:
    """Table ``S:T(k, n)`` with a row a=1, then a=2, then a=3; ``snaps`` are the moments after each."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.ask("POST", "", {}, base="/ermrest/catalog")
        self.done("POST", "/schema", [{"schema_name": "S", "tables": {"T": T, "U": U}}])
        self.snaps = [self.now]
        self.done("POST", "/entity/S:T", [{"k": "a", "n": 1}, {"k": "b", "n": 1}])
        self.snaps.append(self.now)
        for number in (2, 3):
            self.done("PUT", "/attributegroup/S:T/k;n", [{"k": "a", "n": number}])
            self.snaps.append(self.now)
        self.table = self.done("GET", "/schema/S/table/T")
        self.columns = {each["name"]: each["RID"] for each in self.table["column_definitions"]}

    def ask(
        self,
        method: str,
        below: str,
        body: Any = None,
        base: str = "/ermrest/catalog/1",
        at: str = "",
        client: Client | None = None,
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        raw = b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        target = f"{base}{'@' + at if at else ''}{below}"
        response = self.service.handle(Request(method, target, sent, raw, client or self.service.owner))
        assert isinstance(response.body, bytes)
        is_json = response.headers.get("Content-Type") == "application/json"
        shown = json.loads(response.body) if is_json else response.body.decode()
        return response.status, shown, dict(response.headers)

    def done(self, method: str, below: str, body: Any = None, at: str = "") -> Any:
        status, shown, _ = self.ask(method, below, body, at=at)
        assert status < 300, shown
        return shown

    def status(self, method: str, below: str, body: Any = None, at: str = "", client: Client | None = None) -> int:
        return self.ask(method, below, body, at=at, client=client)[0]

    @property
    def now(self) -> str:
        return str(self.done("GET", "/")["snaptime"])

    def numbers(self) -> list[list[int | None]]:
        """Return the values of n by k, at every snapshot and now."""
        path = "/attribute/S:T/k,n@sort(k)"
        moments = [*self.snaps, ""]
        return [[row["n"] for row in self.done("GET", path, at=at)] for at in moments]


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path / "store")
    yield made
    made.service.close()


def test_the_span_and_the_version_of_history(past: Past) -> None:
    told = past.done("GET", "/history/,")
    assert told["amendver"] is None
    assert told["snaprange"][1] == past.now
    between = past.done("GET", f"/history/{past.snaps[1]},{past.snaps[3]}")
    assert between["snaprange"] == [past.snaps[1], past.snaps[2]]
    past.done("PUT", f"/history/{past.snaps[0]},{past.snaps[2]}/annotation", {"x": 1})
    amended = past.done("GET", "/history/,")
    assert amended["snaprange"] == told["snaprange"]
    assert amended["amendver"] is not None
    past.done("PUT", f"/history/{past.snaps[0]},{past.snaps[2]}/annotation", {"x": 2})
    assert past.done("GET", "/history/,")["amendver"] > amended["amendver"]
    assert past.status("GET", "/history/,", at=past.snaps[1]) == 404
    assert past.status("GET", "/history/,2") == 404


def test_annotations_over_a_range(past: Past) -> None:
    one, two, three = past.snaps[1:]
    past.done("PUT", "/schema/S/table/T/annotation/x", "old")
    later = past.now
    for place, rid in [
        ("/schema/S/table/T", "/" + past.table["RID"]),
        ("", ""),
        ("/schema/S/table/T/column/n", "/" + past.columns["n"]),
        ("/schema/S/table/T/key/k", "/" + past.table["keys"][1]["RID"]),
    ]:
        before = past.done("GET", f"{place}/annotation")
        past.done("PUT", f"/history/{two},{three}/annotation{rid}", {"amended": True})
        assert past.done("GET", f"{place}/annotation", at=two) == {"amended": True}
        assert past.done("GET", f"{place}/annotation", at=one) != {"amended": True}
        assert past.done("GET", f"{place}/annotation", at=three) != {"amended": True}
        assert past.done("GET", f"{place}/annotation", at=later) == before
        assert past.done("GET", f"{place}/annotation") == before


def test_the_present_stays_whatever_the_range(past: Past) -> None:
    lists = past.done("GET", "/acl")
    past.done("PUT", f"/history/{past.snaps[0]},ZZZ-ZZZZ-ZZZY/acl", {"owner": lists["owner"], "select": ["*"]})
    assert past.done("GET", "/acl") == lists
    assert past.done("GET", "/acl", at=past.now)["select"] == ["*"]
    past.done("PUT", "/annotation/x", 1)
    assert past.done("GET", "/acl", at=past.now) == lists


def test_rights_of_the_past_can_be_amended(past: Past) -> None:
    one, two, three = past.snaps[1:]
    owner = past.done("GET", "/acl")["owner"]
    lists = {"owner": owner, "enumerate": ["*"], "select": ["eve"]}
    assert past.status("GET", "/entity/S:T", at=two, client=EVE) == 403
    past.done("PUT", f"/history/{two},{three}/acl", lists)
    assert past.status("GET", "/entity/S:T", at=two, client=EVE) == 200
    assert past.status("GET", "/entity/S:T", at=one, client=EVE) == 403
    assert past.status("GET", "/entity/S:T", at=three, client=EVE) == 403
    assert past.status("GET", "/entity/S:T", client=EVE) == 403
    past.done("PUT", f"/history/{two},{three}/acl/{past.table['RID']}", {"select": [], "owner": []})
    assert past.status("GET", "/entity/S:T", at=two, client=EVE) == 403
    mine = {"mine": {"types": ["select"], "projection": "k", "projection_type": "nonnull"}}
    past.done("PUT", f"/history/{two},{three}/acl_binding/{past.table['RID']}", mine)
    assert past.status("GET", "/entity/S:T", at=two, client=EVE) == 200


@pytest.mark.parametrize(
    ("below", "body", "status"),
    [
        ("{0},{1}/acl", {"fun": []}, 409),
        ("{0},{1}/acl", {"select": "x"}, 400),
        ("{0},{1}/acl", [], 400),
        ("{0},/acl", {}, 400),
        (",{1}/acl", {}, 400),
        ("{0},{1}/acl/{k}", {}, 409),
        ("{0},{1}/acl/ZZZZ", {}, 404),
        ("{0},{1}/acl_binding", {}, 409),
        ("{0},{1}/acl_binding/{t}", {"b": 1}, 400),
        ("{0},{1}/annotation", 1, 400),
        ("{0},{1}/annotation/{t}", {CAPTURE: False}, 400),
        ("{0},!/annotation", {}, 400),
    ],
)
def test_amendments_that_are_refused(past: Past, below: str, body: Any, status: int) -> None:
    rids = {"t": past.table["RID"], "k": past.table["keys"][0]["RID"]}
    path = "/history/" + below.format(past.snaps[0], past.snaps[3], **rids)
    assert past.status("PUT", path, body) == status
    assert past.done("GET", "/history/,")["amendver"] is None


# -------------------------------------------------------------------------------------------------------------- redact


@pytest.mark.parametrize(
    ("start", "until", "only", "expected"),
    [
        (0, 3, "", [[], [None, 1], [None, 1], [3, 1], [3, 1]]),
        (1, 2, "", [[], [None, 1], [2, 1], [3, 1], [3, 1]]),
        (2, 3, "", [[], [1, 1], [None, 1], [3, 1], [3, 1]]),
        (0, 1, "", [[], [1, 1], [2, 1], [3, 1], [3, 1]]),
        (0, 3, "n=2", [[], [1, 1], [None, 1], [3, 1], [3, 1]]),
        (0, 3, 'k="a"', [[], [None, 1], [None, 1], [3, 1], [3, 1]]),
        (0, 3, 'k="b"', [[], [1, 1], [2, 1], [3, 1], [3, 1]]),
    ],
)
def test_values_redacted_over_a_range(past: Past, start: int, until: int, only: str, expected: list[list[Any]]) -> None:
    assert past.numbers() == [[], [1, 1], [2, 1], [3, 1], [3, 1]]
    condition = ""
    if only:
        name, _, value = only.partition("=")
        condition = f"/{past.columns[name]}={quote(value, safe='')}"
    span = f"{past.snaps[start]},{past.snaps[until]}"
    past.done("DELETE", f"/history/{span}/attribute/{past.columns['n']}{condition}")
    assert past.numbers() == expected


def test_a_cached_copy_does_not_survive_redaction(past: Past) -> None:
    at = past.snaps[1]
    _, _, headers = past.ask("GET", "/entity/S:T", at=at)
    assert past.ask("GET", "/entity/S:T", at=at, if_none_match=headers["ETag"])[0] == 304
    past.done("DELETE", f"/history/{past.snaps[0]},{past.snaps[3]}/attribute/{past.columns['n']}")
    assert past.ask("GET", "/entity/S:T", at=at, if_none_match=headers["ETag"])[0] == 200


def test_a_dropped_column_can_still_be_redacted(past: Past) -> None:
    past.done("DELETE", "/schema/S/table/T/column/n")
    past.done("DELETE", f"/history/{past.snaps[0]},{past.snaps[3]}/attribute/{past.columns['n']}")
    assert [row["n"] for row in past.done("GET", "/attribute/S:T/k,n@sort(k)", at=past.snaps[1])] == [None, 1]


def test_redactions_that_are_refused(past: Past) -> None:
    span = f"/history/{past.snaps[0]},{past.snaps[3]}/attribute"
    other = past.done("GET", "/schema/S/table/U/column/RCB")["RID"]
    for name in ("RID", "RMT", "RMB"):
        assert past.status("DELETE", f"{span}/{past.columns[name]}") == 409
    assert past.status("DELETE", f"{span}/{past.columns['n']}/{other}=1") == 409
    assert past.status("DELETE", f"{span}/{past.columns['n']}/{past.columns['n']}=x") == 400
    assert past.status("DELETE", f"{span}/ZZZZ") == 404
    assert past.status("DELETE", f"/history/,{past.snaps[3]}/attribute/{past.columns['n']}") == 400
    assert past.status("GET", f"{span}/{past.columns['n']}") == 200


def test_only_owners_amend(past: Past) -> None:
    lists = past.done("GET", "/acl")
    past.done("PUT", "/acl", {**lists, "enumerate": ["*"]})
    span = f"/history/{past.snaps[0]},{past.snaps[3]}"
    assert past.status("GET", "/history/,", client=EVE) == 200
    for method, below, body in [
        ("GET", "/acl", None),
        ("PUT", "/acl", {}),
        ("GET", f"/attribute/{past.columns['n']}", None),
        ("DELETE", f"/attribute/{past.columns['n']}", None),
    ]:
        assert past.status(method, span + below, body, client=EVE) == 403
    assert past.status("DELETE", f"/history/,{past.snaps[3]}", client=EVE) == 403


# ------------------------------------------------------------------------------------------------------------- capture


def test_a_table_that_is_not_recorded(past: Past) -> None:
    """Off, three changes, on again: the snapshots from before and after show it, those between do not."""
    annotation = f"/schema/S/table/T/annotation/{quote(CAPTURE, safe='')}"
    past.done("PUT", annotation, False)
    hidden = [past.now]
    past.done("PUT", "/attributegroup/S:T/k;n", [{"k": "a", "n": 4}])
    past.done("DELETE", "/entity/S:T/k=b")
    past.done("POST", "/entity/S:T", [{"k": "c", "n": 1}])
    hidden.append(past.now)
    for at in hidden:
        assert past.status("GET", "/entity/S:T", at=at) == 409
        assert past.status("GET", "/schema/S/table/T", at=at) == 404
        assert past.status("GET", "/entity/S:U", at=at) == 200
    assert past.numbers() == [[], [1, 1], [2, 1], [3, 1], [4, 1]]
    past.done("DELETE", annotation)
    past.snaps += [past.now]
    past.done("PUT", "/attributegroup/S:T/k;n", [{"k": "a", "n": 5}])
    assert past.numbers() == [[], [1, 1], [2, 1], [3, 1], [4, 1], [5, 1]]
    assert past.status("GET", "/entity/S:T", at=hidden[1]) == 409


def test_a_new_table_need_not_be_recorded(past: Past) -> None:
    quiet = {**T, "table_name": "Q", "annotations": {CAPTURE: False}}
    past.done("POST", "/schema/S/table", quiet)
    past.done("POST", "/entity/S:Q", [{"k": "a", "n": 1}])
    past.done("POST", "/schema/S/table/Q/column", {"name": "m", "type": {"typename": "int4"}, "default": 7})
    past.done("PUT", "/attributegroup/S:Q/k;n", [{"k": "a", "n": 2}])
    rid = past.done("GET", "/entity/S:Q")[0]["RID"]
    assert past.done("GET", "/entity/S:Q")[0]["m"] == 7
    assert past.status("GET", "/entity/S:Q", at=past.now) == 409
    past.done("DELETE", "/entity/S:Q")
    assert past.status("GET", f"/entity_rid/{rid}") == 404
