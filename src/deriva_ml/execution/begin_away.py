"""Beginning an execution while the catalog is away: under a local name, with what this machine keeps of its inputs."""

from __future__ import annotations

import uuid

from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import check_terms
from deriva_ml.clock import monotonic, now
from deriva_ml.dataset.download import download_resolved
from deriva_ml.enums import MLVocab
from deriva_ml.errors import DerivaMLWorkflowError
from deriva_ml.execution import waiting_inputs
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.create import (
    Created,
    Place,
    aborting,
    being_created,
    dry_run,
    registered,
    save_rid,
    sealed_files,
    stage,
)
from deriva_ml.execution.inputs import Inputs, tag
from deriva_ml.execution.kept_inputs import bring_kept, described_inputs, resolve_kept
from deriva_ml.execution.metadata import captured, configuration_document, configuration_file
from deriva_ml.execution.run import Run
from deriva_ml.rid import local_name


def begin_away(session: Catalog, place: Place, configuration: ExecutionConfiguration, *, dry: bool = False) -> Created:
    """Create an execution in this workspace alone; opened online it gets its RID, and the catalog its rows.

    Raises:
        DerivaMLWorkflowError: no workflow was given.
        DerivaMLInvalidTerm: it has a type that was no term when the catalog was open last.
        DerivaMLOfflineError: inputs that are not on this machine; all are named, and nothing was written.
        DerivaMLException: a step failed; the execution is Aborted, with the reason.
    """
    workflow = configuration.workflow
    if workflow is None:
        raise DerivaMLWorkflowError(
            "An execution needs a workflow: pass `workflow=ml.create_workflow(name, type, description)` here or in the configuration."
        )
    if workflow.workflow_rid is None:
        check_terms(session, MLVocab.workflow_type, workflow.workflow_type)
    found = resolve_kept(session, place.cache, place.store, configuration)
    if dry:
        return dry_run(session, place, configuration, found)
    moment, problems = now(), list[str]()
    files = captured(workflow.git_root, place.hydra_dir, moment, problems)
    token = str(uuid.uuid4())
    name = local_name(token)
    document = configuration_document(configuration, name, moment, found.described(), problems)
    files = [configuration_file(document), *files]
    with being_created(place.store.workspace, name):
        entries = sealed_files(place.store.folder(name), session.ml_schema, files, [None] * len(files))
        place.store.register(
            registered(name, token, workflow.workflow_rid, configuration, document, moment, mode="offline"),
            lambda connection: stage(connection, place.store, name, configuration, entries),
        )
        run = Run(session, place.store, name)
        with aborting(run):
            return _prepared(run, place, found)


def _prepared(run: Run, place: Place, found: Inputs) -> Created:
    urls = [tag(path, digest) for path, digest in found.files]
    waiting_inputs.note(run.store, run.rid, **described_inputs(found, urls))
    save_rid(run, place, None)
    began = monotonic()
    bags = tuple(download_resolved(run.session, place.cache, spec, resolved) for spec, resolved in found.datasets)
    assets = tuple(bring_kept(run, place.cache, found))
    if bags or assets:
        run.store.annotate(run.rid, download_duration=monotonic() - began)
    return Created(run, bags, assets)
