"""The second step of a commit: every sealed file gets its address and its RID, leased or that of an equal asset.

Addresses follow from content, so equal files of one table are one asset, however often and by whomever they are
committed.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.model import ASSET_TAG
from deriva_ml.catalog.objects import object_path
from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.execution.manifest import Entry
from deriva_ml.names import TableName, encode

_FACTS = re.compile(r"\{\{\{?(MD5|Filename)\}?\}\}")


def identify(session: Catalog, entries: Sequence[Entry]) -> list[Entry]:
    """Return the sealed entries with their addresses and RIDs, in order; the caller writes them down before using them.

    Raises:
        DerivaMLIntegrityError: the catalog describes other bytes under one of these addresses.
    """
    addressed = [entry if entry.url else replace(entry, url=address(session, entry)) for entry in entries]
    known = _known(session, addressed)
    rids = dict(known)
    for entry in addressed:  # a retry keeps what it has leased
        if entry.rid and (entry.schema, entry.table, entry.url or "") not in rids:
            rids[entry.schema, entry.table, entry.url or ""] = entry.rid
    missing = list(
        dict.fromkeys(
            place for entry in addressed if (place := (entry.schema, entry.table, entry.url or "")) not in rids
        )
    )
    tokens = [str(uuid.uuid4()) for _ in missing]
    leased = lease(session, tokens) if tokens else {}
    rids |= {place: leased[token] for place, token in zip(missing, tokens, strict=True)}
    return [_identified(entry, rids, known) for entry in addressed]


def _identified(entry: Entry, rids: dict[tuple[str, str, str], str], known: dict[tuple[str, str, str], str]) -> Entry:
    place = (entry.schema, entry.table, entry.url or "")
    rid = rids[place]
    return replace(entry, rid=rid, reused=entry.reused or (place in known and entry.rid != rid))


def _known(session: Catalog, entries: Sequence[Entry]) -> dict[tuple[str, str, str], str]:
    """Return the RIDs of the assets that the catalog has already, by table and address."""
    by_table: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        by_table[entry.schema, entry.table].append(entry)
    found: dict[tuple[str, str, str], str] = {}
    for (schema, table), group in by_table.items():
        wanted = {entry.url or "": entry for entry in group}
        for row in read_by_url(session, TableName(schema, table), wanted):
            _check_same(row, wanted[row["URL"]])
            found[schema, table, row["URL"]] = row["RID"]
    return found


def read_by_url(session: Catalog, table: TableName, urls: Iterable[str]) -> list[Row]:
    """Return the assets of a table at these addresses, in bulk."""
    return select(session, table, {"URL": list(urls)}, columns=["RID", "URL", "MD5", "Length"])


def _check_same(row: Row, entry: Entry) -> None:
    if row["MD5"] != entry.md5 or row["Length"] != entry.length:
        raise DerivaMLIntegrityError(
            f"The catalog's asset {row['RID']} at {row['URL']} has MD5 {row['MD5']} and {row['Length']} bytes; {entry.label} has "
            f"MD5 {entry.md5} and {entry.length} bytes."
        )


def address(session: Catalog, entry: Entry) -> str:
    """Return the address of the entry's bytes in the object store, as its table's pattern says, else named by table and content."""
    facts = {"MD5": entry.md5 or "", "Filename": encode(entry.file_name)}
    filled = _FACTS.sub(lambda fact: facts[fact[1]], _pattern(session, TableName(entry.schema, entry.table)))
    if "{{" in filled or not filled.startswith("/hatrac/"):
        return object_path(entry.table, f"{entry.md5}.{entry.file_name}")
    return quote(filled, safe="/:%")


def _pattern(session: Catalog, name: TableName) -> str:
    """Return the pattern of addresses that the table's URL column is annotated with; empty when there is none."""
    columns = session.model().document["schemas"][name.schema]["tables"][name.name]["column_definitions"]
    for column in columns:
        annotation = (column.get("annotations") or {}).get(ASSET_TAG)
        if isinstance(annotation, dict) and annotation.get("url_pattern"):
            return str(annotation["url_pattern"])
    return ""
