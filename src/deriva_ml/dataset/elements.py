"""Element types: the tables whose rows may be members of datasets."""

from __future__ import annotations

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLConflictError, DerivaMLTableTypeError
from deriva_ml.names import TableName, encode
from deriva_ml.schema.kinds import association, end


def list_element_types(session: Catalog) -> list[TableModel]:
    """Return the tables whose rows may be members, sorted by name."""
    model = session.model()
    return [model.find_table(name) for name in sorted(model.element_types())]


def add_element_type(session: Catalog, table: str | TableName) -> TableModel:
    """Let the rows of ``table`` be members of datasets; adding it again changes nothing.

    Raises:
        DerivaMLTableNotFound: there is no such table.
        DerivaMLTableTypeError: the table is a vocabulary or only joins others, so its rows are not things to collect.
    """
    element = session.model().find_table(table)
    if element.name in session.model().element_types():
        return element
    if element.is_vocabulary or element.is_association(most=None):
        raise DerivaMLTableTypeError("table of things", element.name.name, _unfit(element))
    schema = element.name.schema if element.name.schema != session.ml_schema else session.default_schema
    name = f"Dataset_{element.name.name}"
    ends = [end("Dataset", TableName(session.ml_schema, "Dataset")), end(element.name.name, element.name)]
    definition = association(name, ends, comment=f"The rows of {element.name.name} that are members of datasets.")
    try:
        session.request("POST", f"/schema/{encode(schema)}/table", json=definition.document(schema))
    except DerivaMLConflictError:
        if element.name not in session.refresh().element_types():  # not just somebody else who was faster
            raise
    session.refresh()
    return element


def _unfit(element: TableModel) -> str:
    kind = "a vocabulary" if element.is_vocabulary else "a table that only joins others"
    return f"{element.name.name} is {kind}: its rows cannot be members of a dataset."
