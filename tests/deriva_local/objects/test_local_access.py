"""Who may do what with objects: laws as tables, and users who meet them in the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from deriva_local.objects.access import ACCESSES, Acls, Right, Standing
from deriva_local.objects.store import Objects
from deriva_local.service.app import Service
from deriva_local.service.messages import Client, FileSlice, Request
from deriva_local.wire.errors import Refusal

NAMESPACE = {"content-type": "application/x-hatrac-namespace"}


# ---------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize(
    ("own", "above", "gives"),
    [
        ({}, (), set()),
        ({"owner": ("me",)}, (), {"owner", "create", "update", "read"}),
        ({"read": ("me",)}, (), {"read"}),
        ({"read": ("*",)}, (), {"read"}),
        ({"create": ("me",)}, (), {"create"}),
        ({"update": ("team",)}, (), {"update"}),
        ({"subtree-owner": ("me",)}, (), {"owner", "create", "update", "read"}),
        ({"subtree-read": ("me",)}, (), {"read"}),
        ({}, ({"owner": ("me",)},), set()),
        ({}, ({"read": ("me",), "update": ("me",), "create": ("me",)},), set()),
        ({}, ({}, {"subtree-owner": ("me",)}), {"owner", "create", "update", "read"}),
        ({}, ({}, {"subtree-create": ("me",)}), {"create"}),
        ({}, ({"subtree-update": ("me",)},), {"update"}),
        ({}, ({"subtree-read": ("*",)},), {"read"}),
        ({"read": ("you",), "owner": ("you",)}, ({"subtree-read": ("you",)},), set()),
    ],
)
def test_what_lists_give(own: Acls, above: tuple[Acls, ...], gives: set[str]) -> None:
    standing, roles = Standing(own, above), frozenset({"me", "team", "*"})
    rights: tuple[Right, ...] = ("owner", "create", "update", "read")
    assert {right for right in rights if standing.gives(right, roles)} == gives


def test_nobody_changes_anything_and_the_owner_of_the_store_everything() -> None:
    everything = Standing(dict.fromkeys(ACCESSES["namespace"], ("*",)))
    everything.require("read", None, "it")
    for right in ("owner", "create", "update"):
        with pytest.raises(Refusal) as refused:
            everything.require(right, None, "it")  # type: ignore[arg-type]
        assert refused.value.status == 401
        Standing({}).require(right, Client.owner("me"), "it")  # type: ignore[arg-type]
        with pytest.raises(Refusal) as refused:
            Standing({}).require(right, Client.user("me"), "it")  # type: ignore[arg-type]
        assert refused.value.status == 403


# ------------------------------------------------------------------------------------------------------------- stories


class Lab:
    """A service with the store's owner, ada of the group admin, ben, cid of the group team, and nobody."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.clients = {
            "owner": service.owner,
            "ada": Client.user("ada", ["admin"]),
            "ben": Client.user("ben"),
            "cid": Client.user("cid", ["team"]),
            "nobody": None,
        }

    def send(
        self, who: str, method: str, target: str, body: Any = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.service.handle(Request(method, target, headers or {}, sent, self.clients[who]))
        if isinstance(answer.body, FileSlice):
            return answer.status, answer.body.path.read_text()
        return answer.status, bytes(answer.body).decode()  # type: ignore[arg-type]

    def status(self, who: str, method: str, target: str, body: Any = b"", headers: dict[str, str] | None = None) -> int:
        return self.send(who, method, target, body, headers)[0]

    def made(self, who: str, target: str, body: bytes = b"content") -> str:
        status, text = self.send(who, "PUT", target, body)
        assert status == 201, text
        return text.strip()

    def namespace(self, who: str, target: str) -> None:
        assert self.status(who, "PUT", target, b"", NAMESPACE) == 201

    def allow(self, who: str, resource: str, access: str, *roles: str) -> None:
        assert self.status(who, "PUT", f"{resource};acl/{access}", list(roles)) == 204


@pytest.fixture
def lab(service: Service) -> Lab:
    found = Lab(service)
    found.namespace("ada", "/hatrac/ns")
    return found


def test_administrators_own_the_root_and_nobody_else_does(lab: Lab) -> None:
    assert lab.send("ada", "GET", "/hatrac;acl/owner") == (200, '["admin"]\n')
    assert lab.status("owner", "GET", "/hatrac;acl") == 200
    for who, refused in (("ben", 403), ("cid", 403), ("nobody", 401)):
        assert lab.status(who, "PUT", f"/hatrac/{who}", b"", NAMESPACE) == refused
        assert lab.status(who, "GET", "/hatrac") == refused
        assert lab.status(who, "GET", "/hatrac;acl") == refused
        assert lab.status(who, "PUT", "/hatrac;acl/owner", [who]) == refused
    assert lab.status("ada", "GET", "/hatrac/missing") == 404
    assert lab.status("nobody", "GET", "/hatrac/missing") == 404


def test_what_somebody_makes_belongs_to_them(lab: Lab) -> None:
    lab.allow("ada", "/hatrac/ns", "create", "ben", "team")
    version = lab.made("ben", "/hatrac/ns/x")
    for resource in ("/hatrac/ns/x", version):
        assert lab.send("ben", "GET", f"{resource};acl/owner") == (200, '["ben"]\n')
        for who, refused in (("ada", 403), ("cid", 403), ("nobody", 401)):
            assert lab.status(who, "GET", resource) == refused, who
            assert lab.status(who, "GET", f"{resource};acl") == refused
            assert lab.status(who, "GET", f"{resource};metadata") == refused
            assert lab.status(who, "PUT", f"{resource};metadata/content-type", b"a/b") == refused
            assert lab.status(who, "DELETE", resource) == refused
    assert lab.status("cid", "PUT", "/hatrac/ns/x", b"mine") == 403
    assert lab.status("cid", "GET", "/hatrac/ns/x;versions") == 403
    assert lab.status("ben", "GET", "/hatrac/ns") == 403, "who may make something may not see what others made"
    assert lab.status("ben", "DELETE", "/hatrac/ns/x") == 204


def test_an_object_can_be_opened_to_one_group_or_to_everybody(lab: Lab) -> None:
    version = lab.made("ada", "/hatrac/ns/x")
    lab.allow("ada", version, "read", "team")
    assert lab.send("cid", "GET", version) == (200, "content")
    assert lab.send("cid", "GET", "/hatrac/ns/x") == (200, "content")
    assert lab.status("cid", "GET", "/hatrac/ns/x;metadata") == 200
    assert lab.status("ben", "GET", version) == 403
    lab.allow("ada", version, "read", "*")
    assert lab.send("nobody", "GET", version) == (200, "content")
    assert lab.status("nobody", "HEAD", "/hatrac/ns/x") == 200
    second = lab.made("ada", "/hatrac/ns/x", b"second")
    assert lab.status("nobody", "GET", second) == 401, "a new version is its maker's"
    lab.allow("ada", "/hatrac/ns/x", "subtree-read", "*")
    assert lab.send("nobody", "GET", "/hatrac/ns/x") == (200, "second")
    assert lab.status("nobody", "GET", "/hatrac/ns/x;versions") == 200


def test_a_subtree_is_lent_all_the_way_down(lab: Lab) -> None:
    lab.namespace("ada", "/hatrac/ns/a")
    lab.namespace("ada", "/hatrac/ns/a/b")
    version = lab.made("ada", "/hatrac/ns/a/b/x")
    assert lab.status("cid", "GET", "/hatrac/ns/a/b") == 403
    lab.allow("ada", "/hatrac/ns", "subtree-read", "team")
    for target in ("/hatrac/ns", "/hatrac/ns/a/b", "/hatrac/ns/a/b/x", version, "/hatrac/ns/a/b/x;versions"):
        assert lab.status("cid", "GET", target) == 200, target
    assert lab.status("cid", "PUT", "/hatrac/ns/a/b/x", b"2") == 403
    lab.allow("ada", "/hatrac/ns", "subtree-update", "team")
    lab.made("cid", "/hatrac/ns/a/b/x", b"2")
    assert lab.status("cid", "PUT", "/hatrac/ns/a/b/y", b"y") == 403
    lab.allow("ada", "/hatrac/ns", "subtree-create", "team")
    lab.made("cid", "/hatrac/ns/a/b/c/d/y?parents=true", b"y")
    assert lab.status("cid", "DELETE", version) == 403
    lab.allow("ada", "/hatrac/ns", "subtree-owner", "team")
    assert lab.status("cid", "DELETE", version) == 204
    assert lab.status("cid", "GET", "/hatrac/ns;acl") == 200
    assert lab.status("cid", "GET", "/hatrac;acl") == 403


def test_an_owner_can_be_named_and_can_step_back(lab: Lab) -> None:
    lab.made("ada", "/hatrac/ns/x")
    assert lab.status("ben", "PUT", "/hatrac/ns/x;acl/owner/ben") == 403
    assert lab.status("ada", "PUT", "/hatrac/ns/x;acl/owner/ben") == 204
    assert lab.status("ben", "DELETE", "/hatrac/ns/x;acl/owner/ada") == 204
    assert lab.status("ada", "GET", "/hatrac/ns/x;acl") == 403
    assert lab.status("ada", "PUT", "/hatrac/ns/x", b"2") == 403
    assert lab.status("owner", "PUT", "/hatrac/ns/x;acl/owner/ada") == 204


def test_a_namespace_is_deleted_whole_or_not_at_all(lab: Lab) -> None:
    lab.allow("ada", "/hatrac/ns", "create", "ben")
    lab.made("ada", "/hatrac/ns/hers")
    lab.made("ben", "/hatrac/ns/inner/his?parents=true")
    assert lab.status("ada", "DELETE", "/hatrac/ns") == 403
    assert lab.status("ben", "DELETE", "/hatrac/ns") == 403
    assert lab.send("ben", "GET", "/hatrac/ns/inner/his") == (200, "content")
    assert lab.status("ben", "DELETE", "/hatrac/ns/inner") == 204
    assert lab.status("ada", "DELETE", "/hatrac/ns") == 204


def test_a_version_of_somebody_else_keeps_an_object(lab: Lab) -> None:
    lab.made("ada", "/hatrac/ns/x")
    lab.allow("ada", "/hatrac/ns/x", "update", "ben")
    theirs = lab.made("ben", "/hatrac/ns/x", b"ben's")
    assert lab.status("ada", "DELETE", "/hatrac/ns/x") == 403
    assert lab.status("ada", "GET", theirs) == 403
    lab.allow("ada", "/hatrac/ns/x", "subtree-owner", "ada")
    assert lab.status("ada", "DELETE", "/hatrac/ns/x") == 204


def test_uploads_are_for_who_began_them_and_for_the_owner(lab: Lab) -> None:
    said = {"chunk-length": 4, "content-length": 4}
    assert lab.status("ben", "POST", "/hatrac/ns/x;upload", said) == 403
    assert lab.status("nobody", "POST", "/hatrac/ns/x;upload", said) == 401
    lab.made("ada", "/hatrac/ns/x")
    lab.allow("ada", "/hatrac/ns/x", "update", "ben", "cid")
    job = lab.send("ben", "POST", "/hatrac/ns/x;upload", said)[1].strip()
    other = lab.send("cid", "POST", "/hatrac/ns/x;upload", said)[1].strip()
    assert json.loads(lab.send("ben", "GET", "/hatrac/ns/x;upload")[1]) == [job]
    assert sorted(json.loads(lab.send("ada", "GET", "/hatrac/ns/x;upload")[1])) == sorted([job, other])
    assert json.loads(lab.send("ben", "GET", job)[1])["owner"] == ["ben"]
    for who, refused in (("cid", 403), ("nobody", 401)):
        for method, target in (("GET", job), ("PUT", f"{job}/0"), ("POST", job), ("DELETE", job)):
            assert lab.status(who, method, target, b"abcd") == refused
    assert lab.status("ben", "PUT", f"{job}/0", b"abcd") == 204
    lab.allow("ada", "/hatrac/ns/x", "update", "cid")
    assert lab.status("ben", "POST", job) == 403, "who may no longer write does not finish"
    lab.allow("ada", "/hatrac/ns/x", "update", "ben")
    version = lab.send("ben", "POST", job)[1].strip()
    assert lab.send("ben", "GET", version) == (200, "abcd")
    assert lab.status("ada", "DELETE", other) == 204
    assert lab.status("nobody", "GET", "/hatrac/ns/x;upload") == 401


def test_renaming_needs_both_ends(lab: Lab) -> None:
    lab.namespace("ada", "/hatrac/other")
    lab.made("ada", "/hatrac/ns/x")
    command = {"command": "rename_from", "source_name": "/ns/x"}
    assert lab.status("nobody", "POST", "/hatrac/other/x", command) == 401
    assert lab.status("ben", "POST", "/hatrac/other/x", command) == 403
    lab.allow("ada", "/hatrac/other", "create", "ben")
    assert lab.status("ben", "POST", "/hatrac/other/x", command) == 403
    lab.allow("ada", "/hatrac/ns/x", "owner", "ada", "ben")
    assert lab.status("ben", "POST", "/hatrac/other/x", command) == 403, "the version is ada's"
    lab.allow("ada", "/hatrac/ns/x", "subtree-owner", "ben")
    assert lab.status("ben", "POST", "/hatrac/other/x", command) == 201
    assert lab.send("ben", "GET", "/hatrac/other/x;acl/owner") == (200, '["ben"]\n')
    assert lab.send("ben", "GET", "/hatrac/ns/x") == (200, "content")
    assert lab.status("ada", "GET", "/hatrac/ns/x") == 403, "what counts are the lists where the content is"


def test_a_refused_body_is_not_taken_in(lab: Lab) -> None:
    class Never:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("a body was read for somebody who may not send it")

    for who, refused in (("ben", 403), ("nobody", 401)):
        request = Request("PUT", "/hatrac/ns/x", {"content-length": "5"}, Never(), lab.clients[who])  # type: ignore[arg-type]
        assert lab.service.handle(request).status == refused


# ------------------------------------------------------------------------------------------------------- older stores


def test_a_store_from_before_access_lists_is_brought_up_to_date(
    tmp_path: Path, run_python: Callable[[str], str]
) -> None:
    objects = Objects(tmp_path)
    objects.make_namespace("/ns", Client.owner("me"), parents=False)
    objects.close()
    db = apsw.Connection(str(tmp_path / "hatrac.sqlite"))
    db.execute(
        "ALTER TABLE name DROP COLUMN acls; ALTER TABLE version DROP COLUMN acls; DROP TABLE forward;"
        "ALTER TABLE version DROP COLUMN untold; PRAGMA user_version = 1"
    )
    db.close()
    again = Objects(tmp_path)
    assert again.acls(again.look("/ns"), None, Client.owner("me")) == {"owner": ("local:me",)}
    assert again.acls(again.look(""), None, Client.owner("me")) == {"owner": ("admin",)}
    again.close()
