"""Which rows belong into the bag of a dataset: its members, what hangs on them, and what all of these refer to.

The walk goes along the model, table by table, never row by row: each reference between two tables that takes part is
followed with a number of requests that depends on the model, not on how many rows there are.

1. The dataset and those nested in it, with the rows that refer to them (types, versions, members' links).
2. The members, and downwards everything that refers to them: features, files of a subject, links to executions.
3. Upwards, what any of these rows refers to. Vocabularies come whole and lead nowhere; executions and workflows end
   the walk, so that a bag does not fan out through a run into all that the run touched.
4. Downwards from what was found upwards, but only into tables not met so far: an image brings its subject and the
   subject's records, not the subject's other images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from deriva_ml.catalog.model import CatalogModel, ForeignKeyModel, TableModel
from deriva_ml.catalog.rows import Row, conditions, pages
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.members import all_below, dataset_table, member_column
from deriva_ml.errors import DerivaMLTableNotFound
from deriva_ml.names import TableName, encode

FEW = 1000
"""Up to so many values are named in the address; more are reached by a join from where they came from."""
TERMINAL = ("Execution", "Workflow")


class Scope:
    """The rows found so far, by table and RID; ``routes`` are the addresses that brought them."""

    def __init__(self, session: Catalog, exclude: Collection[str] = ()) -> None:
        self.session = session
        self.model: CatalogModel = session.model()
        self.rows: dict[TableName, dict[str, Row]] = {}
        self._routes: dict[TableName, list[str]] = {}
        self._whole: set[TableName] = set()
        self._schemas = {session.ml_schema, *self.model.domain_schemas()}
        self._excluded = {self.model.find_table(name).name for name in exclude}
        self._terminal = {TableName(session.ml_schema, name) for name in TERMINAL}

    def fetch(self, table: TableName, addresses: Iterable[str]) -> bool:
        """Add the rows at ``addresses`` (below ``/entity/``, ending in ``table``); return whether any was new."""
        kept = self.rows.setdefault(table, {})
        grown = False
        for address in addresses:
            rows = pages(self.session, f"/entity/{address}")
            new = {row["RID"]: row for row in rows if row["RID"] not in kept}
            if new:
                kept |= new
                self._routes.setdefault(table, []).append(address)
                grown = True
        return grown

    def wants(self, table: TableName) -> bool:
        """Return whether rows of ``table`` may be in the bag."""
        return table.schema in self._schemas and table not in self._excluded

    # ---------------------------------------------------------------------------------------------------- single steps

    def down(self, key: ForeignKeyModel) -> bool:
        """Add the rows of ``key.table`` that refer to rows found; return whether any was new."""
        found = self.rows.get(key.target, {})
        if not found:
            return False
        return self.fetch(key.table, self._hop(key.target, found, key.target_columns, key.table, key.columns))

    def up(self, key: ForeignKeyModel) -> bool:
        """Add the rows that rows of ``key.table`` refer to and that are missing; return whether any was new."""
        target = key.target
        if not self.wants(target) or not self.rows.get(key.table):
            return False
        if self._table(target).is_vocabulary:
            return self._take_whole(target)
        known = {tuple(row[name] for name in key.target_columns) for row in self.rows.get(target, {}).values()}
        missing = {
            rid: row
            for rid, row in self.rows[key.table].items()
            if (value := tuple(row[name] for name in key.columns)) not in known and None not in value
        }
        if not missing:
            return False
        return self.fetch(target, self._hop(key.table, missing, key.columns, target, key.target_columns))

    def _take_whole(self, table: TableName) -> bool:
        if table in self._whole:
            return False
        self._whole.add(table)
        self.fetch(table, [table.path])
        return False  # a vocabulary leads nowhere, so nobody needs to go on from it

    def _hop(
        self,
        start: TableName,
        rows: dict[str, Row],
        columns: tuple[str, ...],
        end: TableName,
        end_columns: tuple[str, ...],
    ) -> list[str]:
        """Return the addresses that lead from ``rows`` of ``start`` to the rows of ``end`` with the same values."""
        values = {row[columns[0]] for row in rows.values() if row[columns[0]] is not None}
        if len(columns) == 1 and (len(values) <= FEW or start not in self._routes):
            return [f"{end.path}{part}" for part in conditions({end_columns[0]: sorted(values, key=str)})]
        left = ",".join(map(encode, columns))
        right = ",".join(f"{end.path}:{encode(name)}" for name in end_columns)
        return [f"{route}/({left})=({right})" for route in self._routes[start]]

    # ------------------------------------------------------------------------------------------------------ whole walks

    def down_from(self, cores: Iterable[TableName], *, only_new: bool) -> None:
        """Follow references downwards from ``cores``, each table once, those that are referred to before those that refer."""
        visited: set[TableName] = set()
        fixed = set(self.rows) if only_new else set()
        for table in self._downward_order(cores):
            visited.add(table)
            for key in self._downward(table):
                if key.table not in visited and key.table not in fixed:
                    self.down(key)

    def _downward(self, table: TableName) -> list[ForeignKeyModel]:
        """Return the references to ``table`` that are followed: not from other datasets' member links, not from runs."""
        if table in self._terminal or table == dataset_table(self.session) or self._table(table).is_vocabulary:
            return []
        return [
            key
            for key in self.model.referencing(table)
            if self.wants(key.table)
            and key.table not in self._terminal
            and not self._table(key.table).references_to(dataset_table(self.session))
        ]

    def _downward_order(self, cores: Iterable[TableName]) -> list[TableName]:
        """Return the tables below ``cores``, each after those that lead to it (references in a circle aside)."""
        done: dict[TableName, None] = {}
        entered: set[TableName] = set()
        stack: list[tuple[TableName, bool]] = [(core, False) for core in cores]
        while stack:
            table, left = stack.pop()
            if left:
                done[table] = None
            elif table not in entered:
                entered.add(table)
                stack.append((table, True))
                stack.extend((key.table, False) for key in self._downward(table))
        return list(reversed(done))

    def close_upwards(self) -> None:
        """Add everything that rows found refer to, until nothing is missing."""
        waiting = dict.fromkeys(self.rows)
        while waiting:
            table = next(iter(waiting))
            del waiting[table]
            if self._table(table).is_vocabulary:
                continue
            for key in self._table(table).domain_references:
                if key.target != dataset_table(self.session) and self.up(key):
                    waiting[key.target] = None

    def _table(self, name: TableName) -> TableModel:
        found = self.model.table(name)
        if found is None:
            raise DerivaMLTableNotFound(str(name))
        return found


