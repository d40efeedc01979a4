"""How the service says no: one exception that carries an HTTP status and a sentence.

Floor 0: values only. Every room below the service raises :class:`Refusal`; the service turns it into a text
response at its door. The message says what was wrong and, where there is one, the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

TITLES = {
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Refusal(Exception):
    """A request that the service will not carry out, with the HTTP status that says why.

    Example:
        >>> Refusal(404, "Schema 'x' does not exist.").body()
        "Not Found. Detail: Schema 'x' does not exist.\\n"
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> str:
        """Return the one-line text body of the response."""
        return f"{self.title}. Detail: {self.detail}\n"

    def page(self) -> str:
        """Return the body of the response for a browser: the same line as a page, everything from outside escaped.

        Example:
            >>> "<script>" in Refusal(404, "There is no <script>.").page()
            False
        """
        title, line = escape(f"{self.status} {self.title}"), escape(self.body().rstrip("\n"))
        return f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{line}</p></body></html>\n"

    @property
    def title(self) -> str:
        """What the status means, in words."""
        return TITLES.get(self.status, "Error")


def bad_request(detail: str) -> Refusal:
    """400: the request is malformed."""
    return Refusal(400, detail)


def unauthorized(detail: str) -> Refusal:
    """401: nobody is logged in, and somebody must be."""
    return Refusal(401, detail)


def forbidden(detail: str) -> Refusal:
    """403: this client may not do that."""
    return Refusal(403, detail)


def not_found(detail: str) -> Refusal:
    """404: the resource named last does not exist."""
    return Refusal(404, detail)


def conflict(detail: str) -> Refusal:
    """409: the request contradicts the model or the data."""
    return Refusal(409, detail)


def not_offered(detail: str) -> Refusal:
    """501: the protocol has this, this service does not offer it."""
    return Refusal(501, detail)


def busy(detail: str) -> Refusal:
    """503: try again."""
    return Refusal(503, detail, {"Retry-After": "1"})
