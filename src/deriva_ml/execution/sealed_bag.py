"""A run as one file for a machine that can reach the catalog: everything staged, with the record of the run.

The archive is a BDBag that anybody can read: rows as CSV tables in the order of their references, the model of these
tables, the sealed bytes in ``data/assets/<Table>/<id>/<Filename>``. What the catalog does not know yet has local ids
(``L-…``) in the place of RIDs. ``data/execution.json`` is the record of the run; who loads the bag asks the catalog for
the RIDs that the local ids stand for.

Sealing keeps everything, whatever the catalog would take of it now: that is asked when the bag is loaded.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml.bag.archive import pack
from deriva_ml.bag.write import Payload, TableRows, write_bag
from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution import homeless, liveness, waiting_inputs
from deriva_ml.execution.catalog_row import catalog_values
from deriva_ml.execution.commit import end_run
from deriva_ml.execution.identify import address
from deriva_ml.execution.manifest import Entry, EntryState
from deriva_ml.execution.nested import Nested
from deriva_ml.execution.plan import AssetGroup, bag_model, bag_payloads, bag_tables, groups
from deriva_ml.execution.rewritten import take_again
from deriva_ml.execution.run import Run
from deriva_ml.execution.seal import check_files, seal
from deriva_ml.execution.states import COMMITTABLE, ExecutionStatus, allowed
from deriva_ml.files import hash_file, make_folder, write_whole
from deriva_ml.names import TableName
from deriva_ml.rid import LOCAL_MARK

FORMAT, FORMAT_WHOLE = 2, 3
"""The second one's record has entries and values as well, for which no table of the bag has a place."""
FOLDER = "sealed-bags"
RECORD = "execution.json"


def seal_bag(run: Run, target: Path | None = None) -> Path:
    """Write everything that ``run`` has staged into one archive and return its path; a run that goes on is ended first.

    The run can still be committed here, and sealed again: the catalog ends the same.

    Raises:
        InvalidTransitionError: the execution never ran, or was aborted.
        DerivaMLUploadError: a file is missing, or its path was reused.
        DerivaMLBusyError: another process commits this execution, or still runs it.
        DerivaMLStateInconsistency: it was begun offline, and another process has brought it to the catalog.
        DerivaMLValidationError: this is a dry run, or ``target`` exists.
    """
    if run.dry:
        raise DerivaMLValidationError("A dry run leaves nothing behind, so there is nothing to seal.")
    bag = str(uuid.uuid4())
    archive = target or run.store.workspace / FOLDER / f"execution-{run.rid}-{bag[:8]}.zip"
    if archive.exists():
        raise DerivaMLValidationError(f"{archive} exists: choose another name for the sealed bag.")
    with liveness.holding(run.lock_file("commit"), f"Execution {run.rid} cannot be sealed"):
        run.store.refuse_old_name(run.rid)
        end_run(run)
        take_again(run)
        status = run.registered.status
        if status not in COMMITTABLE:
            raise InvalidTransitionError(status, ExecutionStatus.Pending_Upload, allowed(status), run.rid)
        check_files(run, "sealed; nothing was written")
        newest = run.staged.newest_feature()
        seal(run, None)
        run.staging.write_manifest()
        _write(run, bag, newest, archive)
        run.store.note(run.rid, "sealed bag", bag=bag, file=str(archive))
    return archive


