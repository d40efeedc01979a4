"""Which bytes a Range header asks for, of a content of ten."""

from __future__ import annotations

import pytest

from deriva_local.service.ranges import wanted
from deriva_local.wire.errors import Refusal


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-4", (2, 3)),
        ("bytes=5-", (5, 5)),
        ("bytes=5-99", (5, 5)),
        ("bytes=-3", (7, 3)),
        ("BYTES = 1-2", (1, 2)),
        ("bytes=0-", None),
        ("bytes=0-9", None),
        ("bytes=-10", None),
        ("bytes=-99", None),
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes", None),
        ("pages=1-2", None),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert wanted(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "status"), [("bytes=10-", 416), ("bytes=10-12", 416), ("bytes=-0", 416), ("bytes=0-1,4-5", 501)]
)
def test_refused(header: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        wanted(header, 10)
    assert refused.value.status == status
    if status == 416:
        assert refused.value.headers == {"Content-Range": "bytes */10"}
