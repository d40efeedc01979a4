"""``Execution``: one run of one's code, with what it reads and what it makes."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deriva_ml.asset.asset import Asset
from deriva_ml.asset.path import AssetFilePath, as_mapping
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.dataset import Dataset, create_dataset
from deriva_ml.dataset.spec import DatasetSpec, read_spec
from deriva_ml.environment.redact import redact
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import by_hand, inputs, known_here, later_inputs, liveness, nesting
from deriva_ml.execution.commit import commit, committed_outputs
from deriva_ml.execution.configuration import ExecutionConfiguration, measured, plain
from deriva_ml.execution.create import Created, Place
from deriva_ml.execution.features import discard_features, stage_features
from deriva_ml.execution.folders import forget_dry_run
from deriva_ml.execution.listings import InputDatasets, UploadedAssets
from deriva_ml.execution.outputs import Outputs
from deriva_ml.execution.pending import pending_of
from deriva_ml.execution.record import ExecutionRecord
from deriva_ml.execution.report import PendingSummary, UploadCallback, UploadReport
from deriva_ml.execution.rewritten import entry_now
from deriva_ml.execution.roles import assets_of
from deriva_ml.execution.run import Run
from deriva_ml.execution.sealed_bag import seal_bag
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.forks import generation

S = ExecutionStatus


class Execution:
    """One run of one's code. ``ml.create_execution`` makes it, ``ml.resume_execution`` finds it again.

    Used as a context manager it is Running inside the block; it ends Stopped, or Failed when the block raises. Leaving
    the block uploads nothing: ``commit_output_assets()`` does, when it is called.

    Example::

        with ml.create_execution(config) as exe:
            path = exe.asset_file_path("Model", "best.pt")
            torch.save(model.state_dict(), path)
        exe.commit_output_assets()
    """

    def __init__(
        self,
        run: Run,
        place: Place,
        configuration: ExecutionConfiguration,
        created: Created | None = None,
        *,
        clean: bool = True,
    ) -> None:
        self._run = run
        self._place = place
        self._clean = clean
        self._entered = generation()
        self._outputs = Outputs(run)
        self.configuration = configuration
        self.datasets = InputDatasets(created.bags if created else ())
        self._inputs = list(created.assets) if created else inputs.known_paths(run)
        if run.dry:
            weakref.finalize(self, forget_dry_run, run.store.workspace, generation())
        else:  # a process that ends in order leaves what it has created and not begun to others
            self._creator = liveness.keeper(run.lock_file("create"))

    def __repr__(self) -> str:
        return f"Execution({self.execution_rid!r}, {self.status})"

    # ---------------------------------------------------------------------------------------------------------- facts

    @property
    def execution_rid(self) -> str:
        """The RID of the catalog's row; "0000" in a dry run."""
        return self._run.rid

    @property
    def rid(self) -> str:
        """The RID, under its short name."""
        return self._run.rid

    @property
    def workflow_rid(self) -> str | None:
        """The RID of the workflow's row."""
        return self._run.registered.workflow_rid

    @property
    def dry_run(self) -> bool:
        """Whether this run leaves no record in the catalog."""
        return self._run.dry

    @property
    def dataset_rids(self) -> list[str]:
        """The RIDs of the declared datasets."""
        return [spec.rid for spec in self.configuration.datasets]

    @property
    def asset_paths(self) -> dict[str, list[AssetFilePath]]:
        """The input assets that were brought here, by asset table."""
        found: dict[str, list[AssetFilePath]] = {}
        for path in self._inputs:
            found.setdefault(path.asset_table, []).append(path)
        return found

    @property
    def status(self) -> ExecutionStatus:
        """The state, as the store has it now."""
        return self._run.registered.status

    @property
    def error(self) -> str | None:
        """Why the run, or its last commit, failed."""
        return self._run.registered.error

    @property
    def start_time(self) -> datetime | None:
        """When the work began."""
        return self._run.registered.started

    @property
    def stop_time(self) -> datetime | None:
        """When the work ended."""
        return self._run.registered.stopped

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings of the run: those of the configuration and those logged."""
        return self._run.here.staged.logged.parameters()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The logged metrics, oldest first."""
        return self._run.here.staged.logged.metrics()

    @property
    def working_dir(self) -> Path:
        """The execution's own folder, for scratch files; only what ``asset_file_path`` registers is uploaded."""
        self._run.folder.mkdir(parents=True, exist_ok=True)
        return self._run.folder

    @property
    def uploaded_assets(self) -> UploadedAssets:
        """The committed assets, each with its RID and file name."""
        return UploadedAssets(self._outputs.path_of(entry) for entry in committed_outputs(self._run))

    @property
    def database_catalog(self) -> Catalog | None:
        """The open catalog; None in a dry run."""
        return None if self._run.dry else self._run.session

    catalog = database_catalog

    @property
    def execution_record(self) -> ExecutionRecord | None:
        """The catalog's row, live; offline as this workspace has it; None in a dry run."""
        return None if self._run.dry else known_here.lookup(self._run.session, self._run.store, self._run.rid)

    # ------------------------------------------------------------------------------------------------------ life cycle

    def __enter__(self) -> Self:
        """Start the run: Created → Running; one that this process has started goes on."""
        if not liveness.held_here(self._run.lock_file("run")):
            try:
                self.execution_start()
            except BaseException as error:  # the block does not begin, and so nobody ends it
                self._run.leave(error)
                raise
        self._entered = generation()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run, in the process that began it: Running → Stopped, or Failed with the error. ``sys.exit(0)`` is no error."""
        self._run.leave(None if isinstance(error, SystemExit) and not error.code else error)

    def execute(self) -> Self:
        """Return the execution itself, to be used as ``with exe.execute():``."""
        return self

    def execution_start(self) -> None:
        """Begin the work: Created → Running.

        Raises:
            InvalidTransitionError: it has begun, or ended, before.
        """
        self._run.happen(Event.START)

    def execution_stop(self) -> None:
        """End the work: Running → Stopped.

        Raises:
            InvalidTransitionError: it is not running.
        """
        self._run.stop()

    def abort(self, reason: str | None = None) -> None:
        """Give up: Created, Running, Stopped or Failed → Aborted, for good.

        Raises:
            InvalidTransitionError: it is being committed, or was, or was aborted before.
        """
        self._run.happen(Event.ABORT, reason)

    def update_status(
        self, status: ExecutionStatus | str, message: str | None = None, *, error: str | None = None
    ) -> None:
        """Write a message, or go to another state. Naming the present state changes the message alone.

        Raises:
            InvalidTransitionError: no edge leads to ``status`` from the present state.
            DerivaMLBusyError: another process runs or commits it.
            DerivaMLValidationError: there is no such state, or it is Uploaded and something waits for a commit.

        Example::

            exe.update_status(ExecutionStatus.Running, f"epoch {epoch}: loss {loss:.4f}")
        """
        by_hand.move(self._run, status, message, error)

    # --------------------------------------------------------------------------------------------------------- inputs

    def download_dataset_bag(self, dataset: DatasetSpec | DatasetBag | str | Mapping[str, Any]) -> DatasetBag:
        """Return a dataset version as a bag on this machine; declared ones are here already.

        Raises:
            DerivaMLNotFoundError: no such dataset or version.
            DerivaMLIntegrityError: a file is not what its checksum says.
            DerivaMLOfflineError: the session is offline, and this machine does not have it.
        """
        spec = read_spec(dataset)
        for bag in self.datasets:
            if bag.rid == spec.rid and spec.version in (None, bag.version) and spec.materialize == bag.materialize:
                return bag
        return later_inputs.bag(self._run.session, self._place.cache, spec)

    def add_input_dataset(self, rid: str, version: Any = None) -> None:
        """Record a dataset as an input after the fact; once more changes nothing. Offline the record waits.

        Raises:
            DerivaMLNotFoundError: no such dataset or version.
            DerivaMLValidationError: another version of it is an input of this execution already.
            DerivaMLOfflineError: the session is offline, and this machine does not have it.
        """
        later_inputs.add_dataset(self._run, self._place.cache, DatasetSpec(rid=rid, version=version))

    def download_asset(
        self, asset_rid: str, dest_dir: str | Path | None = None, update_catalog: bool = True, use_cache: bool = False
    ) -> AssetFilePath:
        """Bring an asset here and record it as an input; return its path, which knows its types and RID. Offline the record waits.

        Raises:
            DerivaMLRidsNotFound: no such row.
            DerivaMLTableTypeError: the RID is not that of an asset.
            DerivaMLIntegrityError: the bytes are damaged.
            DerivaMLOfflineError: the session is offline, and this machine does not keep it (``AssetSpec(rid, cache=True)``).
        """
        folder = Path(dest_dir) if dest_dir is not None else self.working_dir / "downloaded-assets" / asset_rid
        path = later_inputs.download_asset(
            self._run, self._place.cache, asset_rid, folder, record=update_catalog, use_cache=use_cache
        )
        self._inputs.append(path)
        return path

    def list_input_datasets(self) -> list[Dataset]:
        """Return the datasets that the catalog records as inputs; offline those that this workspace knows of."""
        return later_inputs.list_datasets(self._run)

    # -------------------------------------------------------------------------------------------------------- outputs

    def asset_file_path(
        self,
        asset_name: str,
        file_name: str | os.PathLike[str],
        asset_types: Iterable[str] | str | None = None,
        copy_file: bool = False,
        rename_file: str | None = None,
        metadata: Any = None,
        description: str | None = None,
        **metadata_columns: Any,
    ) -> AssetFilePath:
        """Register an output file; return the path where it is staged. Durable when it returns.

        - ``file_name`` does not exist: a new file; write to the returned path. The same name again gives the same path.
        - ``file_name`` exists: it is linked, or with ``copy_file=True`` copied as it is now, under its own name or
          ``rename_file``. The file itself is never moved or changed. Two files of one name are two assets.

        ``asset_types`` are terms of Asset_Type (default: the one called like the table). ``metadata`` and further
        keywords are values for the asset table's own columns.

        Raises:
            DerivaMLTableNotFound, DerivaMLTableTypeError: ``asset_name`` is not an asset table.
            DerivaMLInvalidTerm: a type is not a term.
            DerivaMLValidationError: an unknown column, a name that leads elsewhere, a folder, or a linked file that was
                registered under another name and has changed since.

        Example::

            path = exe.asset_file_path("Image", "mask.png", asset_types=["Segmentation_Mask"], Subject=subject_rid)
        """
        values = as_mapping(metadata) | metadata_columns if metadata is not None or metadata_columns else None
        return self._outputs.register(
            asset_name, file_name, asset_types, values, description, copy=copy_file, rename=rename_file
        )

    def asset_file_paths(
        self,
        asset_name: str,
        file_names: Iterable[str | os.PathLike[str]],
        asset_types: Iterable[str] | str | None = None,
        copy_file: bool = False,
        metadata: Any = None,
        description: str | None = None,
    ) -> list[AssetFilePath]:
        """Register many existing files, all or none, as :meth:`asset_file_path` does one. Durable when it returns.

        Raises:
            DerivaMLValidationError: a file is not there, or cannot be registered; none was.

        Example::

            exe.asset_file_paths("Image", sorted(Path("scans").glob("*.png")))
        """
        values = as_mapping(metadata) if metadata is not None else None
        return self._outputs.register_many(asset_name, file_names, asset_types, values, description, copy=copy_file)

    def discard_asset(self, path: str | os.PathLike[str]) -> None:
        """Take back the registration of a file that is not committed yet; the user's own file stays where it is.

        Raises:
            DerivaMLValidationError: the path is not registered, or its asset is in the catalog already.
        """
        self._outputs.discard(path)

    def metrics_file(self, filename: str = "metrics.jsonl") -> AssetFilePath:
        """Return the path of a metrics file of this run, the same for the same name; append to it as you like.

        It is always the run's own file, whatever the working directory holds.
        """
        return self._outputs.metrics_file(filename)

    def log_metrics(self, metrics: Mapping[str, Any] | None = None, step: Any = None, **more: Any) -> None:
        """Record numbers of the run, at ``step`` if given. Durable when it returns; the next commit uploads them as a file.

        Raises:
            DerivaMLValidationError: a value is no number, text, truth value or None, and no list or mapping of such.

        Example::

            exe.log_metrics({"loss": 0.31, "accuracy": 0.92}, step=epoch)
        """
        record = measured({**({} if step is None else {"step": step}), **(metrics or {}), **more})
        self._run.staged.logged.add_metrics(record.get("step") if step is not None else None, record)

    def log_params(self, params: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Record settings of the run. Durable when it returns; the next commit uploads them as a file.

        What looks like a secret, by its name or its value, is recorded as ``[redacted]``.

        Raises:
            DerivaMLValidationError: one has another value already; a run has one value of each.
        """
        self._run.staged.logged.set_parameters(redact(plain({**(params or {}), **more})))

    def add_features(self, features: Iterable[Any]) -> int:
        """Stage values of one feature; return how many. Durable when it returns; the next commit inserts them.

        Raises:
            DerivaMLValidationError: records of several features, a target with two values, a file that is not staged;
                every problem is named, and nothing was staged.

        Example::

            Grade = ml.feature_record_class("Image", "Grade")
            exe.add_features([Grade(Image="1-IMG1", Grade="Mild"), Grade(Image="1-IMG2", Grade="Severe")])
        """
        return stage_features(self._run, features, partial(entry_now, self._run))

    def discard_features(self, target_table: Any, feature_name: str, targets: Iterable[Any]) -> int:
        """Take back staged values of a feature about ``targets`` (RIDs, or staged files); return how many. Durable when it returns.

        Raises:
            DerivaMLFeatureNotFound: the catalog has no such feature, and no value of one waits.
            DerivaMLValidationError: a target has no value that waits; nothing was taken back.
            DerivaMLBusyError: a commit is going on.

        Example::

            exe.discard_features("Image", "Grade", ["1-IMG1"])
        """
        return discard_features(self._run, target_table, feature_name, targets)

    def create_dataset(
        self, dataset_types: str | Sequence[str] | None = None, version: Any = None, description: str = ""
    ) -> Dataset:
        """Create a dataset whose producer is this execution.

        Raises:
            DerivaMLInvalidTerm: a type is no term of Dataset_Type.
            DerivaMLValidationError: this is a dry run.
        """
        if self._run.dry:
            raise DerivaMLValidationError("A dry run writes nothing to the catalog, so it cannot create a dataset.")
        return create_dataset(
            self._run.session,
            self.execution_rid,
            dataset_types,
            version,
            description,
            cache=self._place.cache,
        )

    def commit_output_assets(
        self, clean_folder: bool | None = None, progress_callback: UploadCallback | None = None
    ) -> UploadReport:
        """Bring everything staged into the catalog: Pending_Upload, then Uploaded. Can be repeated, and called again for more.

        Raises:
            InvalidTransitionError: the execution never ran, or was aborted.
            DerivaMLUploadError: a file is missing, or the catalog did not take something; call again to go on.
            DerivaMLBusyError: another process commits this execution, or still runs it.
        """
        return commit(
            self._run, clean=self._clean if clean_folder is None else clean_folder, progress=progress_callback
        )

    upload_execution_outputs = commit_output_assets

    def seal(self, path: str | Path | None = None) -> Path:
        """Write everything staged into one archive, for a machine that reaches the catalog; return its path.

        ``deriva-ml upload --bag FILE`` loads it there, exactly once. Default place: the workspace's ``sealed-bags``.
        What the catalog would not take now (its table, feature or term is gone) is kept as well.

        Raises:
            InvalidTransitionError: the execution never ran, or was aborted.
            DerivaMLUploadError: a file is missing, or its path was reused.
            DerivaMLBusyError: another process commits this execution, or still runs it.
            DerivaMLValidationError: this is a dry run, or ``path`` exists.
        """
        return seal_bag(self._run, None if path is None else Path(path))

    def list_assets(self, asset_role: str | None = None) -> list[Asset]:
        """Return the assets that the catalog links to this execution, of one role ("Input", "Output") or of both."""
        return [] if self._run.dry else assets_of(self._run.session, self.execution_rid, asset_role)

    def pending_summary(self) -> PendingSummary:
        """Return what is staged and not yet committed."""
        return pending_of(self._run.here.staged)

    # -------------------------------------------------------------------------------------------------------- nesting

    def add_nested_execution(self, child: Execution | ExecutionRecord | str, sequence: int | None = None) -> None:
        """Record that this execution ran another one; offline, and until the catalog knows both, the record waits.

        Raises:
            DerivaMLValidationError: the child contains this execution, or has another number already.
        """
        if not self._run.dry:
            nesting.add(self._run.session, self._run.store, self._run.rid, nesting.rid_of(child), sequence)

    def list_execution_children(self, recurse: bool = False) -> list[ExecutionRecord]:
        """Return the executions that this one ran; offline those that this workspace knows of."""
        return self._records(nesting.children_known, recurse)

    def list_execution_parents(self, recurse: bool = False) -> list[ExecutionRecord]:
        """Return the executions that ran this one; offline those that this workspace knows of."""
        return self._records(nesting.parents_known, recurse)

    def _records(self, known: Callable[..., list[str]], recurse: bool) -> list[ExecutionRecord]:
        session, store = self._run.session, self._run.store
        return [] if self._run.dry else known_here.known(session, store, known(session, store, self._run.rid, recurse))

    list_nested_executions = list_execution_children
    list_parent_executions = list_execution_parents

    def is_nested(self) -> bool:
        """Return whether another execution ran this one."""
        session, store = self._run.session, self._run.store
        return not self._run.dry and bool(nesting.parents_known(session, store, self._run.rid, False))

    def is_parent(self) -> bool:
        """Return whether this execution ran others."""
        session, store = self._run.session, self._run.store
        return not self._run.dry and bool(nesting.children_known(session, store, self._run.rid, False))
