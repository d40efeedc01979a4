"""Hatrac's methods and their statuses, in process and over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

BYTES = b"twelve bytes"
MD5 = base64.b64encode(hashlib.md5(BYTES).digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(BYTES).digest()).decode()
NAMESPACE = {"Content-Type": "application/x-hatrac-namespace"}


@pytest.fixture
def stored(send: Any, space: str) -> str:
    """The address of an object with one version."""
    assert send("PUT", f"{space}/x.bin", BYTES).status == 201
    return f"{space}/x.bin"


# --------------------------------------------------------------------------------------------------------- namespaces


def test_a_namespace_is_made_once_and_lists_its_children(send: Any, space: str) -> None:
    made = send("PUT", f"{space}/inner", headers=NAMESPACE)
    assert (made.status, made.headers["content-type"], made.text) == (201, "text/uri-list", f"{space}/inner\n")
    assert made.headers["location"] == f"{space}/inner"
    assert send("PUT", f"{space}/inner", headers=NAMESPACE).status == 409
    send("PUT", f"{space}/b", BYTES)
    listed = send("GET", space)
    assert listed.headers["content-type"] == "application/json"
    assert listed.json() == [f"{space}/b", f"{space}/inner"]
    assert send("GET", f"{space}/").json() == listed.json()
    assert space in send("GET", "/hatrac").json()


def test_a_namespace_is_listed_as_asked(send: Any, space: str) -> None:
    send("PUT", f"{space}/b", BYTES)
    assert send("GET", space, headers={"Accept": "text/uri-list"}).text == f"{space}/b\n"
    page = send("GET", space, headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html"
    assert f'<a href="{space}/b">' in page.text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/plain", "application/json"),
        ("nonsense;q=x", "application/json"),
        ("text/html;q=0.1, application/json", "application/json"),
        ("text/html, application/json;q=0.1", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/uri-list;q=0.5, text/html;q=0.4", "text/uri-list"),
        ("text/*", "text/uri-list"),
    ],
)
def test_the_form_that_is_liked_best(send: Any, space: str, accept: str, kind: str) -> None:
    assert send("GET", space, headers={"Accept": accept}).headers["content-type"] == kind


def test_a_namespace_is_deleted_if_it_lists_what_one_saw(send: Any, space: str) -> None:
    before = send("GET", space, headers={"Accept": "text/html"}).headers["etag"]
    send("PUT", f"{space}/b", BYTES)
    refused = send("DELETE", space, headers={"If-Match": before})
    assert (refused.status, refused.headers["etag"]) == (412, send("GET", space).headers["etag"])
    now = send("GET", space, headers={"Accept": "text/html"}).headers["etag"]
    assert send("DELETE", space, headers={"If-Match": now}).status == 204


def test_a_namespace_has_an_etag_that_follows_its_children(send: Any, space: str) -> None:
    before = send("HEAD", space).headers["etag"]
    assert send("GET", space, headers={"If-None-Match": before}).status == 304
    send("PUT", f"{space}/b", BYTES)
    after = send("GET", space, headers={"If-None-Match": before})
    assert (after.status, after.headers["etag"] == before) == (200, False)


def test_parents_are_made_only_when_asked(send: Any, space: str) -> None:
    assert send("PUT", f"{space}/a/b/c", BYTES).status == 404
    assert send("PUT", f"{space}/a/b", headers=NAMESPACE).status == 404
    assert send("PUT", f"{space}/a/b/c?parents=false", BYTES).status == 404
    assert send("GET", space).json() == []
    assert send("PUT", f"{space}/a/b/c?parents=true", BYTES).status == 201
    assert send("GET", f"{space}/a").json() == [f"{space}/a/b"]
    assert send("PUT", f"{space}/d/e?parents=true", headers=NAMESPACE).status == 201


@pytest.mark.parametrize(
    ("method", "place", "headers", "status"),
    [
        ("PUT", "", {}, 409),  # an object onto a namespace
        ("PUT", "/x.bin/inner", {}, 409),  # below an object
        ("PUT", "/x.bin", NAMESPACE, 409),  # a namespace onto an object
        ("PUT", "/x.bin:AAAA", {}, 409),  # a version is never changed
        ("GET", "/missing", {}, 404),
        ("GET", ":AAAA", {}, 404),
        ("GET", "", {"Range": "bytes=0-1"}, 501),
        ("GET", ";versions", {}, 404),
        ("GET", ";metadata", {}, 404),
        ("GET", ";upload", {}, 404),
        ("GET", "/a b", {}, 400),
        ("GET", ";strange", {}, 404),
        ("PATCH", "/x.bin", {}, 405),
        ("DELETE", "/x.bin;versions", {}, 405),
        ("DELETE", "/missing", {}, 404),
        ("DELETE", "/x.bin:AAAA", {}, 404),
        ("POST", "/x.bin", {}, 400),
    ],
)
def test_refusals(send: Any, stored: str, method: str, place: str, headers: dict[str, str], status: int) -> None:
    space = stored.rpartition("/")[0]
    target = f"{space}{place}".replace(" ", "+")
    assert send(method, target, BYTES if method == "PUT" else b"", headers).status == status


def test_the_root_stays(send: Any) -> None:
    assert send("DELETE", "/hatrac").status == 403
    assert send("PUT", "/hatrac", BYTES).status == 409
    assert send("PUT", "/hatrac", headers=NAMESPACE).status == 409


# ------------------------------------------------------------------------------------------------------------ objects


def test_what_was_put_comes_back_with_its_facts(send: Any, space: str) -> None:
    made = send("PUT", f"{space}/x%20y.txt", BYTES, {"Content-Type": "text/plain"})
    version = made.text.strip()
    assert (made.status, made.headers["location"]) == (201, version)
    assert re.fullmatch(re.escape(f"{space}/x%20y.txt:") + "[A-Z0-9]{26}", version)
    for target in (f"{space}/x%20y.txt", version):
        got = send("GET", target)
        assert (got.status, got.body) == (200, BYTES)
        facts = {name: got.headers.get(name) for name in ("content-type", "content-md5", "content-sha256")}
        assert facts == {"content-type": "text/plain", "content-md5": MD5, "content-sha256": SHA256}
        assert got.headers["content-length"] == "12"
        assert got.headers["content-location"] == version
        assert got.headers["content-disposition"] == "filename*=UTF-8''x%20y.txt"
        assert got.headers["etag"] == f'"{version.rpartition(":")[2]}"'


def test_head_tells_the_same_without_the_bytes(send: Any, stored: str) -> None:
    got, told = send("GET", stored), send("HEAD", stored)
    assert (told.status, told.body) == (200, b"")
    assert told.headers["accept-ranges"] == "bytes"
    assert {**told.headers, "date": ""} == {**got.headers, "date": ""}


def test_only_a_get_has_ranges(send: Any, stored: str) -> None:
    told = send("HEAD", stored, headers={"Range": "bytes=2-5"})
    assert (told.status, told.headers["content-length"]) == (200, "12")


def test_what_a_file_is_called_has_no_folder(send: Any, space: str) -> None:
    send("PUT", f"{space}/a%2Fb%5Cc%20d", BYTES)
    assert send("GET", f"{space}/a%2Fb%5Cc%20d").headers["content-disposition"] == "filename*=UTF-8''c%20d"


def test_a_content_without_a_type_is_bytes(send: Any, stored: str) -> None:
    assert send("GET", stored).headers["content-type"] == "application/octet-stream"


def test_an_empty_content(send: Any, space: str) -> None:
    assert send("PUT", f"{space}/empty", b"").status == 201
    got = send("GET", f"{space}/empty")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


def test_a_second_put_is_a_second_version(send: Any, stored: str) -> None:
    first = send("GET", stored).headers["content-location"]
    second = send("PUT", stored, b"other").text.strip()
    assert send("GET", f"{stored};versions").json() == [second, first]
    assert send("GET", stored).body == b"other"
    assert send("GET", first).body == BYTES
    assert send("GET", f"{stored};versions", headers={"Accept": "text/uri-list"}).text == f"{second}\n{first}\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-MD5": MD5}, 201),
        ({"Content-MD5": hashlib.md5(BYTES).hexdigest()}, 201),
        ({"Content-SHA256": SHA256}, 201),
        ({"Content-MD5": MD5, "Content-SHA256": hashlib.sha256(BYTES).hexdigest()}, 201),
        ({"Content-MD5": base64.b64encode(b"0" * 16).decode()}, 400),
        ({"Content-SHA256": base64.b64encode(b"0" * 32).decode()}, 400),
        ({"Content-MD5": "nonsense"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''name.txt"}, 201),
        ({"Content-Disposition": "attachment; filename=name.txt"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''a%2Fb"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''a%5Cb"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''.."}, 400),
        ({"Content-Disposition": "filename*=UTF-8''%2e%2E"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''a%00b"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''a%0d%0ab"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''%ff"}, 400),
        ({"Content-Disposition": "filename*=UTF-8''%E2%82%AC...txt"}, 201),
    ],
)
def test_what_is_said_of_a_content_is_checked(send: Any, space: str, headers: dict[str, str], status: int) -> None:
    assert send("PUT", f"{space}/x", BYTES, headers).status == status
    assert send("GET", space).json() == ([f"{space}/x"] if status == 201 else [])


def test_a_disposition_is_kept(send: Any, space: str) -> None:
    said = "filename*=UTF-8''na%20me.txt"
    send("PUT", f"{space}/x", BYTES, {"Content-Disposition": said})
    assert send("GET", f"{space}/x").headers["content-disposition"] == said


# ------------------------------------------------------------------------------------------------- preconditions


@pytest.mark.parametrize(
    ("header", "value", "read", "written"),
    [
        ("If-None-Match", "{}", 304, 412),
        ("If-None-Match", "*", 304, 412),
        ("If-None-Match", '"other"', 200, 201),
        ("If-Match", "{}", 200, 201),
        ("If-Match", "*", 200, 201),
        ("If-Match", '"other", {}', 200, 201),
        ("If-Match", '"other"', 304, 412),
    ],
)
def test_preconditions(send: Any, stored: str, header: str, value: str, read: int, written: int) -> None:
    headers = {header: value.format(send("HEAD", stored).headers["etag"])}
    assert send("GET", stored, headers=headers).status == read
    assert send("HEAD", stored, headers=headers).status == read
    assert send("PUT", stored, b"new", headers).status == written


def test_preconditions_of_something_new(send: Any, space: str) -> None:
    assert send("PUT", f"{space}/x", BYTES, {"If-Match": "*"}).status == 412
    assert send("GET", space).json() == []
    assert send("PUT", f"{space}/x", BYTES, {"If-None-Match": "*"}).status == 201


def test_a_304_and_a_412_name_the_version(send: Any, stored: str) -> None:
    etag = send("HEAD", stored).headers["etag"]
    unchanged = send("GET", stored, headers={"If-None-Match": etag})
    assert (unchanged.body, unchanged.headers["etag"]) == (b"", etag)
    assert send("PUT", stored, b"new", {"If-Match": '"other"'}).headers["etag"] == etag


def test_a_delete_keeps_to_its_precondition(send: Any, stored: str) -> None:
    assert send("DELETE", stored, headers={"If-Match": '"other"'}).status == 412
    assert send("GET", stored).status == 200
    assert send("DELETE", stored, headers={"If-Match": send("HEAD", stored).headers["etag"]}).status == 204


# ------------------------------------------------------------------------------------------------------------- ranges


def test_a_range_is_a_part_without_checksums(send: Any, stored: str) -> None:
    got = send("GET", stored, headers={"Range": "bytes=2-5"})
    assert (got.status, got.body) == (206, BYTES[2:6])
    assert got.headers["content-range"] == "bytes 2-5/12"
    assert got.headers["content-length"] == "4"
    assert not {"content-md5", "content-sha256", "content-disposition"} & set(got.headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=0-"}, 200),
        ({"Range": "bytes=oops"}, 200),
        ({"Range": "bytes=99-"}, 416),
        ({"Range": "bytes=-0"}, 416),
        ({"Range": f"bytes={'9' * 5000}-"}, 416),
        ({"Range": f"bytes=0-{'9' * 5000}"}, 200),
        ({"Range": f"bytes=-{'9' * 5000}"}, 200),
        ({"Range": "bytes=0-1", "If-Range": "Wed, 21 Oct 2015 07:28:00 GMT"}, 200),
        ({"Range": "bytes=0-1", "If-None-Match": "*"}, 304),
        ({"Range": "bytes=0-1,3-4"}, 501),
        ({"Range": "bytes=0-1", "If-Range": '"other"'}, 200),
        ({"Range": "bytes=0-1", "If-Match": '"other"'}, 304),
    ],
)
def test_other_ranges(send: Any, stored: str, headers: dict[str, str], status: int) -> None:
    got = send("GET", stored, headers=headers)
    assert got.status == status
    if status == 416:
        assert got.headers["content-range"] == "bytes */12"
    if status == 200:
        assert got.body == BYTES


# ----------------------------------------------------------------------------------------------------------- deletion


def test_a_deleted_version_is_gone_and_the_others_stay(send: Any, stored: str) -> None:
    first = send("HEAD", stored).headers["content-location"]
    second = send("PUT", stored, b"other").text.strip()
    assert send("DELETE", second).status == 204
    assert send("GET", second).status == 404
    assert send("GET", stored).headers["content-location"] == first
    assert send("DELETE", first).status == 204
    assert send("GET", stored).status == 409
    assert send("GET", f"{stored};versions").json() == []
    assert send("PUT", stored, BYTES).status == 201


def test_a_deleted_object_is_gone_and_its_name_with_it(send: Any, stored: str) -> None:
    version = send("HEAD", stored).headers["content-location"]
    assert send("DELETE", stored).status == 204
    assert send("GET", stored).status == 404
    assert send("GET", version).status == 404
    assert send("GET", f"{stored};versions").status == 404
    assert send("PUT", stored, BYTES).status == 409
    assert send("POST", f"{stored};upload", {"chunk-length": 1, "content-length": 1}).status == 409
    assert send("DELETE", stored).status == 404


def test_a_deleted_namespace_takes_everything_below_along(send: Any, space: str) -> None:
    versions = [
        send("PUT", f"{space}/a/{name}?parents=true", name.encode()).text.strip() for name in ("x", "y/z", "y/w")
    ]
    assert send("DELETE", f"{space}/a").status == 204
    assert {send("GET", version).status for version in versions} == {404}
    assert send("GET", space).json() == []
    assert send("PUT", f"{space}/a", headers=NAMESPACE).status == 409
    assert send("PUT", f"{space}/a/new?parents=true", BYTES).status == 404


# ----------------------------------------------------------------------------------------------------------- metadata


def test_metadata_is_shown(send: Any, space: str) -> None:
    send("PUT", f"{space}/x", BYTES, {"Content-Type": "text/plain"})
    assert send("GET", f"{space}/x;metadata").json() == {
        "content-type": "text/plain",
        "content-md5": MD5,
        "content-sha256": SHA256,
    }
    field = send("GET", f"{space}/x;metadata/content-type")
    assert (field.text, field.headers["content-type"]) == ("text/plain\n", "text/plain")
    assert send("GET", f"{space}/x;metadata/content-disposition").status == 404
    assert send("GET", f"{space}/x;metadata/strange").status == 400


def test_metadata_is_changed(send: Any, stored: str) -> None:
    text = {"Content-Type": "text/plain"}
    assert send("PUT", f"{stored};metadata/content-type", b"image/png", text).status == 204
    assert send("GET", stored).headers["content-type"] == "image/png"
    assert send("DELETE", f"{stored};metadata/content-type").status == 204
    assert send("DELETE", f"{stored};metadata/content-type").status == 404
    assert send("PUT", f"{stored};metadata/content-type", b"", text).status == 400
    assert send("PUT", f"{stored};metadata/content-disposition", b"nonsense", text).status == 400
    assert send("PUT", f"{stored};metadata/content-disposition", b"filename*=UTF-8''n", text).status == 204
    assert send("GET", stored).headers["content-disposition"] == "filename*=UTF-8''n"


def test_a_checksum_is_what_the_content_is(send: Any, stored: str) -> None:
    text = {"Content-Type": "text/plain"}
    assert send("PUT", f"{stored};metadata/content-md5", MD5.encode(), text).status == 204
    assert send("PUT", f"{stored};metadata/content-md5", hashlib.md5(b"").hexdigest().encode(), text).status == 409
    assert send("PUT", f"{stored};metadata/content-md5", b"nonsense", text).status == 400


@pytest.mark.parametrize(("field", "right", "wrong"), [("content-md5", MD5, SHA256), ("content-sha256", SHA256, MD5)])
def test_a_checksum_need_not_be_told(send: Any, stored: str, field: str, right: str, wrong: str) -> None:
    place = f"{stored};metadata/{field}"
    assert send("DELETE", place).status == 204
    assert send("GET", place).status == 404
    assert send("DELETE", place).status == 404
    assert field not in send("GET", f"{stored};metadata").json()
    assert field not in send("GET", stored).headers
    assert [send("PUT", place, text.encode()).status for text in (wrong, right)] == [400, 204]
    assert send("GET", stored).headers[field] == right


@pytest.mark.parametrize("place", [";metadata/content-type", ";acl/read", ";acl/read/you"])
def test_what_is_said_of_an_object_is_changed_if_it_is_what_one_saw(send: Any, stored: str, place: str) -> None:
    bodies = {";metadata/content-type": [b"image/png", b"text/csv"], ";acl/read": [["you"], ["me"]]}
    first, second = bodies.get(place, [b"", b""])
    absent = (
        {"If-None-Match": "*"} if place != ";acl/read" else {"If-Match": send("GET", stored + place).headers["etag"]}
    )
    assert send("PUT", stored + place, first, absent).status == 204
    assert send("PUT", stored + place, second, absent).status == 412
    seen = send("GET", stored + place).headers["etag"]
    assert send("HEAD", stored + place).headers["etag"] == seen
    assert send("GET", stored + place, headers={"If-None-Match": seen}).status == 304
    refused = send("PUT", stored + place, second, {"If-Match": '"other"'})
    assert (refused.status, refused.headers["etag"]) == (412, seen)
    assert send("DELETE", stored + place, headers={"If-Match": '"other"'}).status == 412
    assert send("PUT", stored + place, second, {"If-Match": seen}).status == 204
    now = send("GET", stored + place).headers["etag"]
    assert (now == seen) is (first == second)
    assert send("DELETE", stored + place, headers={"If-Match": now}).status == 204


@pytest.mark.parametrize("place", [";metadata", ";acl", ";acl/read", ";versions", ";upload"])
def test_what_is_shown_has_an_etag(send: Any, stored: str, place: str) -> None:
    seen = send("GET", stored + place).headers["etag"]
    assert send("GET", stored + place, headers={"If-None-Match": f'"x", {seen}'}).status == 304
    send("PUT", f"{stored};metadata/content-type", b"image/png")
    send("PUT", f"{stored};acl/read", ["you"])
    send("PUT", stored, BYTES)
    send("POST", f"{stored};upload", {"chunk-length": 1, "content-length": 1})
    assert send("GET", stored + place).headers["etag"] != seen or place == ";metadata"


# ------------------------------------------------------------------------------------------------------- access lists


def test_access_lists_name_the_owner(send: Any, stored: str) -> None:
    owner = send("GET", "/authn/session").json()["client"]["id"]
    space, version = stored.rpartition("/")[0], send("HEAD", stored).headers["content-location"]
    assert send("GET", f"{stored};acl").json() == {
        "owner": [owner],
        "update": [],
        "read": [],
        "subtree-owner": [],
        "subtree-read": [],
    }
    assert set(send("GET", f"{space};acl").json()) == {
        "owner",
        "create",
        "read",
        "subtree-owner",
        "subtree-create",
        "subtree-update",
        "subtree-read",
    }
    assert send("GET", f"{version};acl").json() == {"owner": [owner], "read": []}
    assert send("GET", f"{stored};acl/owner").json() == [owner]
    assert send("GET", f"{stored};acl/owner/{owner.replace(':', '%3A')}").text == f"{owner}\n"
    assert send("GET", f"{stored};acl/owner/nobody").status == 404
    assert send("GET", f"{stored};acl/create").status == 400
    assert send("GET", "/hatrac;acl/owner").json() == ["admin"]


def test_an_access_list_is_replaced_grown_and_emptied(send: Any, stored: str) -> None:
    lists = f"{stored};acl/read"
    assert send("PUT", lists, ["a", "b", "a"]).status == 204
    assert send("GET", lists).json() == ["a", "b"]
    assert send("PUT", f"{lists}/c%20d").status == 204
    assert send("PUT", f"{lists}/a").status == 204
    assert send("GET", lists).json() == ["a", "b", "c d"]
    assert send("GET", f"{lists}/c%20d").text == "c d\n"
    assert send("DELETE", f"{lists}/b").status == 204
    assert send("DELETE", f"{lists}/b").status == 404
    assert send("GET", lists).json() == ["a", "c d"]
    assert send("DELETE", lists).status == 204
    assert send("GET", lists).json() == []
    assert send("DELETE", lists).status == 204


@pytest.mark.parametrize("place", ["", "/x.bin", "/x.bin:{version}"])
def test_every_kind_of_resource_has_its_lists(send: Any, stored: str, place: str) -> None:
    space, version = stored.rpartition("/")[0], send("HEAD", stored).headers["etag"].strip('"')
    resource = space + place.format(version=version)
    for access, was in send("GET", f"{resource};acl").json().items():
        assert send("PUT", f"{resource};acl/{access}", [*was, "you"]).status == 204
    assert all(roles[-1] == "you" for roles in send("GET", f"{resource};acl").json().values())


@pytest.mark.parametrize(
    ("method", "place", "body", "status"),
    [
        ("PUT", ";acl/read", {"a": 1}, 400),
        ("PUT", ";acl/read", "a", 400),
        ("PUT", ";acl/read", [1], 400),
        ("PUT", ";acl/read", [""], 400),
        ("PUT", ";acl/read", b"no json", 400),
        ("PUT", ";acl/create", ["a"], 400),
        ("PUT", ";acl/create/a", b"", 400),
        ("DELETE", ";acl/strange", b"", 400),
        ("DELETE", ";acl/read/nobody", b"", 404),
        ("PUT", ";acl", {}, 405),
        ("DELETE", ";acl", b"", 405),
        ("POST", ";acl/read", b"", 405),
        ("PUT", "2;acl/read", ["a"], 404),
        ("PUT", ":AAAA;acl/read", ["a"], 404),
        ("PUT", ";acl/read/a/b", b"", 404),
    ],
)
def test_changes_of_access_lists_that_cannot_be(
    send: Any, stored: str, method: str, place: str, body: Any, status: int
) -> None:
    before = send("GET", f"{stored};acl").json()
    assert send(method, stored + place, body).status == status
    assert send("GET", f"{stored};acl").json() == before


# ----------------------------------------------------------------------------------------------------------- renaming


def rename(send: Any, source: str, target: str, **more: Any) -> Any:
    command = {"command": "rename_from", "source_name": source.removeprefix("/hatrac"), **more}
    return send("POST", target, command)


def test_a_renamed_object_is_found_under_both_names(send: Any, stored: str) -> None:
    old = send("HEAD", stored)
    done = rename(send, stored, f"{stored}2")
    version = old.headers["etag"].strip('"')
    assert (done.status, done.text, done.headers["location"]) == (201, f"{stored}2:{version}\n", f"{stored}2:{version}")
    for target in (stored, f"{stored}:{version}", f"{stored}2", f"{stored}2:{version}"):
        got = send("GET", target)
        assert (got.status, got.body, got.headers["content-location"]) == (200, BYTES, f"{stored}2:{version}"), target
        assert got.headers["etag"] == old.headers["etag"]
        assert send("GET", f"{target};metadata/content-md5").text == f"{MD5}\n"
    assert send("GET", f"{stored};versions").json() == [f"{stored}:{version}"]
    assert sorted(send("GET", stored.rpartition("/")[0]).json()) == [stored, f"{stored}2"]


def test_all_versions_are_renamed_or_those_that_are_named(send: Any, stored: str) -> None:
    versions = [send("PUT", stored, text).text.strip().rpartition(":")[2] for text in (b"2", b"3")]
    some = rename(send, stored, f"{stored}2", source_versions=[versions[0]])
    assert (some.status, some.text) == (201, f"{stored}2:{versions[0]}\n")
    assert send("GET", stored).body == b"3"
    assert send("GET", f"{stored}2").body == b"2"
    rest = send(
        "POST",
        f"{stored}2",
        {"command": "rename_from", "source_name": stored.removeprefix("/hatrac")},
        {"Accept": "application/json"},
    )
    assert rest.status == 201
    assert set(rest.json()) == {*send("GET", f"{stored}2;versions").json()} - {f"{stored}2:{versions[0]}"}
    assert (send("GET", stored).body, send("GET", f"{stored}2").body) == (b"3", b"3")
    assert len(send("GET", f"{stored};versions").json()) == 3
    assert rename(send, stored, f"{stored}2").status == 204
    assert rename(send, stored, f"{stored}2", versions=[versions[0]]).status == 204


def test_a_name_leads_on_however_often_it_is_changed_and_back(send: Any, stored: str) -> None:
    for source, target in (("", "2"), ("2", "3"), ("3", "")):
        assert rename(send, stored + source, stored + target).status == 201
        for name in ("", "2"):
            assert send("GET", stored + name).headers["content-location"].startswith(f"{stored}{target}:")
    assert len(send("GET", f"{stored};versions").json()) == 1


def test_a_name_that_was_given_up_is_used_again(send: Any, stored: str) -> None:
    old = send("HEAD", stored).headers["content-location"]
    rename(send, stored, f"{stored}2")
    assert send("PUT", stored, b"new").status == 201
    assert (send("GET", stored).body, send("GET", old).body, send("GET", f"{stored}2").body) == (b"new", BYTES, BYTES)


def test_what_becomes_of_old_names_when_something_is_deleted(send: Any, stored: str) -> None:
    old = send("HEAD", stored).headers["content-location"]
    rename(send, stored, f"{stored}2")
    rename(send, f"{stored}2", f"{stored}3")
    assert send("DELETE", f"{stored}2").status == 204
    assert send("GET", stored).body == BYTES, "the content is under its newest name"
    assert send("DELETE", f"{stored}3").status == 204
    assert (send("GET", stored).status, send("GET", old).status) == (409, 409)
    assert send("DELETE", old).status == 204
    assert (send("GET", stored).status, send("GET", old).status) == (409, 404)
    assert send("PUT", stored, b"again").status == 201


def test_deleting_an_old_name_keeps_the_content(send: Any, stored: str) -> None:
    rename(send, stored, f"{stored}2")
    assert send("DELETE", stored).status == 204
    assert send("GET", f"{stored}2").body == BYTES


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ({}, 400),
        ({"command": "copy_from"}, 400),
        ({"command": "rename_from"}, 400),
        ({"command": "rename_from", "source_name": 7}, 400),
        ({"command": "rename_from", "source_name": "{}", "strange": 1}, 400),
        ({"command": "rename_from", "source_name": "{}", "copy_acls": "yes"}, 400),
        ({"command": "rename_from", "source_name": "{}", "source_versions": "AAAA"}, 400),
        ({"command": "rename_from", "source_name": "{}", "source_versions": [1]}, 400),
        ({"command": "rename_from", "source_name": "{}", "source_versions": ["AAAA"]}, 409),
        ({"command": "rename_from", "source_name": "{}:AAAA"}, 400),
        ({"command": "rename_from", "source_name": "{}/../x"}, 400),
        ({"command": "rename_from", "source_name": "{}-missing"}, 404),
        ({"command": "rename_from", "source_name": ""}, 409),
        ([], 400),
    ],
)
def test_renamings_that_make_no_sense(send: Any, stored: str, command: Any, status: int) -> None:
    if isinstance(command, dict) and isinstance(command.get("source_name"), str):
        command = {**command, "source_name": command["source_name"].format(stored.removeprefix("/hatrac"))}
    assert send("POST", f"{stored}2", command).status == status
    assert send("GET", f"{stored}2").status == 404


def test_names_that_cannot_be_given(send: Any, stored: str) -> None:
    space = stored.rpartition("/")[0]
    send("PUT", f"{space}/full", b"full")
    send("PUT", f"{space}/ns", headers=NAMESPACE)
    send("PUT", f"{space}/gone", b"x")
    send("DELETE", f"{space}/gone")
    for target, status in (
        (stored, 409),
        (f"{space}/full", 409),
        (f"{space}/ns", 409),
        (f"{space}/gone", 409),
        (f"{space}/a/b", 404),
        (f"{stored}/inner", 409),
    ):
        assert rename(send, stored, target).status == status, target
    assert rename(send, f"{space}/ns", f"{space}/new").status == 409
    assert send("GET", stored).headers["content-location"].startswith(f"{stored}:")
    assert send("POST", f"{space}/a/b?parents=true", {"command": "rename_from", "source_name": stored}).status == 201
    assert send("GET", f"{space}/a/b").body == BYTES
    assert rename(send, stored, f"{space}/new").status == 409, "it has a third name by now"


def test_access_lists_are_copied_when_asked(send: Any, space: str) -> None:
    for name, copied, readers in (("a", True, ["*"]), ("b", False, [])):
        version = send("PUT", f"{space}/{name}", BYTES).text.strip()
        for resource in (f"{space}/{name}", version):
            send("PUT", f"{resource};acl/read", ["*"])
        assert rename(send, f"{space}/{name}", f"{space}/{name}2", copy_acls=copied).status == 201
        for resource in (f"{space}/{name}2", version):
            assert send("GET", f"{resource};acl/read").json() == readers
