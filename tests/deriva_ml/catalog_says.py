"""What the catalog alone says of an execution: the six clauses of its provenance, read row by row."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.names import TableName
from deriva_ml.schema.install import unknown_file
from deriva_ml.schema.tables import UNKNOWN_CODE

DECLARED, SENTINEL, NOTHING = "declared", "sentinel", "nothing"


@dataclass(frozen=True)
class Said:
    """State and reason, the code, the inputs, the outputs with their roles; ``began`` and ``ended`` from the two moments."""

    status: str
    reason: str
    began: bool
    url: str | None
    checksum: str | None
    inputs: str
    outputs: dict[str, str]
    datasets: int

    @property
    def unknown(self) -> set[str]:
        """What the row of the workflow says to be unknown."""
        return {name for name, value in (("URL", self.url), ("Checksum", self.checksum)) if value == UNKNOWN_CODE[name]}

    def broken(self) -> list[str]:
        """Return the clauses that are neither fulfilled nor recorded as what they lack."""
        found = {
            "an end state that tells the truth": self.status
            in {"Stopped", "Pending_Upload", "Failed", "Uploaded", "Aborted"},
            "a reason with every failure": bool(self.reason.strip()) or self.status not in {"Failed", "Aborted"},
            "a workflow with URL and checksum, or an explicit unknown": bool(self.url and self.checksum),
            "declared inputs or the sentinel": self.inputs in (DECLARED, SENTINEL) or not self.began,
            "every output with its role": set(self.outputs.values()) <= {"Output"},
            "a producer for every output": not self.datasets or self.began,
        }
        return [clause for clause, holds in found.items() if not holds]


def said_of(session: Catalog, rid: str) -> Said:
    """Read what the catalog says of the execution ``rid``."""
    schema = session.ml_schema
    (row,) = select(session, TableName(schema, "Execution"), {"RID": rid})
    (code,) = select(session, TableName(schema, "Workflow"), {"RID": row["Workflow"]})
    versions = select(session, TableName(schema, "Dataset_Version"), {"Execution": rid})
    inputs, outputs = _files(session, rid)
    declared = bool(inputs - {unknown_file(session)}) or bool(
        select(session, TableName(schema, "Dataset_Execution"), {"Execution": rid})
    )
    told = DECLARED if declared else SENTINEL if inputs else NOTHING
    return Said(
        row["Status"], row["Status_Detail"] or "", row["Start_Time"] is not None, code["URL"], code["Checksum"], told, outputs, len(versions)
    )  # fmt: skip


def _files(session: Catalog, rid: str) -> tuple[set[str], dict[str, str]]:
    """Return the assets that are inputs, and all others by name with their roles; not those that describe the run."""
    inputs, others = set[str](), dict[str, str]()
    for table in session.model().asset_tables():
        links = session.model().asset_execution(table.name)
        column = links.references_to(table.name)[0].column
        for link in select(session, links.name, {"Execution": rid}):
            if link["Asset_Role"] == "Input":
                inputs.add(link[column])
            else:
                (asset,) = select(session, table.name, {"RID": link[column]}, columns=["Filename"])
                others[asset["Filename"]] = link["Asset_Role"]
    return inputs, others
