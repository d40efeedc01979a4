"""The service itself, catalogs, aliases, and who is logged in."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from conformance_kit import Door, column, schema, table


def below_root(door: Door, address: str) -> Door:
    return replace(door, at=address)


def unused() -> str:
    return uuid.uuid4().hex[:12]


def test_the_service_says_what_it_offers(door: Door) -> None:
    for address in ("/ermrest", "/ermrest/"):
        about = below_root(door, address).rows("")
        assert isinstance(about["version"], str)
        assert about["features"]["rid_lease"] and about["features"]["catalog_alias"]
        assert "registry_catalog" not in about["features"]


def test_a_new_catalog(door: Door) -> None:
    reply = door.send("POST", "/ermrest/catalog", {"id": None, "owner": None, "name": "x", "annotations": None})
    assert reply.status == 201
    identity = reply.json()["id"]
    assert reply.headers["location"] == f"/ermrest/catalog/{identity}"
    catalog = below_root(door, reply.headers["location"])
    shown = catalog.rows("")
    assert catalog.rows("/") == shown
    assert shown["id"] == identity
    assert shown["rights"] == {"owner": True, "create": True}
    assert shown["name"] == "x"
    assert len(shown["acls"]["owner"]) == 1
    assert {shown["acls"][name] == [] for name in ("enumerate", "select", "write", "create")} == {True}
    public = catalog.rows("/schema")["schemas"]["public"]["tables"]
    assert set(public) == {"ERMrest_Client", "ERMrest_Group", "ERMrest_RID_Lease"}


def test_a_catalog_needs_no_body(door: Door) -> None:
    assert door.send("POST", "/ermrest/catalog").status == 201
    assert door.send("POST", "/ermrest/catalog/").status == 201


def test_whoever_writes_to_a_catalog_is_known_to_it(mine: Door) -> None:
    mine.made("/schema", [schema("S")])
    session = below_root(mine, "/authn/session").rows("")
    client = session["client"]["id"]
    assert client in [role["id"] for role in session["attributes"]]
    assert session["seconds_remaining"] > 0
    assert [row["ID"] for row in mine.rows("/entity/public:ERMrest_Client")] == [client]


def test_catalogs_have_the_id_that_was_asked_for(door: Door) -> None:
    wanted = unused()
    assert door.send("POST", "/ermrest/catalog", {"id": wanted}).json() == {"id": wanted}
    assert door.send("POST", "/ermrest/catalog", {"id": wanted}).status == 409
    assert door.send("POST", "/ermrest/catalog", {"owner": ["somebody-else"]}).status == 409


def test_a_deleted_catalog_is_gone(mine: Door) -> None:
    assert mine.statuses(("DELETE", ""), ("GET", ""), ("GET", "/schema"), ("DELETE", "")) == [204, 404, 404, 404]


def test_maintenance(mine: Door) -> None:
    assert mine.statuses(("POST", "?vacuum"), ("POST", "?analyze")) == [204, 204]


@pytest.mark.parametrize(
    ("method", "below", "status"),
    [
        ("GET", "/ermrest/catalog/no-such-one", 404),
        ("GET", "/ermrest/catalog/no-such-one/entity/S:T", 404),
        ("GET", "/nothing", 404),
        ("GET", "/ermrest/nothing", 404),
        ("PUT", "/ermrest", 405),
        ("PUT", "/ermrest/catalog", 405),
    ],
)
def test_addresses_without_a_resource(door: Door, method: str, below: str, status: int) -> None:
    assert door.send(method, below).status == status


@pytest.mark.parametrize(
    ("method", "below", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/meta", 404),
        ("GET", "/entity", 400),
        ("GET", "/entity/a b".replace(" ", "%zz"), 400),
        ("DELETE", "/schema", 405),
        ("PUT", "/entity_rid/1", 405),
        ("DELETE", "/aggregate/public:ERMrest_Client/n:=cnt(*)", 405),
        ("POST", "/attribute/public:ERMrest_Client/ID", 405),
    ],
)
def test_addresses_without_a_resource_in_a_catalog(samples: Door, method: str, below: str, status: int) -> None:
    reply = samples.send(method, below)
    assert reply.status == status
    assert reply.headers["content-type"].startswith("text/plain")
    assert "Detail: " in reply.text and reply.text.endswith("\n")


@pytest.mark.deviation
def test_a_head_is_a_get_without_its_body(samples: Door) -> None:
    for below in ("", "/schema", "/entity/S:Species"):
        got, head = samples.get(below), samples.send("HEAD", below)
        assert (head.status, head.body) == (200, b"")
        for name in ("content-type", "etag"):
            assert head.headers[name] == got.headers[name]


def test_the_text_facet_is_off(samples: Door) -> None:
    assert samples.rows("/textfacet/anna") == []


# ------------------------------------------------------------------------------------------------------------ aliases


def test_the_life_of_an_alias(door: Door) -> None:
    first, second, name = door.new_catalog(), door.new_catalog(), unused()
    alias = below_root(door, f"/ermrest/alias/{name}")
    document = {"id": name, "alias_target": first.rows("")["id"], "owner": None, "name": None, "description": "x"}
    reply = door.send("POST", "/ermrest/alias", document)
    assert (reply.status, reply.json(), reply.headers["location"]) == (201, {"id": name}, f"/ermrest/alias/{name}")
    shown = alias.rows("")
    assert (shown["id"], shown["alias_target"]) == (name, first.rows("")["id"])
    assert isinstance(shown["owner"], list)

    through = below_root(door, f"/ermrest/catalog/{name}")
    assert through.rows("")["alias_target"] == first.rows("")["id"]
    through.made("/schema", [schema("S", table("T", column("a")))])
    assert first.get("/schema/S").status == 200
    tag = through.get("/schema").headers["etag"]

    changed = alias.put("", {**shown, "alias_target": second.rows("")["id"]})
    assert changed.status == 200
    assert through.get("/schema/S").status == 404
    assert through.get("/schema").headers["etag"] != tag
    assert alias.put("", {**shown, "id": "other"}).status == 400

    assert alias.statuses(("DELETE", ""), ("GET", ""), ("DELETE", "")) == [204, 404, 404]
    assert through.get("").status == 404
    assert second.get("").status == 200


def test_an_alias_may_be_put(door: Door) -> None:
    target, name = door.new_catalog(), unused()
    alias = below_root(door, f"/ermrest/alias/{name}")
    document = {"id": name, "alias_target": target.rows("")["id"]}
    assert alias.put("", document).status == 201
    assert alias.put("", document).status == 200
    assert below_root(door, f"/ermrest/catalog/{name}").statuses(("DELETE", ""), ("GET", "")) == [204, 404]
    assert target.get("").status == 200


def test_an_alias_that_leads_nowhere_keeps_an_id_for_a_catalog(door: Door) -> None:
    name = unused()
    alias = below_root(door, f"/ermrest/alias/{name}")
    assert below_root(door, "").send("POST", "/ermrest/alias", {"id": name}).status == 201
    assert below_root(door, f"/ermrest/catalog/{name}").get("").status == 404
    assert door.send("POST", "/ermrest/catalog", {"id": name}).json() == {"id": name}
    assert alias.get("").status == 404
    assert below_root(door, f"/ermrest/catalog/{name}").rows("")["id"] == name


@pytest.mark.parametrize(
    "document",
    [{"id": 5}, {"id": ""}, {"name": 5}, {"description": []}, {"is_persistent": "x"}, {"annotations": []}, {"owner": "x"}, [1]],
)  # fmt: skip
def test_catalogs_refused(door: Door, document: object) -> None:
    assert door.send("POST", "/ermrest/catalog", document).status == 400


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/plain, text/html;q=0.5", "text/plain"),
        ("application/json", "text/plain"),
        ("*/*", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_errors_are_text_or_a_page(samples: Door, accept: str, kind: str) -> None:
    reply = samples.get("/entity/S:%3Cscript%3E", **({"Accept": accept} if accept else {}))
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (409, kind)
    assert "Detail: " in reply.text
    assert ("<script>" in reply.text) == (kind == "text/plain")


def test_a_catalog_is_no_alias(mine: Door) -> None:
    identity = mine.rows("")["id"]
    assert below_root(mine, f"/ermrest/alias/{identity}").get("").status == 404
    assert below_root(mine, "").send("POST", "/ermrest/alias", {"id": identity, "alias_target": identity}).status == 409
