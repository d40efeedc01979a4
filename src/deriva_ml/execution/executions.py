"""The executions of one workspace: made, found again and committed, with dead runs settled first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLReadOnlyError
from deriva_ml.execution import by_hand, signals
from deriva_ml.execution.batch import commit_pending
from deriva_ml.execution.begin_away import begin_away
from deriva_ml.execution.configuration import ExecutionConfiguration, configuration_from
from deriva_ml.execution.create import Place, create
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.load_bag import load_bag
from deriva_ml.execution.recover import adopt, reopen
from deriva_ml.execution.report import UploadCallback, UploadReport
from deriva_ml.execution.run import Run
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.names import check_text
from deriva_ml.rid import check_rid, is_local
from deriva_ml.workflow import registry
from deriva_ml.workflow.workflow import Workflow


class Executions:
    """The executions of the workspace in a folder, and of one catalog."""

    def __init__(
        self, session: Catalog, workspace: Path, cache: Path, hydra_dir: Path | None = None, clean: bool = True
    ) -> None:
        self._session = session
        self._clean = clean
        self.store = ExecutionStore(workspace)
        self._place = Place(self.store, cache, hydra_dir)

    def create(
        self,
        configuration: ExecutionConfiguration | None,
        workflow: Workflow | str | None,
        parts: Mapping[str, Any],
        dry_run: bool,
    ) -> Execution:
        """Record a new execution: either a configuration, whose workflow may be given beside it, or its parts.

        Raises:
            TypeError: a configuration and parts of one.
            DerivaMLWorkflowError: no workflow.
            DerivaMLNotFoundError, DerivaMLTableTypeError, DerivaMLValidationError: an input is not as declared; nothing was written.
            DerivaMLException: a step failed; the execution is Aborted, with the reason.
        """
        _check_kind(configuration)
        given = {name: value for name, value in parts.items() if value is not None}
        if configuration is not None and given:
            raise TypeError(f"Give a configuration, or its parts ({', '.join(given)}), not both.")
        chosen = ExecutionConfiguration(**given) if configuration is None else configuration
        if workflow is not None:
            found = registry.lookup_by_url(self._session, workflow) if isinstance(workflow, str) else workflow
            chosen = chosen.model_copy(update={"workflow": found})
        for text, what in [(chosen.description, "description"), *((name, "parameter") for name in chosen.parameters)]:
            check_text(text, what)
        begin = begin_away if self._session.offline else create
        made = begin(self._session, self._place, chosen, dry=dry_run)
        signals.expect(made.run.lock_file("end"))
        return Execution(made.run, self._place, chosen, made, clean=self._clean)

    def resume(self, rid: str) -> Execution:
        """Return an execution to go on with; a run whose process is gone is Pending_Upload by then.

        Raises:
            DerivaMLNotFoundError: neither this workspace nor the catalog has it.
            DerivaMLStateInconsistency: this workspace does not know it, or catalog and workspace contradict each other.
        """
        self._refuse_snapshot()
        return self._opened(reopen(self._session, self.store, rid if is_local(rid) else check_rid(rid)))

    def move(self, rid: str, target: ExecutionStatus | str, error: str | None = None) -> None:
        """Bring an execution of this workspace to another state, with the error that led there.

        Raises:
            DerivaMLStateInconsistency: this workspace does not know it.
            InvalidTransitionError, DerivaMLBusyError, DerivaMLValidationError: as ``Execution.update_status`` raises them.
        """
        self._refuse_snapshot()
        by_hand.move(Run(self._session, self.store, self.store.require(rid).rid), target, None, error)

    def _refuse_snapshot(self) -> None:
        if self._session.snapshot:
            raise DerivaMLReadOnlyError("A snapshot of the catalog cannot be written to: open the live catalog.")

    def adopt(self, rid: str) -> Execution:
        """Return an execution that another workspace began, to go on with here: for those who know that nobody is at it.

        Raises:
            DerivaMLNotFoundError: the catalog has no such execution.
        """
        return self._opened(adopt(self._session, self.store, rid))

    def _opened(self, run: Run) -> Execution:
        return Execution(run, self._place, configuration_from(dict(run.registered.config)), clean=self._clean)

    def commit_pending(
        self, rids: str | Iterable[str] | None = None, clean: bool = False, progress: UploadCallback | None = None
    ) -> UploadReport:
        """Commit what executions left staged: those named, or all; see :func:`deriva_ml.execution.batch.commit_pending`."""
        return commit_pending(self._session, self.store, rids, clean=clean, progress=progress)

    def load_bag(
        self, archive: str | Path, clean: bool = False, progress: UploadCallback | None = None
    ) -> UploadReport:
        """Load a sealed bag of another machine; see :func:`deriva_ml.execution.load_bag.load_bag`."""
        return load_bag(self._session, self.store, Path(archive), clean=clean, progress=progress)


def _check_kind(configuration: object) -> None:
    if configuration is None or isinstance(configuration, ExecutionConfiguration):
        return
    hint = " Pass it as workflow=…" if isinstance(configuration, Workflow) else ""
    raise TypeError(f"The configuration is a {type(configuration).__name__}, not an ExecutionConfiguration.{hint}")
