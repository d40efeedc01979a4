"""What the page on deviations says is not offered: 501 with a sentence, whatever else the request holds."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_kit import Door


@pytest.mark.deviation
@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("GET", "/entity/S:Sample/Name::ts::x", None),
    ],
)
def test_what_is_not_offered_says_so(samples: Door, method: str, below: str, body: Any) -> None:
    reply = samples.send(method, below, body)
    assert (reply.status, reply.headers["content-type"]) == (501, "text/plain")
    assert "not offered" in reply.text


@pytest.mark.parametrize(
    ("below", "status", "text"), [("/textfacet/x", 200, "[]"), ("/meta", 404, "Detail"), ("/meta/owner", 404, "Detail")]
)
def test_what_is_switched_off(samples: Door, below: str, status: int, text: str) -> None:
    reply = samples.get(below)
    assert reply.status == status
    assert text in reply.text
