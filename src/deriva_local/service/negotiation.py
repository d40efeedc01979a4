"""What the query and the headers of a data request ask of the response: its form, its length, its file name."""

from __future__ import annotations

from urllib.parse import quote

from deriva_local.service.messages import Request
from deriva_local.url.ast import CatalogAddress
from deriva_local.wire.errors import bad_request
from deriva_local.wire.tabular import CSV, JSON, KINDS, Kind

_SHORT: dict[str, Kind] = {"csv": CSV, "json": JSON}


def form_of(address: CatalogAddress, request: Request, fallback: Kind = JSON) -> Kind:
    """Return the form in which rows are to be written: ``?accept=`` first, then the Accept header."""
    asked = option(address, "accept")
    if asked is not None:
        kind = _SHORT.get(asked) or _known(asked)
        if kind is None:
            raise bad_request(f"accept={asked} is not known: use csv, json or one of {', '.join(KINDS)}.")
        return kind
    accept = request.headers.get("accept")
    if accept is None or accept == "*/*":
        return fallback
    return _known(accept) or _best(accept) or fallback


def _known(name: str) -> Kind | None:
    return next((kind for kind in KINDS if kind == name), None)


def _best(accept: str) -> Kind | None:
    """Return the known form with the lowest quality in an Accept header, the first one among equals.

    That is the wrong way round, and how servers do it: whoever sends several forms gets the same one everywhere. What
    a client will not have at all (``q=0``) is left out.
    """
    entries = (entry.split(";") for entry in accept.split(","))
    asked = [(_quality(parameters), _known(name.strip().lower())) for name, *parameters in entries]
    return min(((quality, kind) for quality, kind in asked if kind and quality > 0), default=(0.0, None), key=_first)[1]


def _first(entry: tuple[float, Kind | None]) -> float:
    return entry[0]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def prefers_html(accept: str) -> bool:
    """Say whether an Accept header asks for pages, and for them before text: as browsers do.

    Example:
        >>> prefers_html("text/html,application/xml;q=0.9,*/*;q=0.8"), prefers_html("text/csv"), prefers_html("*/*")
        (True, False, False)
    """
    if "text/html" not in accept.lower():
        return False
    asked = {name.strip().lower(): _quality(rest) for name, *rest in (each.split(";") for each in accept.split(","))}
    page = asked.get("text/html", 0.0)
    return page > 0 and page >= asked.get("text/plain", 0.0)


def preferred(accept: str, kinds: tuple[str, ...]) -> str:
    """Return the kind with the highest quality in an Accept header; the first one where none is asked for.

    Example:
        >>> preferred("text/html, application/json;q=0.1", ("application/json", "text/html"))
        'text/html'
        >>> preferred("text/*;q=0.5, image/png", ("application/json", "text/html"))
        'text/html'
    """
    asked = {name.strip().lower(): _quality(rest) for name, *rest in (each.split(";") for each in accept.split(","))}
    either = asked.get("*/*", 0.0)
    wanted = [asked.get(kind, asked.get(kind.partition("/")[0] + "/*", either)) for kind in kinds]
    return kinds[wanted.index(max(wanted))]


def option(address: CatalogAddress, name: str) -> str | None:
    """Return the value of a query option that takes one, or None if it is not there.

    Raises:
        Refusal: 400 when it has no value or several.
    """
    values = address.options.get(name)
    if values is None:
        return None
    if len(values) != 1:
        raise bad_request(f"The option '{name}' takes one value.")
    return values[0]


def limit_of(address: CatalogAddress) -> int | None:
    """Return the highest number of rows asked for.

    Raises:
        Refusal: 400 when it is neither a number nor ``none``.
    """
    text = option(address, "limit") if address.options else None
    if text is None or text == "none":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 2**63:
        raise bad_request(f"limit={text[:40]} is not a number of rows.")
    return int(text)


def headers_of(address: CatalogAddress, kind: Kind, tag: str) -> dict[str, str]:
    """Return the headers of a response with rows.

    Raises:
        Refusal: 400 for a download without a name.
    """
    headers = {"Content-Type": kind, "ETag": tag, "Vary": "cookie, accept"}
    if "download" in address.options:
        name = option(address, "download")
        if not name:
            raise bad_request("download needs a file name.")
        suffix = "csv" if kind == CSV else "json"
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}.{suffix}"
    return headers
