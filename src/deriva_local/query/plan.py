"""What a data address means in one model: which table instances are joined how, what is kept, what comes out.

Floor 1, values only. :mod:`~deriva_local.query.bind` builds a plan from an address, :mod:`~deriva_local.query.sql`
compiles it. Table instances are numbered along the path; a :class:`Ref` names a column of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deriva_local.model.elements import Column, Table, Type
from deriva_local.wire.types import SQLiteValue

Outer: TypeAlias = Literal["inner", "left", "right", "full"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table instance."""

    instance: int
    column: Column


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole row of a table instance, as far as its columns may be seen."""

    instance: int
    columns: tuple[Column, ...]


Link: TypeAlias = tuple[tuple[Ref, Ref], ...]
"""Pairs of columns that must all be equal."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One table of the path. ``links`` are alternatives, one of which must hold; the root has none."""

    table: Table
    alias: str | None = None
    outer: Outer = "inner"
    links: tuple[Link, ...] = ()
    screen: Screen | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One way in which a row may let somebody pass: conditions on it and on rows that it leads to.

    The row itself is the instance :data:`~deriva_local.acl.projections.BASE`; ``instances`` are numbered from there.
    """

    instances: tuple[Instance, ...]
    conditions: tuple[Condition, ...]


Guard: TypeAlias = tuple[Grant, ...]
"""Grants of which one must hold for a row to let somebody pass; without any, none does."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What of a table somebody sees: the rows that ``rows`` lets pass (None: all of them), and of the columns listed
    only the values in rows that their guard lets pass, NULL in the others."""

    rows: Guard | None
    columns: tuple[tuple[Column, Guard], ...] = ()


# ------------------------------------------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class IsNull:
    ref: Ref


@dataclass(frozen=True, slots=True)
class Compare:
    """The column stands in the relation to at least one of the values; of an array column, some element does."""

    ref: Ref
    operator: Literal["=", "<", "<=", ">", ">="]
    values: tuple[SQLiteValue, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """At least one pattern is found in the text form of at least one column."""

    refs: tuple[Ref, ...]
    patterns: tuple[str, ...]
    ignore_case: bool


@dataclass(frozen=True, slots=True)
class Negation:
    part: Condition


@dataclass(frozen=True, slots=True)
class Conjunction:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    parts: tuple[Condition, ...]


Condition: TypeAlias = IsNull | Compare | Search | Negation | Conjunction | Disjunction


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a path names: its table instances, its filters, and the instance that is the context."""

    instances: tuple[Instance, ...]
    conditions: tuple[Condition, ...]
    context: int

    @property
    def table(self) -> Table:
        """Return the table of the context."""
        return self.instances[self.context].table


# ---------------------------------------------------------------------------------------------------------- outputs


@dataclass(frozen=True, slots=True)
class Example:
    """Any value that the column has within the group; NULL only if it has no other."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over the group. ``operand`` None counts all rows of the join."""

    function: Literal["min", "max", "avg", "sum", "cnt", "cnt_d", "array", "array_d"]
    operand: Ref | Whole | None


@dataclass(frozen=True, slots=True)
class Binned:
    """The bucket of a column's value, as a JSON array of number, lower and upper bound."""

    ref: Ref
    count: int
    low: SQLiteValue
    high: SQLiteValue


@dataclass(frozen=True, slots=True)
class RowRights:
    """What somebody may do to a row, as a JSON object: plain truths, or guards that the row must satisfy.

    ``columns`` says the same of the update of each column; None leaves that out.
    """

    instance: int
    table: Table
    rights: tuple[tuple[str, bool | Guard], ...]
    columns: tuple[tuple[str, bool | Guard], ...] | None


Expression: TypeAlias = Ref | Example | Aggregate | Binned | RowRights


@dataclass(frozen=True, slots=True)
class Output:
    """One field of the result: its name, the type of its stored form, and where its value comes from."""

    name: str
    type: Type
    expression: Expression


Grouping: TypeAlias = Literal["none", "rows", "groups", "all"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole query.

    ``grouping`` says what one result row stands for: a row of the join (none), a row of the context table (rows), a
    combination of the first ``keys`` outputs (groups), or everything (all). ``sort`` holds positions in ``outputs``
    with a flag for descending; page keys are stored values in the order of ``sort``.
    """

    selection: Selection
    outputs: tuple[Output, ...]
    grouping: Grouping = "none"
    keys: int = 0
    sort: tuple[tuple[int, bool], ...] = ()
    before: tuple[SQLiteValue, ...] | None = None
    after: tuple[SQLiteValue, ...] | None = None
    limit: int | None = None
