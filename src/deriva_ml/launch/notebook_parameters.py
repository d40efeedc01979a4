"""The parameters of a notebook: read from a file and the command line, and compared with what its cell declares."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.nearest import nearest_names

_WORDS = {"true": True, "false": False, "null": None, "none": None}


def read_file(file: Path | None) -> dict[str, Any]:
    """Return the parameters of a JSON or YAML file; none of no file.

    Raises:
        DerivaMLConfigurationError: it cannot be read as parameters.
    """
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise DerivaMLConfigurationError(f"{file} cannot be read as JSON or YAML: {error}") from error
    if not isinstance(found, dict | None):
        raise DerivaMLConfigurationError(f"{file} holds no parameters: it should be a mapping of names to values.")
    return found or {}


def check_names(names: Collection[Any]) -> None:
    """Refuse names that no variable can have.

    Raises:
        DerivaMLConfigurationError: it names the first.
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise DerivaMLConfigurationError(f"A parameter is a variable of the notebook: {name!r} cannot be its name.")


def check_declared(names: Collection[str], declared: Mapping[str, Any], notebook: str) -> None:
    """Refuse parameters that the notebook's cell does not declare; a notebook that declares nothing takes any.

    Raises:
        DerivaMLConfigurationError: it names each, and the nearest right ones.
    """
    wrong = [name for name in names if name not in declared] if declared else []
    if wrong:
        raise DerivaMLConfigurationError(
            f"{notebook} declares no parameter {'; '.join(_with_nearest(name, declared) for name in wrong)}. "
            f"Its cell tagged `parameters` declares {', '.join(declared)}."
        )


def _with_nearest(name: str, declared: Collection[str]) -> str:
    near = " or ".join(repr(each) for each in nearest_names(name, declared))
    return f"{name!r} (did you mean {near}?)" if near else repr(name)


def values(pairs: Sequence[tuple[str, str]], defaults: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed on the command line as values; ``defaults`` are the source texts of the declared ones.

    Where the notebook's own default is a text, what was typed is one: an RID like 1E5 is no number.

    Example:
        >>> values([("sweep", "1E5"), ("rate", "1e-3")], {"sweep": "''", "rate": "0.1"})
        {'sweep': '1E5', 'rate': 0.001}
    """
    return {name: text if _is_text(defaults.get(name, "")) else value_of(text) for name, text in pairs}


def _is_text(source: str) -> bool:
    try:
        return isinstance(ast.literal_eval(source), str)
    except (ValueError, SyntaxError):
        return False


def value_of(text: str) -> Any:
    """Return a value typed on the command line: a number, true, false, null, a list or mapping in brackets, else the text.

    Example:
        >>> value_of("1e-3"), value_of("true"), value_of("[1, 2]"), value_of("no"), value_of("12:30"), value_of("'7'")
        (0.001, True, [1, 2], 'no', '12:30', '7')
    """
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return _bracketed(text) if word[:1] in tuple("[{'\"") else text


def _bracketed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def for_catalog(host: str | None, catalog: str | None, declared: Collection[str]) -> dict[str, str]:
    """Return the parameters that ``--host`` and ``--catalog`` mean to a notebook that declares such.

    Example:
        >>> for_catalog("data.example.org", "1", ["host", "threshold"])
        {'host': 'data.example.org'}
    """
    meant = {"host": host, "hostname": host, "catalog": catalog, "catalog_id": catalog}
    return {name: value for name, value in meant.items() if value is not None and name in declared}