def _write(run: Run, bag: str, newest: int, archive: Path) -> None:
    building = run.store.workspace / FOLDER / f".{bag}"
    make_folder(building)
    try:
        names = _Names(run, bag)
        entries = [names(entry) for entry in run.staged.entries(EntryState.SEALED)]
        placed, whole = homeless.parted(run.session.model(), entries)
        parts = _Parts(newest, groups(run, placed), whole, homeless.tables_without_place(run, newest))
        tables = [*_run_tables(run, bag), *bag_tables(run, parts.assets, newest, names, without=parts.gone)]
        document = _record(run, bag, entries, parts)
        write_whole(building / RECORD, json.dumps(document, indent=1, default=str).encode())
        digest = hash_file(building / RECORD)
        record = Payload(RECORD, digest.length, digest.md5, digest.sha256, source=building / RECORD)
        folder = building / f"execution-{bag}"
        write_bag(
            folder,
            tables=tables,
            payloads=[record, *bag_payloads(run, parts.assets), *homeless.payloads(run, whole)],
            schema_document=bag_model(run, [(table.schema, table.table) for table in tables]),
            info={
                "External-Identifier": f"urn:uuid:{bag}",
                "External-Description": f"Execution {run.rid} of catalog {run.session.catalog_id} of {run.session.host}, sealed",
            },
            durable=False,
        )
        pack(folder, archive)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is staged, feature values up to the id ``newest``: assets in tables, those that are whole in the record, features in it."""

    newest: int
    assets: Sequence[AssetGroup]
    whole: Sequence[Entry]
    gone: Sequence[TableName]


class _Names:
    """What entries are called in the bag: by their RIDs where they have one, else by ids of the bag; equal files have one."""

    def __init__(self, run: Run, bag: str) -> None:
        self._run, self._bag = run, bag
        self._known: dict[tuple[str, str, str], str] = {}

    def __call__(self, entry: Entry) -> Entry:
        if entry.state is EntryState.UPLOADED:
            return entry
        known = self._run.session.model().table(TableName(entry.schema, entry.table))
        url = entry.url or (address(self._run.session, entry) if known else None)
        place = (entry.schema, entry.table, url or f"{entry.md5}.{entry.file_name}")
        name = self._known.setdefault(place, entry.rid or f"{LOCAL_MARK}{self._bag[:8].upper()}-{entry.id}")
        return replace(entry, rid=name, url=url, reused=False)


def _run_tables(run: Run, bag: str) -> Iterator[TableRows]:
    """Yield the rows of the workflow and of the execution, as they stand."""
    found = run.registered
    facts = found.config.get("workflow") or {}
    workflow = found.workflow_rid or facts.get("workflow_rid") or f"{LOCAL_MARK}{bag[:8].upper()}-WORKFLOW"
    columns = ("Name", "URL", "Checksum", "Version", "Description")
    row = {"RID": workflow, **{name: facts.get(name.lower()) for name in columns}}
    yield TableRows(run.session.ml_schema, "Workflow", ("RID", *columns), [row])
    values = {
        "RID": run.rid,
        "Workflow": workflow,
        "Description": found.description,
        **catalog_values(run.session, found),
    }
    yield TableRows(run.session.ml_schema, "Execution", tuple(values), [values])


def _record(run: Run, bag: str, entries: Sequence[Entry], parts: _Parts) -> dict[str, Any]:
    """Return the document ``execution.json``: the store's record, its history, and what rows cannot say of what is staged."""
    journal = run.store.journal(run.rid)
    inputs = [detail for step, detail in journal if step == "input"]
    inputs += [{"asset": rid} for rid, *_ in run.staged.downloads()]
    whole = {entry.key for entry in parts.whole}
    features = (TableName(*table) for table in run.staged.feature_tables(parts.newest))
    return {
        "format": FORMAT_WHOLE if parts.whole or parts.gone else FORMAT,
        "bag": bag,
        "catalog": {"host": run.session.host, "id": run.session.catalog_id, "identity": run.session.identity},
        "execution": asdict(run.registered),
        "history": run.store.history(run.rid),
        "inputs": inputs,
        "waiting": waiting_inputs.steps(run.store, run.rid),
        "nested": Nested(run.store).described(run.rid),
        "parameters": run.staged.logged.parameters(),
        "entries": [_described(entry, whole=entry.key in whole) for entry in entries],
        "types": [_types(group) for group in parts.assets],
        "features": [_feature(run, table) for table in features if table not in parts.gone],
        "values": list(homeless.values_of(run, parts.gone, parts.newest)),
    }


def _described(entry: Entry, *, whole: bool) -> dict[str, Any]:
    """Return what the rows of an asset do not say of its entry; of one without a row, everything."""
    facts = ("key", "schema", "table", "file_name", "rid", "source", "source_stamp", "sha256")
    described = {**{name: getattr(entry, name) for name in facts}, "mode": entry.mode.value}
    return {**described, "facts": homeless.facts_of(entry)} if whole else described


def _types(group: AssetGroup) -> dict[str, Any]:
    """Return where the types of a table's assets are, and which column names the asset."""
    asset, link = group.table.name, group.types.name
    return {
        "asset": [asset.schema, asset.name],
        "table": [link.schema, link.name],
        "column": group.link_column(group.types),
    }


def _feature(run: Run, table: TableName) -> dict[str, Any]:
    """Return how the rows of a feature's table are read as staged values."""
    model = run.session.model()
    feature = model.feature_of(model.find_table(table))
    if feature is None:  # the model has changed within this very sealing
        raise DerivaMLValidationError(f"{table} is not the table of a feature any more: seal the run again.")
    return {
        "schema": table.schema,
        "table": table.name,
        "feature_name": feature.name,
        "target_table": feature.target.name,
        "keys": [feature.target_column, *feature.qualifier_columns],
        "assets": list(feature.asset_columns),
    }
