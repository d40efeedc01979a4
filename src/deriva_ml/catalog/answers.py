"""What a server's refusal means to the caller: one sentence and one class for each status.

A law: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from deriva_ml.catalog.port import Request, Response
from deriva_ml.errors import (
    DerivaMLAuthenticationError,
    DerivaMLCatalogError,
    DerivaMLConflictError,
    DerivaMLException,
    DerivaMLServerError,
)

REFUSED_UNDONE = frozenset({429, 503})
"""The server did nothing and asks to come again: any request may be repeated."""
DOUBTFUL = frozenset({500, 502, 504})
"""The server may have done it: only what may be done twice is repeated."""


LONGEST_WAIT = 60.0
"""Seconds that a server can make us wait between two requests."""


def is_repeatable(request: Request) -> bool:
    """Return whether doing this twice leaves the catalog as doing it once.

    Reads; objects and chunks, which are named; rows that are skipped where they are there already, and rows that are
    set without a condition on what they were.
    """
    if request.method in {"GET", "HEAD"}:
        return True
    path, _, options = request.path.partition("?")
    if request.method == "POST":
        return "/entity/" in path and "onconflict=skip" in options.split("&")
    if request.method != "PUT":
        return False
    return path.startswith("/hatrac/") or "/entity/" in path or ("/attributegroup/" in path and ":=" not in path)


def may_repeat(request: Request, status: int) -> bool:
    """Return whether a request that was answered so may be sent again without doing anything twice."""
    return status in REFUSED_UNDONE or (status in DOUBTFUL and is_repeatable(request))


def wait_asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, in either of its forms; None where it says nothing that can be read.

    Example:
        >>> wait_asked({"retry-after": "7"}, datetime(2026, 1, 15, tzinfo=UTC))
        7.0
        >>> wait_asked({"retry-after": "Thu, 15 Jan 2026 00:00:30 GMT"}, datetime(2026, 1, 15, tzinfo=UTC))
        30.0
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_WAIT)


def refusal(host: str, request: Request, response: Response) -> DerivaMLException:
    """Return the error that says what a response of 400 or above means."""
    detail = _detail(response)
    asked = f"{request.method} {_short(request.path)}"
    match response.status:
        case 401:
            return DerivaMLAuthenticationError(
                f"{host} does not know you (401): log in with `deriva-globus-auth-utils login --host {host}`, or put the token that "
                "the server gave you (`deriva-ml serve` prints the file it is in) into the variable DERIVA_ML_TOKEN."
            )
        case 403:
            return DerivaMLCatalogError(403, detail, asked, "Ask the owner of the catalog for the right to do this.")
        case 409:
            return DerivaMLConflictError(409, detail, asked)
        case 412:
            return DerivaMLConflictError(
                412, detail, asked, "Somebody changed it meanwhile: read it again, then decide."
            )
        case 429 | 500 | 502 | 503 | 504:
            return DerivaMLServerError(response.status, detail, asked, "Nothing staged is lost: try again later.")
        case status:
            return DerivaMLCatalogError(status, detail, asked)


def _detail(response: Response) -> str:
    """Return what the server said, without its standard first words."""
    text = response.body.decode("utf-8", "replace").strip()
    _, mark, detail = text.partition("Detail: ")
    said = (detail if mark else text)[:2000].strip() or "no reason given"
    return said if said[-1] in ".!?" else f"{said}."


def _short(path: str) -> str:
    return path if len(path) <= 200 else path[:200] + "…"
