"""``--host`` and ``--catalog`` as overrides of the configuration. A law: values in, values out."""

from __future__ import annotations


def catalog_overrides(host: str | None, catalog: str | None) -> list[str]:
    """Return the overrides that ``--host`` and ``--catalog`` mean."""
    given = {"hostname": host, "catalog_id": catalog}
    return [f"deriva_ml.{key}={quoted(value)}" for key, value in given.items() if value is not None]


def quoted(text: str) -> str:
    """Return a text as Hydra's overrides quote it.

    Example:
        >>> quoted("it's")
        "'it\\\\'s'"
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