def gather(session: Catalog, rid: str, exclude: Collection[str] = ()) -> Scope:
    """Return the rows of the bag of the dataset ``rid``, read from ``session``: a snapshot, or the live catalog.

    Raises:
        DerivaMLTableNotFound: an excluded table does not exist.
    """
    scope = Scope(session, exclude)
    dataset = dataset_table(session)
    anchors = [rid, *all_below(session, rid)]
    scope.fetch(dataset, (f"{dataset.path}{part}" for part in conditions({"RID": anchors})))
    for key in scope.model.referencing(dataset):
        upward_link = key.table.name == "Dataset_Dataset" and key.columns == ("Nested_Dataset",)
        if scope.wants(key.table) and not upward_link:
            scope.down(key)
    cores = _add_members(scope)
    scope.down_from(cores, only_new=False)
    scope.close_upwards()
    beside = [table for table in scope.rows if table not in cores and table != dataset]
    scope.down_from(beside, only_new=True)
    scope.close_upwards()
    return scope


def _add_members(scope: Scope) -> list[TableName]:
    """Add the members of every element type; return the tables that have some."""
    dataset = dataset_table(scope.session)
    cores = []
    for element, link in scope.model.element_types().items():
        if element == dataset or not scope.wants(element) or not scope.wants(link.name):
            continue
        scope.rows.setdefault(element, {})
        column = member_column(link, element)
        if scope.up(next(key for key in link.domain_references if key.columns == (column,))):
            cores.append(element)
    return cores
