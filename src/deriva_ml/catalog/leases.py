"""RIDs reserved before the rows are written, under tokens of our own, so that a crash loses no RID and repeats none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.names import TableName

LEASES = TableName("public", "ERMrest_RID_Lease")
BATCH = 500


def lease(catalog: Catalog, tokens: Sequence[str]) -> dict[str, str]:
    """Return a RID for each token; asking again for the same tokens returns the same RIDs.

    Raises:
        DerivaMLServerError, DerivaMLOfflineError: the catalog did not answer; ask again with the same tokens.
    """
    leased: dict[str, str] = {}
    for part in _parts(list(dict.fromkeys(tokens))):
        rows = insert(catalog, LEASES, [{"ID": token} for token in part], skip_conflicts=True)
        leased |= {row["ID"]: row["RID"] for row in rows}
        known = [token for token in part if token not in leased]
        if known:
            leased |= {row["ID"]: row["RID"] for row in select(catalog, LEASES, {"ID": known})}
    return leased


def _parts(tokens: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(tokens), BATCH):
        yield tokens[start : start + BATCH]
