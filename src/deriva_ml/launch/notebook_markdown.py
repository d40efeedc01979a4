"""An executed notebook as Markdown: data frames become tables, images are inside the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from deriva_ml.launch.table import markdown

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IMAGES = ("image/png", "image/jpeg", "image/gif")


def written(notebook: Mapping[str, Any]) -> str:
    """Return the notebook as Markdown.

    Example:
        >>> print(written({"cells": [{"cell_type": "markdown", "source": ["# Title"]}]}))
        # Title
        <BLANKLINE>
    """
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    parts = [part for cell in notebook["cells"] for part in _cell(cell, language) if part.strip()]
    return "\n\n".join(parts) + "\n"


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook's file, none where it is not there."""
    cells: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"] if notebook.exists() else []
    return cells


def _cell(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif cell["cell_type"] == "code" and source.strip():
        yield _fenced(source, language)
        for output in cell.get("outputs", ()):
            yield _output(output)


def _output(output: Mapping[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return _fenced(without_colours(_text(output["text"])))
    if kind == "error":
        return _fenced(without_colours("\n".join(output["traceback"])))
    return _shown(output["data"])


def _shown(data: Mapping[str, Any]) -> str:
    """Return the richest form of a result that Markdown can hold."""
    for kind in _IMAGES:
        if kind in data:
            return f"![result](data:{kind};base64,{''.join(_text(data[kind]).split())})"
    if "image/svg+xml" in data:
        return _text(data["image/svg+xml"])
    if "text/markdown" in data:
        return _text(data["text/markdown"])
    tables = _tables(_text(data["text/html"])) if "text/html" in data else []
    return "\n\n".join(tables) or _fenced(without_colours(_text(data.get("text/plain", ""))))


class _Tables(HTMLParser):
    """Collects the cells of the tables in a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data


def _tables(html: str) -> list[str]:
    """Return the tables in a piece of HTML as Markdown.

    Example:
        >>> print(_tables("<table><tr><th>a</th></tr><tr><td>1</td></tr></table>")[0])
        | a |
        | --- |
        | 1 |
    """
    parser = _Tables()
    parser.feed(html)
    found = []
    for table in parser.tables:
        width = max((len(row) for row in table), default=0)
        rows = [row + [""] * (width - len(row)) for row in table if row]
        if rows:
            found.append(markdown(rows[1:], rows[0]))
    return found


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}" if text.strip() else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def without_colours(text: str) -> str:
    """Return a text without the codes that colour it in a terminal.

    Example:
        >>> without_colours("\\x1b[31mred\\x1b[0m")
        'red'
    """
    return _COLOURS.sub("", text)
