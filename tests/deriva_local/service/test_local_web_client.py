"""What Deriva's own web interface sends, as recorded from a browser: its lists, facets, forms and uploads."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from deriva_local.service.app import Service
from deriva_local.service.messages import Client, FileSlice, Request, Response

SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]
ADA, BEN = Client.user("ada", ["admin"]), Client.user("ben", ["team"])
NOBODY = None
KINDS = ("mouse", "fish & chips", "Zürich/ü", None)
FEW = "*::ciregexp::all(ubject,T%20%28.%2A%5B%5E0-9.%5D%29%3F0%2A11%28%5B%5E0-9%5D.%2A%7C%24%29)"
"""Two words of the search box, the second as a pattern with all its signs escaped."""


class Browser:
    """The pages of somebody, at a catalog with subjects of four kinds."""

    def __init__(self, service: Service) -> None:
        self.service = service
        made = self.send("POST", "/ermrest/catalog", {}, who=ADA)
        self.catalog = made.headers["Location"]

    def send(self, method: str, target: str, body: Any = b"", who: Client | None = BEN, **headers: str) -> Response:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {"content-type": "application/json", "content-length": str(len(sent))}
        said |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.service.handle(Request(method, target, said, sent, who))

    def rows(self, address: str, who: Client | None = NOBODY) -> list[dict[str, Any]]:
        answer = self.send("GET", f"{self.catalog}/{address}", who=who)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), (address, answer.body)
        found: list[dict[str, Any]] = json.loads(content(answer))
        return found


def content(answer: Response) -> bytes:
    if isinstance(answer.body, FileSlice):
        return answer.body.path.read_bytes()
    return answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


@pytest.fixture
def browser(service: Service) -> Browser:
    found = Browser(service)
    columns = [{"name": name, "type": {"typename": kind}} for name, kind in COLUMNS]
    to_kind = {
        "foreign_key_columns": [{"schema_name": "lab", "table_name": "Subject", "column_name": "Kind"}],
        "referenced_columns": [{"schema_name": "lab", "table_name": "Kind", "column_name": "Name"}],
    }
    kind = {
        "table_name": "Kind",
        "column_definitions": [*SYSTEM, {"name": "Name", "type": {"typename": "text"}, "nullok": False}],
        "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["Name"]}],
    }
    subject = {
        "table_name": "Subject",
        "column_definitions": [*SYSTEM, *columns],
        "keys": [{"unique_columns": ["RID"]}],
        "foreign_keys": [to_kind],
    }
    schema = {"schemas": {"lab": {"schema_name": "lab", "tables": {"Kind": kind, "Subject": subject}}}}
    assert found.send("POST", f"{found.catalog}/schema", schema, ADA).status == 201
    for access, roles in (("enumerate", ["*"]), ("select", ["*"]), ("insert", ["team"]), ("update", ["team"])):
        assert found.send("PUT", f"{found.catalog}/acl/{access}", roles, ADA).status == 200
    assert found.send("PUT", f"{found.catalog}/acl/delete", ["team"], ADA).status == 200
    made = [{"Name": name} for name in KINDS if name]
    assert found.send("POST", f"{found.catalog}/entity/lab:Kind?defaults=RID,RCT,RMT,RCB,RMB", made).status == 200
    made = [
        {"Name": f"subject {n:03}", "Kind": KINDS[n % 4], "Weight": n * 1.5, "Seen": f"2024-03-{n + 1:02}T10:00:00Z"}
        for n in range(12)
    ]
    assert found.send("POST", f"{found.catalog}/entity/lab:Subject?defaults=RID,RCT,RMT,RCB,RMB", made).status == 200
    return found


COLUMNS = (("Name", "text"), ("Kind", "text"), ("Weight", "float8"), ("Seen", "timestamptz"))


def test_a_page_of_a_list(browser: Browser) -> None:
    joined = (
        "attributegroup/M:=lab:Subject/F1:=left(Kind)=(lab:Kind:Name)/$M/Weight,RID;M:=array_d(M:*),F1:=array_d(F1:*)"
    )
    first = browser.rows(f"{joined}@sort(Weight::desc::,RID)?limit=5")
    assert [row["Weight"] for row in first] == [16.5, 15, 13.5, 12, 10.5]
    assert [row["M"][0]["Name"] for row in first][:2] == ["subject 011", "subject 010"]
    assert [row["F1"][0] and row["F1"][0]["Name"] for row in first][:2] == [None, "Zürich/ü"]
    last = first[-1]
    after = browser.rows(f"{joined}@sort(Weight::desc::,RID)@after({last['Weight']},{last['RID']})?limit=5")
    assert [row["Weight"] for row in after] == [9, 7.5, 6, 4.5, 3]
    before = browser.rows(f"{joined}@sort(Weight::desc::,RID)@before({after[0]['Weight']},{after[0]['RID']})?limit=2")
    assert [row["Weight"] for row in before] == [12, 10.5]
    assert browser.rows("aggregate/M:=lab:Subject/0:=cnt_d(RID)") == [{"0": 12}]


def test_the_search_box(browser: Browser) -> None:
    found = browser.rows(f"attributegroup/M:=lab:Subject/{FEW}/RID;M:=array_d(M:*)@sort(RID)?limit=26")
    assert [row["M"][0]["Name"] for row in found] == ["subject 011"]
    assert browser.rows(f"aggregate/M:=lab:Subject/{FEW}/0:=cnt_d(RID)") == [{"0": 1}]


def test_facets(browser: Browser) -> None:
    counted = browser.rows(
        "attributegroup/M:=lab:Subject/!(Kind::null::)/0:=Kind;count:=cnt(*)@sort(count::desc::,0)?limit=11"
    )
    assert {row["0"]: row["count"] for row in counted} == {name: 3 for name in KINDS if name}
    linked = browser.rows(f"entity/T:=lab:Subject/{FEW}/M:=(Kind)=(lab:Kind:Name)@sort(RID)?limit=11")
    assert linked == []
    chosen = browser.rows("attributegroup/M:=lab:Subject/Name=any(subject%20001,subject%20002)/$M/RID;M:=array_d(M:*)")
    assert len(chosen) == 2
    assert browser.rows("aggregate/M:=lab:Subject/0:=min(Weight),1:=max(Weight)") == [{"0": 0, "1": 16.5}]
    (extent,) = browser.rows("aggregate/M:=lab:Subject/0:=min(Seen),1:=max(Seen)")
    assert extent == {"0": "2024-03-01T10:00:00+00:00", "1": "2024-03-12T10:00:00+00:00"}
    bins = browser.rows("attributegroup/M:=lab:Subject/c1:=bin(Weight;3;-0.0001;18.0001);c2:=cnt(*)")
    assert [(row["c1"][0], row["c2"]) for row in sorted(bins, key=lambda row: row["c1"][0])] == [(1, 4), (2, 5), (3, 3)]
    bins = browser.rows(
        "attributegroup/M:=lab:Subject/"
        "c1:=bin(Seen;30;2024-03-01T10%3A00%3A00%2B00%3A00;2024-03-28T10%3A00%3A01%2B00%3A00);c2:=cnt(*)"
    )
    assert sum(row["c2"] for row in bins) == 12


def test_a_record_is_made_changed_and_deleted(browser: Browser) -> None:
    blank = dict.fromkeys(("RID", "RCT", "RMT", "RCB", "RMB", "Kind", "Weight", "Seen"))
    made = browser.send(
        "POST",
        f"{browser.catalog}/entity/M:=lab:Subject?defaults=RID,RCT,RMT,RCB,RMB",
        [{**blank, "Name": '"<b>é'}],
    )
    assert made.status == 200
    (row,) = json.loads(content(made))
    assert (row["RCB"], row["Name"]) == ("ben", '"<b>é')
    changed = browser.send(
        "PUT",
        f"{browser.catalog}/attributegroup/lab:Subject/RID_o:=RID;Name_n:=Name",
        [{"RID_o": row["RID"], "Name_n": "other"}],
    )
    assert json.loads(content(changed)) == [{"RID_o": row["RID"], "Name_n": "other"}]
    one = f"{browser.catalog}/entity/M:=lab:Subject/RID={row['RID']}"
    assert browser.send("DELETE", one, who=NOBODY).status == 401
    assert [browser.send("DELETE", one).status for _ in range(2)] == [204, 404]


def test_a_file_is_uploaded_and_fetched(browser: Browser) -> None:
    for target, access, roles in (
        ("/hatrac/images", None, None),
        ("/hatrac/images", "create", ["team"]),
        ("/hatrac/images", "subtree-read", ["*"]),
    ):
        if access is None:
            namespace = {"content_type": "application/x-hatrac-namespace"}
            assert browser.send("PUT", target, who=ADA, **namespace).status == 201
        else:
            assert browser.send("PUT", f"{target};acl/{access}", roles, ADA).status == 204
    body = bytes(range(256)) * 20
    digest = hashlib.md5(body)
    place = f"/hatrac/images/{digest.hexdigest()}"
    assert browser.send("HEAD", place).status == 404
    said = {
        "chunk-length": 4096,
        "content-length": len(body),
        "content-type": "image/png",
        "content-md5": base64.b64encode(digest.digest()).decode(),
        "content-disposition": "filename*=UTF-8''pic__.png",
    }
    begun = browser.send("POST", f"{place};upload?parents=true", said)
    assert begun.status == 201
    job = content(begun).decode().strip()
    for number in (1, 0):
        assert browser.send("PUT", f"{job}/{number}", body[number * 4096 : (number + 1) * 4096]).status == 204
    finished = browser.send("POST", job)
    assert finished.status == 201
    got = browser.send("GET", f"{content(finished).decode().strip()}?uinit=1&cid=record", who=NOBODY)
    assert (content(got), got.headers["Content-Disposition"]) == (body, said["content-disposition"])


def test_its_log_calls_do_no_harm(browser: Browser) -> None:
    assert browser.send("HEAD", "/ermrest/client_action", who=NOBODY).status == 404
    assert browser.send("GET", "/authn/session", who=NOBODY).status == 404
