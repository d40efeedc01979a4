"""A workflow: the code of an execution, as a value; bound to its row once it is in the catalog."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from deriva_ml.catalog.rows import Row, delete, insert, select, update
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLInvalidTerm, DerivaMLWorkflowError
from deriva_ml.names import TableName
from deriva_ml.schema.tables import UNKNOWN_CODE
from deriva_ml.workflow.capture import Code, capture, of_source
from deriva_ml.workflow.source import Source
from deriva_ml.workflow.version import project_version


class Workflow(BaseModel):
    """The code of an execution: where it is (``url``, at the commit), what it is (``checksum``), which ``version``.

    Made without ``url`` and ``checksum`` it looks at the calling code: a container image's variables, an address set by
    a launcher, or git. What is not known stays None, and ``problems`` says why; ``dirty`` is None where nobody can say.

    Example::

        workflow = ml.create_workflow("Train", "Training", "ResNet-50 with dropout")
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    workflow_type: list[str]
    description: str | None = None
    url: str | None = None
    version: str | None = None
    workflow_rid: str | None = Field(default=None, validation_alias=AliasChoices("workflow_rid", "rid"))
    checksum: str | None = None
    is_notebook: bool = False
    git_root: Path | None = None
    allow_dirty: bool = False
    commit: str | None = None
    dirty: bool | None = None
    problems: list[str] = Field(default_factory=list)
    _session: Catalog | None = PrivateAttr(default=None)

    @field_validator("workflow_type", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [str(value)] if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _look_at_the_code(cls, values: Any) -> Any:
        known = not isinstance(values, dict) or any(
            values.get(name) for name in ("url", "checksum", "workflow_rid", "rid", "problems")
        )
        if known:
            return values
        code = capture(bool(values.get("allow_dirty")))
        return {**_facts(code), **{name: value for name, value in values.items() if value is not None}}

    def __setattr__(self, name: str, value: Any) -> None:
        """Assigning ``description`` or ``workflow_type`` writes through once the workflow is in the catalog."""
        if name == "workflow_type":
            value = [value] if isinstance(value, str) else list(value)
        session = self._session if name in {"description", "workflow_type"} else None
        if session is not None and name == "description":
            update(session, table(session), [{"RID": self.workflow_rid, "Description": value}], targets=["Description"])
        if session is not None and name == "workflow_type":
            self._change_types(session, value)
        super().__setattr__(name, value)

    @property
    def rid(self) -> str | None:
        """The RID of the workflow's row."""
        return self.workflow_rid

    @property
    def workflow_types(self) -> list[str]:
        """The types of the workflow."""
        return list(self.workflow_type)

    def add_workflow_type(self, name: str) -> None:
        """Add a type.

        Raises:
            DerivaMLInvalidTerm: it is no term of ``Workflow_Type``.
        """
        self.add_workflow_types([name])

    def add_workflow_types(self, names: Iterable[str]) -> None:
        """Add several types; raises as :meth:`add_workflow_type` does."""
        self.workflow_type = list(dict.fromkeys([*self.workflow_type, *names]))

    def remove_workflow_type(self, name: str) -> None:
        """Remove a type.

        Raises:
            DerivaMLWorkflowError: the workflow does not have it.
        """
        if name not in self.workflow_type:
            raise DerivaMLWorkflowError(
                f"Workflow {self.name!r} has no type {name!r}; it has {', '.join(self.workflow_type)}."
            )
        self.workflow_type = [each for each in self.workflow_type if each != name]

    def bind(self, session: Catalog, rid: str) -> Workflow:
        """Say that the row ``rid`` of a catalog is this workflow; return it."""
        self._session = None
        self.workflow_rid = rid
        self._session = session
        return self

    def reference(self) -> dict[str, Any]:
        """Return what a run's configuration says of the workflow."""
        return self.model_dump(mode="json", exclude={"allow_dirty", "git_root"})

    def _change_types(self, session: Catalog, wanted: list[str]) -> None:
        check_types(session, wanted)
        links = TableName(session.ml_schema, "Workflow_Workflow_Type")
        gone = set(self.workflow_type) - set(wanted)
        if gone:
            delete(session, links, {"Workflow": self.workflow_rid, "Workflow_Type": sorted(gone)})
        insert(
            session,
            links,
            [{"Workflow": self.workflow_rid, "Workflow_Type": each} for each in wanted],
            skip_conflicts=True,
        )

    @staticmethod
    def get_url_and_checksum(path: str | Path, allow_dirty: bool = False) -> tuple[str, str]:
        """Return the URL at the commit, and the checksum, of a file; empty where git does not know them."""
        place = Path(path).absolute()
        code = of_source(Source(place, is_notebook=place.suffix == ".ipynb"), allow_dirty)
        return code.url or "", code.checksum or ""

    @staticmethod
    def get_dynamic_version(root: str | Path) -> str | None:
        """Return the version of the project at ``root``."""
        return project_version(Path(root), None, False)


def _facts(code: Code) -> dict[str, Any]:
    return {
        "url": code.url,
        "checksum": code.checksum,
        "version": code.version,
        "commit": code.commit,
        "dirty": code.dirty,
        "is_notebook": code.is_notebook,
        "git_root": code.git_root,
        "problems": list(code.problems),
    }


def table(session: Catalog) -> TableName:
    """Return the name of the table of workflows."""
    return TableName(session.ml_schema, "Workflow")


def check_types(session: Catalog, names: Iterable[str]) -> None:
    """Refuse types that are no terms.

    Raises:
        DerivaMLInvalidTerm: the vocabulary ``Workflow_Type`` has no such term.
    """
    wanted = list(dict.fromkeys(names))
    known = {
        row["Name"]
        for row in select(session, TableName(session.ml_schema, "Workflow_Type"), {"Name": wanted}, columns=["Name"])
    }
    for name in wanted:
        if name not in known:
            raise DerivaMLInvalidTerm("Workflow_Type", name)


def known(row: Row) -> dict[str, str | None]:
    """Return the address and the checksum that a workflow's row has; None for what is not known, or said to be unknown."""
    return {column: None if row[column] in (mark, "", None) else row[column] for column, mark in UNKNOWN_CODE.items()}


def from_row(session: Catalog, row: Row, types: Iterable[str]) -> Workflow:
    """Return the workflow that a row of the catalog describes."""
    code = known(row)
    workflow = Workflow(
        name=row["Name"] or "",
        workflow_type=list(types),
        description=row["Description"],
        url=code["URL"],
        checksum=code["Checksum"],
        version=row["Version"],
        workflow_rid=row["RID"],
        is_notebook=bool(code["URL"] and code["URL"].endswith(".ipynb")),
    )
    return workflow.bind(session, row["RID"])
