"""The right override closest to a wrong one. A law: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

MOST = 3
ADDED = ("experiment", "multirun", "script_config")
"""What no default names: it is chosen with a plus."""


def keys_of(config: Any, place: str = "") -> Iterator[str]:
    """Yield every key that can be overridden, with dots.

    Example:
        >>> list(keys_of({"model_config": {"lr": 0.1, "_target_": "m.f"}}))
        ['model_config', 'model_config.lr']
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if not str(key).startswith("_"):
                inside = f"{place}.{key}" if place else str(key)
                yield inside
                yield from keys_of(value, inside)


def nearest_keys(wrong: str, known: Iterable[str]) -> list[str]:
    """Return the keys most like a wrong one; the last part counts most, because the first is what people leave out.

    Example:
        >>> nearest_keys("epocs", ["model_config.epochs", "model_config.lr", "description"])
        ['model_config.epochs']
    """
    last = wrong.rpartition(".")[2]
    scores = {key: max(_alike(wrong, key), 0.95 * _alike(last, key.rpartition(".")[2])) for key in known}
    least = max(0.6, 0.85 * max(scores.values(), default=0.0))
    return sorted((key for key, score in scores.items() if score >= least), key=lambda key: -scores[key])[:MOST]


def nearest_names(wrong: str, known: Iterable[str]) -> list[str]:
    """Return the names most like a wrong one.

    Example:
        >>> nearest_names("quik", ["quick", "default_model"])
        ['quick']
    """
    return get_close_matches(wrong, list(known), n=MOST, cutoff=0.5)


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def suggestion(override: str, options: Mapping[str, Iterable[str]], keys: Iterable[str]) -> str | None:
    """Return what to write instead of a wrong override, None when nothing is wrong with it or nothing is like it.

    Example:
        >>> suggestion("model_config=quik", {"model_config": ["quick", "default_model"]}, [])
        'model_config=quick'
        >>> suggestion("epocs=3", {}, ["model_config.epochs"])
        'model_config.epochs=3'
        >>> suggestion("dataset=smal", {"datasets": ["small", "default_dataset"]}, ["datasets"])
        'datasets=small'
    """
    key, _, value = override.partition("=")
    sign = "+" if key.startswith("+") else ""
    name = key.lstrip("+~").partition("@")[0]
    if name in options:
        return _entry(name, value, list(options[name]), sign)
    known = list(keys)
    if name in known:
        return f"{name}={value}" if sign else None
    inside = [key for key in known if key not in options]
    meant = any(key.rpartition(".")[2] == name for key in inside)
    near = ([] if "." in name or meant else nearest_names(name, options)) or nearest_keys(name, inside)
    written = [_written(each, value, options) for each in near[:MOST]]
    return " or ".join(dict.fromkeys(written)) or None


def _entry(group: str, value: str, names: list[str], sign: str) -> str | None:
    wanted = "+" if group in ADDED else ""
    if value in names:
        return f"{wanted}{group}={value}" if sign != wanted else None
    near = nearest_names(value, names) or sorted(names)[:MOST]
    return " or ".join(f"{wanted}{group}={name}" for name in near)


def _written(key: str, value: str, options: Mapping[str, Iterable[str]]) -> str:
    return f"{key}={value}" if key not in options else _entry(key, value, list(options[key]), "") or f"{key}={value}"
