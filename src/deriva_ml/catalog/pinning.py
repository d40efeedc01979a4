"""The kept model against the live one: what differs, and a pin that keeps the kept one as it is.

A pin is for whoever works offline by a model that is not to change under their hands. Online sessions always work with
the live model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deriva_ml.catalog.schema_cache import NAME, keep, read_cache, write_cache
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import iso, now
from deriva_ml.errors import DerivaMLSchemaPinned, DerivaMLValidationError


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """What the live model has that the kept one has not, and the other way round; tables as ``schema:table``, columns with ``.name``."""

    added_tables: tuple[str, ...] = ()
    removed_tables: tuple[str, ...] = ()
    added_columns: tuple[str, ...] = ()
    removed_columns: tuple[str, ...] = ()
    changed_columns: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        parts = [(each.name.replace("_", " "), getattr(self, each.name)) for each in fields(self)]
        return "; ".join(f"{name}: {', '.join(those)}" for name, those in parts if those) or "no difference"


@dataclass(frozen=True, slots=True)
class PinStatus:
    """Whether the kept model is pinned; since when, why, and at which snapshot of the catalog."""

    pinned: bool
    pinned_at: str | None = None
    pin_reason: str | None = None
    pinned_snapshot_id: str | None = None


def compare(kept: Mapping[str, Any], live: Mapping[str, Any]) -> SchemaDiff:
    """Return how the model document ``live`` differs from ``kept``."""
    before, after = _tables(kept), _tables(live)
    shared = [(name, before[name], after[name]) for name in before if name in after]
    return SchemaDiff(
        added_tables=tuple(sorted(after.keys() - before.keys())),
        removed_tables=tuple(sorted(before.keys() - after.keys())),
        added_columns=tuple(sorted(f"{name}.{each}" for name, old, new in shared for each in new.keys() - old.keys())),
        removed_columns=tuple(
            sorted(f"{name}.{each}" for name, old, new in shared for each in old.keys() - new.keys())
        ),
        changed_columns=tuple(
            sorted(f"{name}.{each}" for name, old, new in shared for each in old.keys() & new if old[each] != new[each])
        ),
    )


def _tables(document: Mapping[str, Any]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return the columns of every table, each with its type and whether it may be empty."""
    return {
        f"{schema}:{name}": {
            each["name"]: (each["type"]["typename"], each.get("nullok", True)) for each in table["column_definitions"]
        }
        for schema, content in document["schemas"].items()
        for name, table in content["tables"].items()
    }


def pin_status(workspace: Path) -> PinStatus:
    """Return whether the kept model is pinned."""
    pin = read_cache(workspace / NAME).get("pin")
    return PinStatus(True, **pin) if pin else PinStatus(False)


def diff_schema(catalog: Catalog, workspace: Path) -> SchemaDiff:
    """Return how the catalog's model differs from the kept one.

    Raises:
        DerivaMLOfflineError: the session is offline, or the catalog does not answer.
    """
    catalog.latest_snapshot()
    return compare(read_cache(workspace / NAME)["schema"], catalog.refresh().document)


def pin_schema(catalog: Catalog, workspace: Path, reason: str) -> SchemaDiff | None:
    """Keep the kept model as it is until :func:`unpin_schema`; return how it differs from the live one, None if not at all.

    Raises:
        DerivaMLValidationError: no reason is given.
    """
    if not reason.strip():
        raise DerivaMLValidationError("Say why the schema is pinned: whoever meets the pin wants to know.")
    difference = diff_schema(catalog, workspace)
    kept = read_cache(workspace / NAME)
    pin = {"pinned_at": iso(now()), "pin_reason": reason, "pinned_snapshot_id": kept.get("snapshot_id")}
    write_cache(workspace / NAME, {**kept, "pin": pin})
    return difference or None


def unpin_schema(catalog: Catalog, workspace: Path) -> None:
    """Let the kept model follow the catalog again, from now on; offline from the next online opening on."""
    kept = read_cache(workspace / NAME)
    if kept.pop("pin", None) is not None:
        write_cache(workspace / NAME, kept)
        if not catalog.offline:
            keep(catalog, workspace)


def refresh_schema(catalog: Catalog, workspace: Path, force: bool) -> None:
    """Read model and terms again, and keep them; with ``force`` in spite of a pin, which then pins what was read.

    Raises:
        DerivaMLSchemaPinned: the kept model is pinned.
        DerivaMLOfflineError: the session is offline, or the catalog does not answer.
    """
    catalog.latest_snapshot()
    pin = pin_status(workspace)
    if not pin.pinned:
        keep(catalog, workspace)
        return
    if not force:
        raise DerivaMLSchemaPinned(
            f"The schema is pinned since {pin.pinned_at} ({pin.pin_reason}): `ml.unpin_schema()` lets it go, `force=True` reads it anyway."
        )
    unpin_schema(catalog, workspace)
    pin_schema(catalog, workspace, pin.pin_reason or "")
