"""ETags: what changes them, what they answer, and the preconditions of reads and writes."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_kit import Door, column, key, schema, table

READS = ("", "/schema", "/schema/S/table/T", "/entity/S:T", "/aggregate/S:T/n:=cnt(*)")


@pytest.fixture
def tagged(mine: Door) -> Door:
    mine.made("/schema", [schema("S", table("T", column("a"), keys=[key("a")]))])
    return mine


def tags(door: Door) -> dict[str, str]:
    return {below: door.get(below).headers["etag"] for below in READS}


def test_a_read_that_is_known_already_is_not_sent_again(tagged: Door) -> None:
    for below, tag in tags(tagged).items():
        for known in (tag, f'"x", {tag}', f"W/{tag}", tag[:-1] + '-gzip"', "*"):
            reply = tagged.get(below, If_None_Match=known)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
        assert tagged.get(below, If_None_Match='"other"').status == 200
        assert tagged.get(below, If_Match=tag).status == 200
        assert tagged.get(below, If_Match='"other"').status == 304


def test_reads_do_not_change_tags(tagged: Door) -> None:
    assert tags(tagged) == tags(tagged)


def test_the_tag_depends_on_the_form(tagged: Door) -> None:
    csv, json = (tagged.get("/entity/S:T", Accept=form).headers["etag"] for form in ("text/csv", "application/json"))
    assert csv != json


@pytest.mark.parametrize(
    ("method", "below", "body", "model"),
    [
        ("POST", "/entity/S:T", [{"a": "y"}], False),
        ("PUT", "/entity/S:T", [{"a": "x"}], False),
        ("PUT", "/attributegroup/S:T/o:=a;a", [{"o": "x", "a": "z"}], False),
        ("DELETE", "/entity/S:T", None, False),
        ("DELETE", "/schema/S/table/T/key/a", None, True),
        ("POST", "/schema/Z", None, True),
        ("POST", "/schema/S/table", table("U"), True),
        ("POST", "/schema/S/table/T/column", column("b"), True),
        ("PUT", "/schema/S/table/T/column/a", {"comment": "c"}, True),
        ("PUT", "/annotation/x", 1, True),
        ("PUT", "/acl/select", ["*"], True),
        ("PUT", "/schema/S/table/T/annotation", {"x": 1}, True),
    ],
)
def test_every_mutation_changes_the_tags_and_reports_the_new_one(
    tagged: Door, method: str, below: str, body: Any, model: bool
) -> None:
    tagged.insert("S:T", {"a": "x"})
    before = tags(tagged)
    reply = tagged.send(method, below, body)
    assert reply.status < 300, reply.text
    after = tags(tagged)
    changed = {name for name in READS if before[name] != after[name]}
    assert changed >= ({"", "/entity/S:T", "/schema"} if model else {"", "/entity/S:T"})
    if "etag" in reply.headers and method != "DELETE":
        assert reply.headers["etag"].strip('"').split(";")[-1] in {
            tag.strip('"').split(";")[-1] for tag in after.values()
        }


def test_a_write_may_insist_on_what_it_saw(tagged: Door) -> None:
    tag = tagged.get("/entity/S:T").headers["etag"]
    row = [{"a": "x"}]
    assert tagged.send("POST", "/entity/S:T", row, {"If-Match": '"other"'}).status == 412
    assert tagged.rows("/entity/S:T") == []
    assert tagged.send("POST", "/entity/S:T", row, {"If-Match": tag}).status == 200
    stale = tagged.send("POST", "/entity/S:T", [{"a": "y"}], {"If-Match": tag})
    assert (stale.status, len(tagged.rows("/entity/S:T"))) == (412, 1)
    model = tagged.get("/schema").headers["etag"]
    comment = {"comment": "c"}
    assert tagged.send("PUT", "/schema/S", comment, {"If-Match": model}).status == 200
    assert tagged.send("PUT", "/schema/S", comment, {"If-Match": model}).status == 412
    assert tagged.send("POST", "/entity/S:T", row, {"If-None-Match": "*"}).status == 412


def test_a_snapshot_keeps_its_tag(tagged: Door) -> None:
    past = tagged.snapshot()
    before = {below: past.get(below).headers["etag"] for below in ("/schema", "/schema/S")}
    tagged.post("/schema/Z")
    assert {below: past.get(below).headers["etag"] for below in before} == before
