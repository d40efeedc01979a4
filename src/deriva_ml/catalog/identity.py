"""Which catalog it is, by whatever address it is reached: a uuid among its annotations, from its installation, with its id.

The id tells a catalog from its clone on the same server, which may have the same annotations.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

PROVENANCE_TAG = "tag:deriva-ml.org,2025:catalog-provenance"
"""The annotation of a catalog that says how it was made, and which one it is."""
_NAMES = uuid.UUID("6d3b8f0e-6a53-4a0c-9c1b-1f1f5f0f9a54")


def identity_of(document: Mapping[str, Any], catalog_id: str) -> str:
    """Return which catalog it is that says this of itself, or whose model does; "" for one that has no uuid."""
    found = uuid_of(document)
    return f"{found}/{catalog_id}" if found else ""


def uuid_of(document: Mapping[str, Any]) -> str:
    """Return the uuid that a catalog or its model names; "" for one that has none."""
    note = (document.get("annotations") or {}).get(PROVENANCE_TAG)
    found = note.get("uuid") if isinstance(note, Mapping) else None
    return found if isinstance(found, str) else ""


def uuid_from(first_row: Mapping[str, Any]) -> str:
    """Return the uuid for a catalog whose first row of deriva-ml's own is ``first_row``: all who install it come to the same."""
    return str(uuid.uuid5(_NAMES, f"{first_row['RID']} {first_row['RCT']}"))
