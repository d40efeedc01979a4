"""Vocabularies: terms added, found, described and taken away."""

from __future__ import annotations

from collections.abc import Iterable

from deriva_ml.catalog.rows import count, delete, insert, update
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import Term, find_term, forget_terms, terms
from deriva_ml.errors import DerivaMLDataError, DerivaMLInvalidTerm, DerivaMLValidationError
from deriva_ml.names import TableName


class VocabularyTermHandle:
    """A term of a vocabulary. Assigning ``description`` or ``synonyms`` writes to the catalog."""

    def __init__(self, catalog: Catalog, table: TableName, term: Term) -> None:
        self._catalog = catalog
        self._table = table
        self._term = term

    @property
    def vocabulary(self) -> TableName:
        """The table that the term is in."""
        return self._table

    @property
    def term(self) -> Term:
        """The term as a value."""
        return self._term

    @property
    def name(self) -> str:
        return self._term.name

    @property
    def id(self) -> str:
        return self._term.id

    @property
    def uri(self) -> str:
        return self._term.uri

    @property
    def rid(self) -> str:
        return self._term.rid

    @property
    def description(self) -> str:
        return self._term.description

    @description.setter
    def description(self, text: str) -> None:
        self._write("Description", text)

    @property
    def synonyms(self) -> tuple[str, ...]:
        return self._term.synonyms

    @synonyms.setter
    def synonyms(self, names: Iterable[str]) -> None:
        self._write("Synonyms", _synonyms(names))

    def delete(self) -> None:
        """Take the term away; raises as :func:`delete_term` does."""
        delete_term(self._catalog, self._table, self.name)

    def _write(self, column: str, value: object) -> None:
        if not update(self._catalog, self._table, [{"RID": self.rid, column: value}], targets=[column]):
            raise DerivaMLInvalidTerm(
                self._table.name, self.name, f"The term {self.name!r} is no longer in {self._table}."
            )
        forget_terms(self._catalog, self._table)
        self._term = find_term(self._catalog, self._table, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VocabularyTermHandle) and (self._table, self._term) == (other._table, other._term)

    def __hash__(self) -> int:
        return hash((self._table, self.rid))

    def __repr__(self) -> str:
        return f"VocabularyTermHandle({self._table.name}: {self.name!r}, {self.rid})"


def add_term(
    catalog: Catalog,
    table: str | TableName,
    term_name: str,
    description: str,
    synonyms: Iterable[str] | None = None,
    exists_ok: bool = True,
) -> VocabularyTermHandle:
    """Add a term and return it; with ``exists_ok`` a term that is there already is returned as it is.

    Raises:
        DerivaMLTableNotFound, DerivaMLTableTypeError: ``table`` is no vocabulary.
        DerivaMLInvalidTerm: the term exists, and ``exists_ok`` is false.
        DerivaMLValidationError: the name is empty, or the synonyms are not texts.
    """
    vocabulary = catalog.model().find_vocabulary(table).name
    if not isinstance(term_name, str) or not term_name.strip():
        raise DerivaMLValidationError(f"A term of {vocabulary.name} needs a name, not {term_name!r}.")
    row = {"Name": term_name, "Description": description, "Synonyms": _synonyms(synonyms or ())}
    added = insert(catalog, vocabulary, [row], skip_conflicts=True)
    if not added and not exists_ok:
        raise DerivaMLInvalidTerm(vocabulary.name, term_name, f"{vocabulary.name} has a term {term_name!r} already.")
    if added:
        forget_terms(catalog, vocabulary)
    return lookup_term(catalog, vocabulary, term_name)


def lookup_term(catalog: Catalog, table: str | TableName, name: str) -> VocabularyTermHandle:
    """Return the term called ``name``, or that has this synonym.

    Raises:
        DerivaMLTableNotFound, DerivaMLTableTypeError: ``table`` is no vocabulary.
        DerivaMLInvalidTerm: it has no such term.
    """
    vocabulary = catalog.model().find_vocabulary(table).name
    return VocabularyTermHandle(catalog, vocabulary, find_term(catalog, vocabulary, name))


def list_vocabulary_terms(catalog: Catalog, table: str | TableName) -> list[VocabularyTermHandle]:
    """Return all terms, in order of their names, as they are now; raises as :func:`lookup_term` does."""
    vocabulary = catalog.model().find_vocabulary(table).name
    return [VocabularyTermHandle(catalog, vocabulary, term) for term in terms(catalog, vocabulary, again=True).values()]


def delete_term(catalog: Catalog, table: str | TableName, name: str) -> None:
    """Take a term away that nothing uses: one request for each column, of any table, that could.

    Raises:
        DerivaMLInvalidTerm: there is no such term.
        DerivaMLDataError: rows use it; the message says how many and where.
    """
    vocabulary = catalog.refresh().find_vocabulary(table).name
    term = find_term(catalog, vocabulary, name)
    value = {"Name": term.name, "ID": term.id, "URI": term.uri, "RID": term.rid}
    uses = {
        key.table: found
        for key in catalog.model().referencing(vocabulary)
        if (found := count(catalog, key.table, {key.column: value[key.target_columns[0]]}))
    }
    if uses:
        listing = ", ".join(f"{found} of {user.name}" for user, found in uses.items())
        raise DerivaMLDataError(
            f"The term {term.name!r} of {vocabulary.name} is used by rows ({listing}): change those first."
        )
    delete(catalog, vocabulary, {"RID": term.rid})
    forget_terms(catalog, vocabulary)


def _synonyms(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise DerivaMLValidationError(f"Synonyms are a list of names, not the text {names!r}.")
    return list(names)
