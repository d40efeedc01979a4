"""Claiming a sealed bag in the catalog: one receipt per bag says which RID each of its assets has, for every loader.

The receipt is an ``Execution_Metadata`` asset whose address holds the bag's uuid: the unique key lets one loader make it,
and all others read it. RIDs are leased under tokens made of the bag's uuid, so that a loader that died before the receipt
was written, and the next one, come to the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml.catalog import objects
from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.enums import ExecMetadataType
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.files import hash_file, make_folder, write_whole
from deriva_ml.names import TableName

FORMAT = 2
TABLE = "Execution_Metadata"


def claim(
    session: Catalog, bag: str, execution: str, tokens: Mapping[str, str], folder: Path
) -> tuple[dict[str, str], Entry]:
    """Return the RIDs of the bag's local ids, and the receipt as an entry that the commit links to the execution.

    ``tokens`` are the local ids, each with the token of its lease. ``folder`` is the execution's own; the receipt lies in
    its ``sealed`` folder afterwards.

    Raises:
        DerivaMLIntegrityError: there is a receipt for this bag that says something else.
        DerivaMLException: the catalog cannot be reached, or refuses.
    """
    make_folder(folder / "sealed")
    path = folder / "sealed" / f"receipt-{bag}.json"
    url, table = objects.object_path(TABLE, f"bag-{bag}.json"), TableName(session.ml_schema, TABLE)
    rows = select(session, table, {"URL": url}, columns=["RID", "MD5"])
    if rows:
        objects.get(session, url, path, md5=rows[0]["MD5"])
    else:
        write_whole(path, _content(bag, execution, _leased(session, {"receipt": f"{bag}/receipt", **tokens})))
    rids = _read(path, bag, execution)
    receipt = _entry(path, session.ml_schema, bag, url, rids.pop("receipt"))
    if missing := tokens.keys() - rids.keys():
        raise DerivaMLIntegrityError(
            f"The catalog's receipt of the sealed bag {bag} does not know {sorted(missing)[0]}."
        )
    if not rows:
        _send(session, table, receipt, path)
    return rids, receipt


def _leased(session: Catalog, tokens: Mapping[str, str]) -> dict[str, str]:
    leased = lease(session, list(tokens.values()))
    return {name: leased[token] for name, token in tokens.items()}


def _content(bag: str, execution: str, rids: Mapping[str, str]) -> bytes:
    document = {"format": FORMAT, "bag": bag, "execution": execution, "rids": dict(sorted(rids.items()))}
    return json.dumps(document, indent=1).encode()


def _read(path: Path, bag: str, execution: str) -> dict[str, str]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    if (document.get("bag"), document.get("execution")) != (bag, execution):
        raise DerivaMLIntegrityError(
            f"The catalog's receipt of the sealed bag {bag} is one of another bag: {document.get('bag')}."
        )
    return dict(document["rids"])


def _entry(path: Path, schema: str, bag: str, url: str, rid: str) -> Entry:
    digest = hash_file(path)
    name = f"sealed/{path.name}"
    return Entry(
        key=f"{TABLE}/{rid}/bag-{bag}.json",
        schema=schema,
        table=TABLE,
        file_name=f"bag-{bag}.json",
        mode=Mode.RECORD,
        staged=name,
        asset_types=(str(ExecMetadataType.deriva_config),),
        description="Receipt of a sealed bag: the RIDs of its assets",
        state=EntryState.SEALED,
        sealed=name,
        md5=digest.md5,
        sha256=digest.sha256,
        length=digest.length,
        rid=rid,
        url=url,
    )


def _send(session: Catalog, table: TableName, receipt: Entry, path: Path) -> None:
    """Make the receipt known; two that do so at once write the same, as their leases are the same."""
    objects.put(
        session,
        receipt.url or "",
        path,
        md5=receipt.md5 or "",
        sha256=receipt.sha256 or "",
        length=receipt.length or 0,
        content_type="application/json",
        filename=receipt.file_name,
    )
    row = {
        "RID": receipt.rid,
        "URL": receipt.url,
        "Filename": receipt.file_name,
        "Length": receipt.length,
        "MD5": receipt.md5,
        "Description": receipt.description,
    }
    insert(session, table, [row], given={"RID"}, skip_conflicts=True)
