"""What a Hatrac address says, as tables."""

from __future__ import annotations

import pytest

from deriva_local.objects.names import HatracAddress, parse, url_of
from deriva_local.wire.errors import Refusal


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/hatrac", HatracAddress("")),
        ("/hatrac/", HatracAddress("")),
        ("/hatrac/a", HatracAddress("/a")),
        ("/hatrac/a/", HatracAddress("/a")),
        ("/hatrac/a/b.png", HatracAddress("/a/b.png")),
        ("/hatrac/a/b:5KQ", HatracAddress("/a/b", "5KQ")),
        ("/hatrac/a/b;versions", HatracAddress("/a/b", None, "versions")),
        ("/hatrac/a/b;versions/", HatracAddress("/a/b", None, "versions")),
        ("/hatrac/a/b:5KQ;metadata", HatracAddress("/a/b", "5KQ", "metadata")),
        ("/hatrac/a;metadata/content-type", HatracAddress("/a", None, "metadata", ("content-type",))),
        ("/hatrac/a;acl/owner/me%40home", HatracAddress("/a", None, "acl", ("owner", "me@home"))),
        ("/hatrac;acl", HatracAddress("", None, "acl")),
        ("/hatrac/a;upload/J1/0", HatracAddress("/a", None, "upload", ("J1", "0"))),
        ("/hatrac/a?parents=true", HatracAddress("/a", None, "self", (), {"parents": "true"})),
        ("/hatrac/a;upload?parents=true", HatracAddress("/a", None, "upload", (), {"parents": "true"})),
    ],
)
def test_addresses(target: str, expected: HatracAddress) -> None:
    assert parse(target) == expected


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [("%41%7e", "/A~"), ("a%20b", "/a%20b"), ("%c3%a9", "/%C3%A9"), ("a%2fb", "/a%2Fb"), ("a%3a1", "/a%3A1")],
)
def test_one_name_has_one_spelling(spelled: str, canonical: str) -> None:
    assert parse(f"/hatrac/{spelled}").name == canonical
    assert parse(url_of(canonical)).name == canonical


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/hatrac/a b", 400),
        ("/hatrac/a//b", 400),
        ("/hatrac/a+b", 400),
        ("/hatrac/é", 400),
        ("/hatrac/a%2", 400),
        ("/hatrac/%ff", 400),
        ("/hatrac/a:", 400),
        ("/hatrac/a/../b", 400),
        ("/hatrac/a/%2e%2e/b", 400),
        ("/hatrac/a/.%2E", 400),
        ("/hatrac/%2E", 400),
        ("/hatrac/a%2f..%2fb", 400),
        ("/hatrac/..%2fb", 400),
        ("/hatrac/..%5cb", 400),
        ("/hatrac/a%00", 400),
        ("/hatrac/.", 400),
        ("/hatrac/a:1/b", 400),
        ("/hatrac/a;nothing", 404),
        ("/hatrac/a;self", 404),
        ("/hatrac/a;versions/1", 404),
        ("/hatrac/a;upload/1/2/3", 404),
    ],
)
def test_what_is_no_address(target: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        parse(target)
    assert refused.value.status == status
