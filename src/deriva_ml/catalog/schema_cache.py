"""What is known of a catalog while it is away: ``schema-cache.json``, written at each online opening, read offline.

It holds the model, and the terms of the vocabularies that staging asks for: types of assets and workflows, and those of
the users' own schemas. Only what has changed is read again.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deriva_ml.catalog.identity import identity_of
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import COLUMNS, Term, read_term
from deriva_ml.enums import MLVocab
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLOfflineError
from deriva_ml.names import TableName

log = logging.getLogger(__name__)

NAME = "schema-cache.json"
ADDED = "schema-cache.terms.jsonl"


def keep(catalog: Catalog, workspace: Path) -> None:
    """Write down what a session that opens offline has to know; what cannot be read or written is logged.

    The session has the model afterwards, and need not ask for it again.
    """
    path = workspace / NAME
    catalog.kept_terms = partial(kept_terms, workspace)
    before = read_cache(path)
    if before.get("schema") and _same_catalog(before, catalog):
        catalog.know(before["schema"], before.get("etag", ""))
    catalog.refresh()
    if before.get("pin"):
        return
    now = _document(catalog)
    if _without_place(now) == _without_place(before):
        return
    now = {"snapshot_id": catalog.latest_snapshot(), **now}
    write_cache(path, now)
    (workspace / ADDED).unlink(missing_ok=True)


def keep_model(catalog: Catalog, workspace: Path) -> None:
    """Write down the model that this session has just changed, and the vocabularies that are new in it."""
    before = read_cache(workspace / NAME)
    catalog.refresh()
    if before.get("pin"):
        return
    known = {(each["schema"], each["table"]): each for each in before.get("terms", ())}
    known.pop((catalog.ml_schema, MLVocab.asset_type), None)  # a new asset table comes with a type of its name
    write_cache(workspace / NAME, {"snapshot_id": catalog.latest_snapshot(), **_document(catalog, known)})


def keep_term(workspace: Path, vocabulary: TableName, term: Term) -> None:
    """Write down a term that this session has just added: one line more, as terms are added by the hundred."""
    line = {"schema": vocabulary.schema, "table": vocabulary.name, "terms": [_described(term)]}
    try:
        with (workspace / ADDED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        log.warning("%s is not known offline until the next online opening: %s", term.name, error)


def recall(catalog: Catalog, workspace: Path, identity: str = "") -> None:
    """Give an offline session what an online opening has kept; ``identity`` is the catalog to which its address led then.

    Raises:
        DerivaMLOfflineError: nothing was kept, or that of another catalog.
    """
    path = workspace / NAME
    kept = read_cache(path)
    if not kept.get("schema"):
        raise DerivaMLOfflineError(
            f"Nothing is known of catalog {catalog.catalog_id} of {catalog.host} while it is away: {path} is missing or cannot be read. "
            "Open it online once, with the same working_dir."
        )
    catalog.identity = identity
    if not _same_catalog(kept, catalog):
        raise DerivaMLOfflineError(
            f"{path} describes catalog {kept.get('catalog_id')} of {kept.get('hostname')} (schema {kept.get('ml_schema')}), not catalog "
            f"{catalog.catalog_id} of {catalog.host} (schema {catalog.ml_schema}). Open this one online once."
        )
    catalog.identity = identity_of(kept["schema"], kept.get("catalog_id", ""))
    catalog.know(kept["schema"], kept.get("etag", ""))
    catalog.remembered["terms"] = kept_terms(workspace)


def kept_terms(workspace: Path) -> dict[TableName, dict[str, Term]]:
    """Return the terms that are written down, by vocabulary and name."""
    known: dict[TableName, dict[str, Term]] = {}
    for each in (*read_cache(workspace / NAME).get("terms", ()), *_added(workspace)):
        read = [Term(**{**row, "synonyms": tuple(row["synonyms"])}) for row in each["terms"]]
        known.setdefault(TableName(each["schema"], each["table"]), {}).update({term.name: term for term in read})
    return known


def _document(catalog: Catalog, known: Mapping[tuple[str, str], Any] = MappingProxyType({})) -> dict[str, Any]:
    return {
        "hostname": catalog.host,
        "catalog_id": catalog.catalog_id,
        "ml_schema": catalog.ml_schema,
        "etag": catalog.model_etag,
        "terms": list(_terms(catalog, known)),
        "schema": dict(catalog.model().document),
    }


def _terms(catalog: Catalog, known: Mapping[tuple[str, str], Any]) -> Iterator[dict[str, Any]]:
    """Yield the terms of the vocabularies that staging asks for; those that are known are not read again."""
    wanted = {TableName(catalog.ml_schema, name) for name in (MLVocab.asset_type, MLVocab.workflow_type)}
    for table in catalog.model().vocabularies():
        if (place := (table.name.schema, table.name.name)) in known:
            yield known[place]
        elif table.name in wanted or table.name.schema != catalog.ml_schema:
            try:
                rows = select(catalog, table.name, columns=COLUMNS, sort=["Name"])
            except DerivaMLCatalogError as error:
                log.info("The terms of %s are not known offline: %s", table.name, error)
                continue
            found = [_described(read_term(row)) for row in rows]
            yield {"schema": table.name.schema, "table": table.name.name, "terms": found}


def _described(term: Term) -> dict[str, Any]:
    return {**asdict(term), "synonyms": list(term.synonyms)}


def _added(workspace: Path) -> Iterator[dict[str, Any]]:
    """Yield the terms added since the last online opening; a line that was cut is the last one, and not yet one."""
    path = workspace / ADDED
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        if line.endswith("}"):
            yield json.loads(line)


def write_cache(path: Path, content: dict[str, Any]) -> None:
    """Write the file, whole to every reader; after a power cut it may be torn, and then it counts as missing."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        beside.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        beside.replace(path)
    except OSError as error:
        log.warning("%s cannot be written, so this catalog cannot be opened offline: %s", path, error)


def _same_catalog(kept: dict[str, Any], catalog: Catalog) -> bool:
    """Return whether what was kept is of this catalog, by its uuid; by its address where one of the two has none."""
    identity = identity_of(kept["schema"], kept.get("catalog_id", ""))
    if kept.get("ml_schema") != catalog.ml_schema or (identity and catalog.identity):
        return kept.get("ml_schema") == catalog.ml_schema and identity == catalog.identity
    return (kept.get("hostname"), kept.get("catalog_id")) == (catalog.host, catalog.catalog_id)


def _without_place(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a catalog, without when and by which address it was read."""
    return {name: value for name, value in document.items() if name not in ("snapshot_id", "hostname", "catalog_id")}


def read_cache(path: Path) -> dict[str, Any]:
    """Return what the file holds; nothing where it is missing or torn."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
