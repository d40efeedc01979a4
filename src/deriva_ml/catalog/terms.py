"""The terms of a vocabulary, read once and found by name or synonym."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import OUT_OF_REACH, DerivaMLInvalidTerm
from deriva_ml.names import TableName

COLUMNS = ("RID", "ID", "URI", "Name", "Description", "Synonyms")


@dataclass(frozen=True, slots=True)
class Term:
    """One term as the catalog has it."""

    name: str
    description: str
    synonyms: tuple[str, ...]
    id: str
    uri: str
    rid: str


def read_term(row: Row) -> Term:
    """Return the term that a row of a vocabulary holds."""
    synonyms = tuple(row["Synonyms"] or ())
    return Term(row["Name"], row["Description"] or "", synonyms, row["ID"], row["URI"], row["RID"])


def terms(catalog: Catalog, vocabulary: str | TableName, *, again: bool = False) -> dict[str, Term]:
    """Return the terms of ``vocabulary`` by name, in order of their names; read from the catalog once, or ``again``.

    Offline those that were kept stay as they are.

    Raises:
        DerivaMLTableNotFound, DerivaMLTableTypeError: it is no vocabulary.
    """
    table = catalog.model().find_vocabulary(vocabulary).name
    known: dict[TableName, dict[str, Term]] = catalog.remembered.setdefault("terms", {})
    if table not in known or (again and not catalog.offline):
        known[table] = _read(catalog, table)
    return known[table]


def _read(catalog: Catalog, table: TableName) -> dict[str, Term]:
    """Return the terms that the catalog has; where it cannot be reached, those that were known before: a run goes on."""
    try:
        rows = select(catalog, table, columns=COLUMNS, sort=["Name"])
    except OUT_OF_REACH:
        before: dict[str, Term] | None = catalog.remembered["terms"].get(table) or catalog.kept_terms().get(table)
        if before is None:
            raise
        return before
    return {row["Name"]: read_term(row) for row in rows}


def forget_terms(catalog: Catalog, vocabulary: str | TableName | None = None) -> None:
    """Read the terms of ``vocabulary``, or of all of them, anew when they are asked for next; offline nothing newer is known."""
    if catalog.offline:
        return
    known: dict[TableName, dict[str, Term]] = catalog.remembered.setdefault("terms", {})
    if vocabulary is None:
        known.clear()
    else:
        known.pop(catalog.model().find_vocabulary(vocabulary).name, None)


def find_term(catalog: Catalog, vocabulary: str | TableName, name: str) -> Term:
    """Return the term called ``name``, or that has the synonym ``name``.

    Raises:
        DerivaMLInvalidTerm: there is none; the message lists names like it.
    """
    for again in (False,) if catalog.offline else (False, True):
        found = terms(catalog, vocabulary, again=again)
        term = found.get(name) or next((one for one in found.values() if name in one.synonyms), None)
        if term is not None:
            return term
    raise _unknown(catalog.model().find_vocabulary(vocabulary).name.name, name, found)


def check_terms(catalog: Catalog, vocabulary: str | TableName, names: Iterable[str]) -> list[str]:
    """Return the proper names of the terms called ``names``, each once; raises as :func:`find_term` does."""
    return list(dict.fromkeys(find_term(catalog, vocabulary, str(name)).name for name in names))


def _unknown(vocabulary: str, name: str, known: dict[str, Term]) -> DerivaMLInvalidTerm:
    near = difflib.get_close_matches(str(name), known, 3, 0.5)
    hint = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    return DerivaMLInvalidTerm(
        vocabulary,
        name,
        f"{vocabulary} has no term {name!r}.{hint} `ml.list_vocabulary_terms({vocabulary!r})` lists the terms, "
        f"`ml.add_term({vocabulary!r}, {name!r}, description)` adds one.",
    )
