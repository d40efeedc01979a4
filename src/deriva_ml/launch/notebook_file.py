"""A notebook's file, read; or refused with a sentence that says what it is instead."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLConfigurationError

_OLDEST, _NEWEST = 3, 4


def read_notebook(notebook: Path) -> dict[str, Any]:
    """Return the content of a notebook's file.

    Raises:
        DerivaMLConfigurationError: it is not there, is no JSON, is no notebook, or of a format that nobody here reads.
    """
    if notebook.is_dir():
        raise DerivaMLConfigurationError(f"{notebook} is a folder: name the notebook in it.")
    if not notebook.is_file():
        raise DerivaMLConfigurationError(f"There is no notebook {notebook}.")
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DerivaMLConfigurationError(f"{notebook} cannot be read as a notebook: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise DerivaMLConfigurationError(
            f"{notebook} is no notebook: Jupyter's files are JSON objects with `nbformat`."
        )
    if not _OLDEST <= content["nbformat"] <= _NEWEST:
        raise DerivaMLConfigurationError(
            f"{notebook} is written in notebook format {content['nbformat']}; {_OLDEST} and {_NEWEST} can be run. "
            f"`jupyter nbconvert --to notebook --inplace {notebook}` rewrites it."
        )
    if not isinstance(content.get("worksheets" if content["nbformat"] < _NEWEST else "cells"), list):
        raise DerivaMLConfigurationError(f"{notebook} is no notebook: it has no cells.")
    return content


def kernel_of(content: dict[str, Any]) -> str:
    """Return the kernel that a notebook names, empty where it names none.

    Example:
        >>> kernel_of({"metadata": {"kernelspec": {"name": "python3"}}})
        'python3'
    """
    metadata = content.get("metadata")
    named = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    return str(named.get("name") or "") if isinstance(named, dict) else ""


def config_of(content: Mapping[str, Any]) -> str | None:
    """Return the name that a cell gives to ``run_notebook`` as a text, None where it gives none or only at run time.

    Example:
        >>> config_of({"cells": [{"cell_type": "code", "source": "ml, e, c = run_notebook('analysis')"}]})
        'analysis'
    """
    for call in _calls_of_run_notebook(content):
        named = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "config_name")]
        if named and isinstance(named[0], ast.Constant) and isinstance(named[0].value, str):
            return named[0].value
    return None


def _calls_of_run_notebook(content: Mapping[str, Any]) -> Iterator[ast.Call]:
    for cell in content.get("cells", ()):
        source = "".join(cell.get("source", ""))
        if cell.get("cell_type") == "code" and "run_notebook" in source:
            yield from (node for node in ast.walk(_parsed(source)) if isinstance(node, ast.Call) and _is_meant(node))


def _is_meant(call: ast.Call) -> bool:
    function = call.func
    return getattr(function, "id", None) == "run_notebook" or getattr(function, "attr", None) == "run_notebook"


def _parsed(source: str) -> ast.AST:
    """Return the cell's code; lines that only IPython understands are left out, and a cell with an error tells nothing."""
    plain = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!", "?")))
    try:
        return ast.parse(plain)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
