"""Which folder is the workspace of a catalog: one for each catalog, by whatever address it is opened.

A server gets another port, the catalog of a folder is served: the runs that wait stay its own. And an address that leads to
another catalog than yesterday gets another folder, so that nothing is ever sent to the wrong one. ``addresses.json`` keeps
which address led to which catalog when it was opened online last.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml.catalog.identity import identity_of
from deriva_ml.catalog.schema_cache import NAME, read_cache
from deriva_ml.catalog.session import Catalog
from deriva_ml.files import locked, make_folder
from deriva_ml.settings import workspace_folder

log = logging.getLogger(__name__)

INDEX = "addresses.json"


def folder_online(home: Path, catalog: Catalog) -> Path:
    """Return the folder of an open catalog's workspace, and note that its address leads there."""
    named = workspace_folder(home, catalog.host, catalog.catalog_id)
    if not catalog.identity:
        return named
    address = _address(catalog.host, catalog.catalog_id)
    known = _index(named).get(address, {})
    if known.get("catalog") == catalog.identity:
        return named.with_name(known["folder"])
    try:
        return _noted(named, address, catalog.identity)
    except OSError as error:
        log.warning("%s cannot be written, so %s cannot be opened offline: %s", named.with_name(INDEX), address, error)
        return _folder_of(catalog.identity, _index(named), named)


def _noted(named: Path, address: str, identity: str) -> Path:
    make_folder(named.parent)
    with locked(named.with_name(f"{INDEX}.lock")):
        index = _index(named)
        folder = _folder_of(identity, index, named)
        _write(named.with_name(INDEX), {**index, address: {"catalog": identity, "folder": folder.name}})
    return folder


def folder_offline(home: Path, host: str, catalog_id: str) -> tuple[Path, str]:
    """Return the folder of the workspace to which an address led last, and which catalog it was; "" where none is known."""
    named = workspace_folder(home, host, catalog_id)
    known = _index(named).get(_address(host, catalog_id))
    return (named, "") if known is None else (named.with_name(known["folder"]), known["catalog"])


def _folder_of(identity: str, index: Mapping[str, Any], named: Path) -> Path:
    """Return the folder of the catalog's own workspace; a new one is ``named``, unless that is another catalog's."""
    for known in index.values():
        if known["catalog"] == identity:
            return named.with_name(known["folder"])
    owners = {cache.parent: _owner(cache) for cache in sorted(named.parent.glob(f"*/{NAME}"))}
    if owners.get(named) not in (None, "", identity):
        named = named.with_name(f"{named.name}__{identity[:8]}")
    return next((folder for folder, owner in owners.items() if owner == identity), named)


def _index(named: Path) -> dict[str, dict[str, str]]:
    """Return what is known of each address; what says nothing of use, or leads to no workspace that is there, is as if it were not known."""
    there = [path.name for path in named.parent.glob("*") if path.is_dir()]
    return {
        address: known
        for address, known in read_cache(named.with_name(INDEX)).items()
        if isinstance(known, dict) and isinstance(known.get("catalog"), str) and known.get("folder") in there
    }


def _owner(cache: Path) -> str:
    kept = read_cache(cache)
    return identity_of(kept.get("schema") or {}, kept.get("catalog_id", ""))


def _address(host: str, catalog_id: str) -> str:
    return f"{host}/{catalog_id}"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    beside.write_text(json.dumps(content, indent=1), "utf-8")
    beside.replace(path)
