"""Entity tags and preconditions."""

from __future__ import annotations

import pytest

from deriva_local.wire.etag import build, matches, refused

TAG = build({"*", "me"}, "text/csv", "2-X", "alias")


def test_a_tag_names_all_that_a_response_depends_on() -> None:
    others = {
        build({"*"}, "text/csv", "2-X", "alias"),
        build({"*", "me"}, None, "2-X", "alias"),
        build({"*", "me"}, "text/csv", "2-Y", "alias"),
        build({"*", "me"}, "text/csv", "2-X"),
    }
    assert len(others) == 4
    assert TAG not in others
    assert build(["me", "*"], "text/csv", "2-X", "alias") == TAG
    assert TAG.endswith(';text/csv;2-X-alias"')


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (TAG, True),
        ("*", True),
        ("W/" + TAG, True),
        (f'"other", {TAG}', True),
        (f'{TAG},"other"', True),
        (TAG[:-1] + '-gzip"', True),
        ('"other"', False),
        ("", False),
        (TAG.strip('"'), False),
    ],
)
def test_lists_of_tags(header: str, expected: bool) -> None:
    assert matches(header, TAG) is expected


@pytest.mark.parametrize(
    ("method", "headers", "tag", "status"),
    [
        ("GET", {}, '"a"', None),
        ("GET", {"if-none-match": '"a"'}, '"a"', 304),
        ("HEAD", {"if-none-match": '"a"'}, '"a"', 304),
        ("GET", {"if-none-match": '"b"'}, '"a"', None),
        ("GET", {"if-match": '"b"'}, '"a"', 304),
        ("PUT", {"if-match": '"a"'}, '"a"', None),
        ("PUT", {"if-match": '"b"'}, '"a"', 412),
        ("PUT", {"if-none-match": "*"}, '"a"', 412),
        ("PUT", {"if-none-match": "*"}, None, None),
        ("PUT", {"if-match": "*"}, None, 412),
    ],
)
def test_preconditions(method: str, headers: dict[str, str], tag: str | None, status: int | None) -> None:
    assert refused(method, headers, tag) == status
