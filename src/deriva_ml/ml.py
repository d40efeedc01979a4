"""The front door: class DerivaML opens a catalog and hands on; every public method is one call into a room."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, Self

from deriva_ml import tables, vocabulary
from deriva_ml.asset import asset
from deriva_ml.asset.asset import Asset, AssetRecord
from deriva_ml.catalog import clients, pinning
from deriva_ml.catalog.embedded import EMBEDDED
from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.opening import connection_mode, make_workspace, open_catalog, open_offline
from deriva_ml.catalog.pinning import PinStatus, SchemaDiff
from deriva_ml.catalog.rows import Row, pages
from deriva_ml.catalog.schema_cache import keep, keep_model, keep_term
from deriva_ml.catalog.terms import check_terms, forget_terms
from deriva_ml.catalog.whoami import cite, user_list, whoami
from deriva_ml.check.assets import check_assets
from deriva_ml.check.catalog import check_catalog
from deriva_ml.check.findings import CheckReport
from deriva_ml.check.workspace import check_workspace
from deriva_ml.context import read_context
from deriva_ml.dataset import finding
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.dataset.elements import add_element_type, list_element_types
from deriva_ml.dataset.spec import read_spec
from deriva_ml.definitions import ForeignKeyDefinition, TableDefinition
from deriva_ml.enums import ConnectionMode
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLExecutionError
from deriva_ml.execution import find, known_here, later_inputs
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.executions import Executions
from deriva_ml.execution.find import ExecutionSnapshot
from deriva_ml.execution.folders import clean_execution_dirs, gc_executions
from deriva_ml.execution.mark import mark
from deriva_ml.execution.pending import pending_in
from deriva_ml.execution.record import ExecutionRecord, records
from deriva_ml.execution.recover import recover_workspace
from deriva_ml.execution.report import UploadCallback, UploadReport, WorkspacePendingSummary
from deriva_ml.execution.roles import assets_of, executions_with_assets
from deriva_ml.execution.stale import Stale, find_stale
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.feature import feature
from deriva_ml.feature.feature import Feature
from deriva_ml.feature.record import FeatureRecord
from deriva_ml.feature.workflows import list_workflow_executions
from deriva_ml.lazy import cached_property
from deriva_ml.lineage.lookup import lookup
from deriva_ml.lineage.models import LineageResult
from deriva_ml.names import ML_SCHEMA, TableName
from deriva_ml.rids import RidResult, resolve_rid, resolve_rids
from deriva_ml.settings import find_home, store_folder
from deriva_ml.tables import ColumnLike
from deriva_ml.vocabulary import VocabularyTermHandle
from deriva_ml.workflow import registry as workflows
from deriva_ml.workflow.workflow import Workflow


class DerivaML:
    """A catalog, opened for recording what was done with which data.

    Without arguments it opens the user's embedded catalog, and makes it on first use. With a host it opens a catalog
    of a Deriva server, or of ``deriva-ml serve``.

    Args:
        hostname: A server (``data.example.org``, ``localhost:8080``, with its scheme if need be). None: embedded.
        catalog_id: The catalog's id. None: the embedded one that is made on first use.
        domain_schemas: The schemas of the users' own tables, if not all but deriva-ml's and the system's.
        default_schema: The schema that takes new tables, where there are several.
        project_name: Begins the ids of new terms (``project:1-ABC``). Default: the name of the default schema.
        cache_dir: The folder for what can be fetched again. Default: in the workspace.
        working_dir: The folder for the embedded catalog and the workspace (of a server: the workspace only).
            Default: ``DERIVA_ML_HOME``, the nearest ``.deriva-ml``, ``~/.deriva-ml``.
        hydra_runtime_output_dir: The folder of a Hydra run whose configuration belongs to the executions.
        ml_schema: The name of the deriva-ml schema in the catalog.
        logging_level, deriva_logging_level: How much deriva-ml and the deriva client log.
        credential: What the server wants to see, as the deriva client spells it (``{"bearer-token": …}``).
        s3_bucket, use_minid: Accepted for the sake of older configurations: a bucket is refused, and without one there are
            no MINIDs.
        clean_execution_dir: Whether an execution's staged files go away once they are in the catalog.
        mode: ``"offline"`` begins and finishes runs while the catalog is away: what is known of it comes from the last
            online opening of this workspace, and everything waits here until the catalog is opened online.

    Raises:
        DerivaMLConfigurationError: no such catalog, a folder that cannot hold one (a network file system), or an S3 bucket.
        DerivaMLSchemaError: the catalog has no deriva-ml schema.
        DerivaMLOfflineError: with ``mode="offline"``, when this workspace was never opened online.
        DerivaMLOfflineError, DerivaMLAuthenticationError, DerivaMLReadOnlyError: the server or the folder refuses.

    Example::

        ml = DerivaML()
        ml.create_vocabulary("Grade", comment="How severe it is")
        ml.add_term("Grade", "Mild", "Hardly visible")
    """

    def __init__(
        self,
        hostname: str | None = None,
        catalog_id: str | int | None = None,
        domain_schemas: Collection[str] | None = None,
        default_schema: str | None = None,
        project_name: str | None = None,
        cache_dir: str | Path | None = None,
        working_dir: str | Path | None = None,
        hydra_runtime_output_dir: str | Path | None = None,
        ml_schema: str = ML_SCHEMA,
        logging_level: int = logging.WARNING,
        deriva_logging_level: int = logging.WARNING,
        credential: Mapping[str, Any] | None = None,
        s3_bucket: str | None = None,
        use_minid: bool | None = None,
        clean_execution_dir: bool = True,
        mode: ConnectionMode | str = ConnectionMode.online,
    ) -> None:
        if s3_bucket is not None:
            raise DerivaMLConfigurationError(
                f"s3_bucket={s3_bucket!r}: bags are not copied to S3 here, and get no MINID; leave it out. "
                "`deriva-ml get RID@1.0.0` downloads a bag, which you can put there."
            )
        logging.getLogger("deriva_ml").setLevel(logging_level)
        logging.getLogger("deriva").setLevel(deriva_logging_level)
        self.working_dir = find_home(working_dir)
        self.hydra_runtime_output_dir = Path(hydra_runtime_output_dir) if hydra_runtime_output_dir else None
        self.clean_execution_dir = clean_execution_dir
        self.mode = connection_mode(mode)
        self.session = (
            open_offline(self.working_dir, hostname, catalog_id, ml_schema, default_schema, domain_schemas)
            if self.mode is ConnectionMode.offline
            else open_catalog(
                self.working_dir, hostname, catalog_id, credential, ml_schema, default_schema, domain_schemas
            )
        )
        self.catalog_id = self.session.catalog_id
        self.workspace = self.session.workspace = make_workspace(self.working_dir, self.session)
        self.cache_dir = Path(cache_dir) if cache_dir is not None else self.workspace / "cache"
        self._project_name = project_name
        if self.mode is ConnectionMode.online:
            keep(self.session, self.workspace)
        recover_workspace(self.session, self.workspace)

    @classmethod
    def instantiate(cls, config: Any) -> Self:
        """Open the catalog that a ``DerivaMLConfig`` names."""
        opened: Self = config.open(cls)
        return opened

    @classmethod
    def from_context(cls, path: str | Path | None = None) -> Self:
        """Open the catalog that the nearest ``.deriva-context.json`` names; see :func:`deriva_ml.context.read_context`."""
        return cls(**read_context(path))

    # -------------------------------------------------------------------------------------------------------- catalog

    @property
    def host_name(self) -> str:
        """The server, ``"embedded"`` for the catalog in a folder."""
        return self.session.host

    @property
    def ml_schema(self) -> str:
        """The schema of deriva-ml's own tables."""
        return self.session.ml_schema

    @property
    def domain_schemas(self) -> frozenset[str]:
        """The schemas of the users' own tables."""
        return frozenset(self.session.domain_schemas)

    @property
    def default_schema(self) -> str:
        """The schema that takes new tables."""
        return self.session.default_schema

    @property
    def project_name(self) -> str:
        """What the ids of new terms begin with."""
        return self._project_name or self.default_schema

    @cached_property
    def catalog(self) -> Any:
        """The deriva client's ``ErmrestCatalog``, bound to this catalog."""
        return clients.ermrest_catalog(self.session)

    @cached_property
    def hatrac(self) -> Any:
        """The deriva client's ``HatracStore`` of the same server."""
        return clients.hatrac_store(self.session)

    @property
    def model(self) -> Any:
        """The deriva client's ``Model`` of the catalog, as it is now."""
        return self.catalog.getCatalogModel()

    def pathBuilder(self) -> Any:
        """Return the deriva client's data paths: ``ml.pathBuilder().schemas[schema].tables[name]``."""
        return self.catalog.getPathBuilder()

    def domain_path(self, schema: str | None = None) -> Any:
        """Return the deriva client's data path of the default schema, or of ``schema``."""
        return self.pathBuilder().schemas[schema or self.default_schema]

    def whoami(self) -> dict[str, Any] | None:
        """Return what the server says of its client, None when nobody is logged in."""
        return whoami(self.session)

    def is_authenticated(self) -> bool:
        """Return whether the server knows its client."""
        return self.whoami() is not None

    def user_list(self) -> list[Row]:
        """Return the clients that the catalog has seen, with ``ID`` and ``Full_Name``."""
        return user_list(self.session)

    def is_snapshot(self) -> bool:
        """Return whether this is the catalog as it was at some moment."""
        return self.session.snapshot is not None

    def catalog_snapshot(self, snapshot: str) -> DerivaML:
        """Return the catalog as it was at ``snapshot``; it can be read, not changed."""
        past = copy.copy(self)
        for bound in ("catalog", "executions"):
            past.__dict__.pop(bound, None)
        past.session = self.session.at(snapshot)
        return past

    def refresh_schema(self, force: bool = False) -> None:
        """Read the catalog's model and terms again, after another program has changed them, and keep them for offline sessions.

        Raises DerivaMLSchemaPinned while the kept model is pinned, unless ``force``; DerivaMLOfflineError offline.
        """
        pinning.refresh_schema(self.session, self.workspace, force)

    def pin_schema(self, reason: str) -> SchemaDiff | None:
        """Keep what offline sessions of this workspace know as it is now; return how it differs from the live model, if it does."""
        return pinning.pin_schema(self.session, self.workspace, reason)

    def unpin_schema(self) -> None:
        """Let what offline sessions know follow the catalog again."""
        pinning.unpin_schema(self.session, self.workspace)

    def pin_status(self) -> PinStatus:
        """Return whether the kept model is pinned, since when, why, and at which snapshot."""
        return pinning.pin_status(self.workspace)

    def diff_schema(self) -> SchemaDiff:
        """Return how the live model differs from the one that offline sessions of this workspace know."""
        return pinning.diff_schema(self.session, self.workspace)

    def resolve_rid(self, rid: str) -> RidResult:
        """Return which table the row ``rid`` is in; raises DerivaMLRidsNotFound when it is in none."""
        return resolve_rid(self.session, rid)

    def resolve_rids(self, rids: Iterable[str], candidate_tables: Iterable[str] | None = None) -> dict[str, RidResult]:
        """Return which table each row is in; raises DerivaMLRidsNotFound that names all that are in none."""
        return resolve_rids(self.session, rids, candidate_tables)

    def cite(self, entity: Any, current: bool = False) -> str:
        """Return an address that names a row as it is now for good, or with ``current`` whatever it becomes."""
        embedded = self.host_name == EMBEDDED
        return cite(self.session, entity, store_folder(self.working_dir) if embedded else None, current)

    def chaise_url(self, table: str) -> str:
        """Return the address of the table's page in Chaise, the web client of Deriva servers."""
        return f"https://{self.host_name}/chaise/recordset/#{self.catalog_id}/{self.session.model().find_table(table).name.path}"

    # ----------------------------------------------------------------------------------------------------- vocabulary

    def add_term(
        self,
        table: str,
        term_name: str,
        description: str,
        synonyms: Iterable[str] | None = None,
        exists_ok: bool = True,
    ) -> VocabularyTermHandle:
        """Add a term to a vocabulary and return it; see :func:`deriva_ml.vocabulary.add_term`."""
        added = vocabulary.add_term(self.session, table, term_name, description, synonyms, exists_ok)
        keep_term(self.workspace, added.vocabulary, added.term)
        return added

    def lookup_term(self, table: str, name: str) -> VocabularyTermHandle:
        """Return the term that has this name or synonym; raises DerivaMLInvalidTerm when there is none."""
        return vocabulary.lookup_term(self.session, table, name)

    def list_vocabulary_terms(self, table: str) -> list[VocabularyTermHandle]:
        """Return all terms of a vocabulary, in order of their names."""
        return vocabulary.list_vocabulary_terms(self.session, table)

    def delete_term(self, table: str, name: str) -> None:
        """Take a term away; raises DerivaMLDataError, which says where, while rows use it."""
        vocabulary.delete_term(self.session, table, name)

    def clear_vocabulary_cache(self, table: str | None = None) -> None:
        """Read the terms of a vocabulary, or of all, anew when they are asked for next."""
        forget_terms(self.session, table)

    # --------------------------------------------------------------------------------------------------------- tables

    def create_table(self, table: TableDefinition | Mapping[str, Any], schema: str | None = None) -> Any:
        """Make a table in the default schema, or in ``schema``, and return the deriva client's ``Table``."""
        return self._made(tables.create_table(self.session, table, schema))

    def create_vocabulary(self, vocab_name: str, comment: str = "", schema: str | None = None) -> Any:
        """Make a vocabulary and return the deriva client's ``Table``."""
        name = tables.create_vocabulary(self.session, vocab_name, comment, schema, self.project_name)
        return self._made(name)

    def _made(self, name: TableName) -> Any:
        keep_model(self.session, self.workspace)
        return clients.model_table(self.catalog, name)

    def create_asset(
        self,
        asset_name: str,
        column_defs: Iterable[ColumnLike] = (),
        fkey_defs: Iterable[ForeignKeyDefinition] = (),
        referenced_tables: Iterable[Any] = (),
        comment: str = "",
        schema: str | None = None,
    ) -> Any:
        """Make an asset table, with the asset type of its name, and return the deriva client's ``Table``.

        Each of ``referenced_tables`` gives it a column of that name, which refers to a row there.
        """
        name = tables.create_asset(self.session, asset_name, column_defs, fkey_defs, referenced_tables, comment, schema)
        return self._made(name)

    def create_asset_table(
        self,
        asset_name: str,
        additional_columns: Iterable[ColumnLike] = (),
        comment: str = "",
        schema: str | None = None,
    ) -> Any:
        """Make an asset table; the shorter spelling of :meth:`create_asset`."""
        return self.create_asset(asset_name, additional_columns, comment=comment, schema=schema)

    def get_table_as_dict(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table, a page of them per request."""
        return pages(self.session, f"/entity/{self.session.model().find_table(table).name.path}")

    # --------------------------------------------------------------------------------------------------------- assets

    def list_assets(self, table: str, sort: bool | None = None) -> list[Asset]:
        """Return every asset of an asset table, newest first with ``sort=True``."""
        return asset.list_assets(self.session, table, sort)

    def find_assets(
        self, table: str | None = None, asset_type: str | None = None, sort: bool | None = None
    ) -> list[Asset]:
        """Return the assets of a table, or of all, that have a type."""
        return asset.find_assets(self.session, table, asset_type, sort)

    def lookup_asset(self, rid: str) -> Asset:
        """Return the asset ``rid``; raises DerivaMLRidsNotFound or DerivaMLTableTypeError when it is none."""
        return asset.lookup_asset(self.session, rid)

    def list_asset_tables(self) -> list[TableModel]:
        """Return every asset table."""
        return asset.list_asset_tables(self.session)

    def asset_record_class(self, table: str) -> type[AssetRecord]:
        """Return a pydantic class of the columns that users gave an asset table."""
        return asset.asset_record_class(self.session, table)

    # ------------------------------------------------------------------------------------------------------- features

    def create_feature(
        self,
        target_table: Any,
        feature_name: str,
        terms: Iterable[Any] = (),
        assets: Iterable[Any] = (),
        metadata: Iterable[Any] = (),
        optional: Collection[str] = (),
        comment: str = "",
    ) -> type[FeatureRecord]:
        """Make a feature and return the class of its records; see :func:`deriva_ml.feature.feature.create_feature`."""
        made = feature.create_feature(
            self.session, target_table, feature_name, terms, assets, metadata, optional, comment
        )
        keep_model(self.session, self.workspace)
        return made

    def lookup_feature(self, table: Any, feature_name: str) -> Feature:
        """Return a feature of a table; raises DerivaMLFeatureNotFound, which lists those that it has."""
        return feature.lookup_feature(self.session, table, feature_name)

    def find_features(self, table: Any = None) -> list[Feature]:
        """Return the features of a table, or of all."""
        return feature.find_features(self.session, table)

    def feature_record_class(self, table: Any, feature_name: str) -> type[FeatureRecord]:
        """Return the class of a feature's records."""
        return self.lookup_feature(table, feature_name).feature_record_class()

    def feature_values(
        self,
        table: Any,
        feature_name: str,
        selector: Callable[[list[FeatureRecord]], FeatureRecord | None] | None = None,
        materialize_limit: int | None = None,
        execution_rids: Collection[str] | None = None,
    ) -> Iterator[FeatureRecord]:
        """Yield the values of a feature; see :func:`deriva_ml.feature.feature.feature_values`."""
        return feature.feature_values(self.session, table, feature_name, selector, materialize_limit, execution_rids)

    def list_workflow_executions(self, workflow: Any) -> list[str]:
        """Return the RIDs of the executions of a workflow (its RID, or a Workflow), or of all of a workflow type."""
        return list_workflow_executions(self.session, workflow)

    def delete_feature(self, table: Any, feature_name: str) -> bool:
        """Drop a feature with all its values; return False when there is none."""
        return feature.delete_feature(self.session, table, feature_name)

    def add_features(self, features: Any) -> NoReturn:
        """Refuse: a value without the execution that gave it has no provenance. Use ``exe.add_features``."""
        raise DerivaMLExecutionError(
            "Features are written by an execution: `with ml.create_execution(…) as exe: exe.add_features(records)`."
        )

    # ------------------------------------------------------------------------------------------------------ workflows

    def create_workflow(self, name: str, workflow_type: str | list[str], description: str | None = None) -> Workflow:
        """Return the calling code as a workflow, not yet in the catalog; see :class:`~deriva_ml.workflow.workflow.Workflow`.

        Raises DerivaMLInvalidTerm when a type is no term of Workflow_Type.
        """
        types = [workflow_type] if isinstance(workflow_type, str) else workflow_type
        return Workflow(
            name=name, workflow_type=check_terms(self.session, "Workflow_Type", types), description=description
        )

    def add_workflow(self, workflow: Workflow) -> str:
        """Return the RID of the workflow's row, found by its checksum or made; ``create_execution`` does this itself."""
        return workflows.add_workflow(self.session, workflow)

    def find_workflows(self, sort: bool | None = None) -> list[Workflow]:
        """Return every workflow, newest first with ``sort=True``."""
        return workflows.find(self.session, sort)

    def lookup_workflow(self, rid: str) -> Workflow:
        """Return the workflow with this RID; raises DerivaMLNotFoundError when there is none."""
        return workflows.lookup(self.session, rid)

    def lookup_workflow_by_url(self, url_or_checksum: str) -> Workflow:
        """Return the workflow with this URL or checksum; raises DerivaMLNotFoundError when there is none."""
        return workflows.lookup_by_url(self.session, url_or_checksum)

    # ----------------------------------------------------------------------------------------------------- executions

    @cached_property
    def executions(self) -> Executions:
        """The executions of this workspace: its store, its staging folders, its dead runs."""
        return Executions(
            self.session, self.workspace, self.cache_dir, self.hydra_runtime_output_dir, self.clean_execution_dir
        )

    def create_execution(
        self,
        configuration: ExecutionConfiguration | None = None,
        *,
        datasets: Iterable[Any] | None = None,
        assets: Iterable[Any] | None = None,
        workflow: Workflow | str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Execution:
        """Record a new execution, from a configuration or from its parts; see :meth:`Executions.create`."""
        parts = {"datasets": datasets, "assets": assets, "description": description, "parameters": parameters}
        return self.executions.create(configuration, workflow, parts, dry_run)

    def resume_execution(self, execution_rid: str) -> Execution:
        """Return an execution of this workspace to go on with: to commit what it left, or to add to it."""
        return self.executions.resume(execution_rid)

    restore_execution = resume_execution

    def commit_pending_executions(
        self,
        *,
        execution_rids: str | Iterable[str] | None = None,
        clean_folder: bool = False,
        progress_callback: UploadCallback | None = None,
    ) -> UploadReport:
        """Commit what executions of this workspace left staged; one that fails does not keep the others back."""
        return self.executions.commit_pending(execution_rids, clean_folder, progress_callback)

    def load_sealed_bag(
        self, path: str | Path, *, clean_folder: bool = False, progress_callback: UploadCallback | None = None
    ) -> UploadReport:
        """Commit what an execution sealed on another machine (``exe.seal()``), exactly once however often it is loaded."""
        return self.executions.load_bag(path, clean_folder, progress_callback)

    def lookup_execution(self, execution_rid: str) -> ExecutionRecord:
        """Return the catalog's row of an execution, live; raises DerivaMLNotFoundError when there is none. Offline: as this workspace has it."""
        return known_here.lookup(self.session, self.executions.store, execution_rid)

    def find_executions(
        self,
        workflow: Any = None,
        workflow_type: str | None = None,
        status: ExecutionStatus | str | None = None,
        sort: bool | None = None,
        dataset: Any = None,
        dataset_role: str = "any",
    ) -> Iterator[ExecutionRecord]:
        """Yield the catalog's executions that fit every condition, newest first with ``sort=True``; a few requests in all."""
        return iter(find.find_executions(self.session, workflow, workflow_type, status, sort, dataset, dataset_role))

    def find_executions_consuming(self, rid: str) -> list[ExecutionRecord]:
        """Return the executions that read a dataset or an asset."""
        return find.find_consuming(self.session, rid)

    def multirun_status_summary(self, workflow_rid: str) -> dict[str, int]:
        """Return how many executions of a workflow are in each state."""
        return find.count_by_status(self.session, workflow_rid)

    def list_executions(
        self,
        *,
        status: Any = None,
        workflow_rid: str | None = None,
        mode: str | None = None,
        since: datetime | None = None,
    ) -> list[ExecutionSnapshot]:
        """Return the executions of this workspace, newest first; the catalog is not asked. ``status`` is one state or several."""
        return find.list_executions(self.executions.store, status, workflow_rid, mode, since)

    def find_incomplete_executions(self) -> list[ExecutionSnapshot]:
        """Return the executions of this workspace that are neither Uploaded nor given up."""
        return find.find_incomplete(self.executions.store)

    def find_stale_executions(self) -> list[Stale]:
        """Return the executions that wait for somebody: dead ones, uncommitted ones, those of machines out of sight."""
        return find_stale(self.session, self.executions.store)

    def mark_execution(self, execution_rid: str, status: ExecutionStatus | str, reason: str) -> ExecutionStatus:
        """Settle by hand what no machine can know; see :func:`deriva_ml.execution.mark.mark`. Return the state it had."""
        return mark(self.session, self.executions.store, execution_rid, str(status), reason)

    def clean_execution_dirs(
        self, older_than_days: float | None = None, exclude_rids: str | Iterable[str] = ()
    ) -> dict[str, Any]:
        """Remove the folders of executions whose files are all in the catalog, or that were given up; return what was freed."""
        return clean_execution_dirs(self.executions.store, older_than_days, exclude_rids)

    def gc_executions(
        self, *, older_than: datetime | None = None, status: Any = None, delete_working_dir: bool = False
    ) -> int:
        """Remove the local records of finished executions; the catalog keeps everything. Return how many."""
        return gc_executions(
            self.executions.store, older_than=older_than, status=status, delete_working_dir=delete_working_dir
        )

    def check(self, read_data: bool = False) -> CheckReport:
        """Examine this workspace and the catalog's files, embedded or on a server; ``read_data`` reads every byte."""
        embedded = self.host_name == EMBEDDED
        asked = self.session if embedded and not self.session.offline else None
        report = check_workspace(self.workspace, self.cache_dir, asked, read_data=read_data)
        if embedded:
            report.add(check_catalog(store_folder(self.working_dir), read_data=read_data))
        elif not self.session.offline:
            report.add(check_assets(self.session, read_data=read_data))
        return report

    def pending_summary(self) -> WorkspacePendingSummary:
        """Return what the executions of this workspace have staged and not yet committed."""
        return pending_in(self.executions.store)

    def list_execution_assets(self, execution_rid: str, asset_role: str | None = None) -> list[Asset]:
        """Return the assets that an execution read ("Input") or wrote ("Output"), or both."""
        return assets_of(self.session, execution_rid, asset_role)

    def list_asset_executions(self, asset_rid: str, asset_role: str | None = None) -> list[ExecutionRecord]:
        """Return the executions that read or wrote an asset."""
        return records(self.session, executions_with_assets(self.session, [asset_rid], asset_role))

    # ------------------------------------------------------------------------------------------------------- datasets

    def find_datasets(self, deleted: bool = False, sort: bool | None = None) -> Iterator[Dataset]:
        """Yield the datasets, deleted ones only if asked, newest first with ``sort=True``; three requests in all."""
        return finding.find_datasets(self.session, self.cache_dir, deleted=deleted, sort=sort)

    def lookup_dataset(self, dataset: Any, deleted: bool = False) -> Dataset:
        """Return the dataset that a RID or a spec names; raises DerivaMLDatasetNotFound when there is none."""
        return finding.lookup_dataset(self.session, self.cache_dir, dataset, deleted=deleted)

    def delete_dataset(self, dataset: Any, recurse: bool = False) -> None:
        """Mark a dataset as deleted, with ``recurse`` those below it; its history stays, and what used it can be traced."""
        finding.delete_dataset(self.session, dataset, recurse=recurse)

    def list_dataset_element_types(self) -> list[TableModel]:
        """Return the tables whose rows may be members of datasets."""
        return list_element_types(self.session)

    def add_dataset_element_type(self, table: Any) -> TableModel:
        """Let the rows of a table be members of datasets; adding it again changes nothing."""
        return add_element_type(self.session, getattr(table, "name", table))

    def download_dataset_bag(self, spec: Any) -> DatasetBag:
        """Bring a dataset version here as a checked bag; see :func:`deriva_ml.dataset.download.download_into`.

        ``spec`` is a DatasetSpec, a text like ``"1-ABC@1.0.0"``, or a mapping. Offline: one that was brought here before.
        """
        return later_inputs.bag(self.session, self.cache_dir, read_spec(spec))

    # -------------------------------------------------------------------------------------------------------- lineage

    def lookup_lineage(self, rid: str, *, depth: int | None = None, max_executions: int = 500) -> LineageResult:
        """Return how an artifact came to exist, back to the raw data; see :func:`deriva_ml.lineage.lookup.lookup`."""
        return lookup(self.session, rid, depth, max_executions)

    # -------------------------------------------------------------------------------------------------------- storage
