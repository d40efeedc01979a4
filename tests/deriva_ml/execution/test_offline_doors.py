"""Every public method of ``DerivaML`` and of ``Execution`` offline: it works by what is kept here, or says clearly why not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import (
    DerivaML,
    DerivaMLConfig,
    DerivaMLOfflineError,
    DerivaMLReadOnlyError,
    TableDefinition,
    Workflow,
)
from deriva_ml.errors import DerivaMLExecutionError
from deriva_ml.execution.execution import Execution

Call = Callable[["Place"], Any]


class Place:
    """An offline session, with executions in it and a sealed bag."""

    def __init__(self, ml: DerivaML, workflow: Workflow, image: str, folder: Path) -> None:
        self.ml, self.workflow, self.image, self.folder = ml, workflow, image, folder
        self.new = ml.create_execution(workflow=workflow)
        self.exe = ml.create_execution(workflow=workflow, description="away")
        self.exe.execution_start()
        self.path = self.exe.asset_file_path("Image", "a.txt")
        self.path.write_text("a")

    def grades(self) -> list[Any]:
        return [self.ml.feature_record_class("Image", "Grade")(Image=self.image, Grade="Mild")]


WORKS_ML: dict[str, Call] = {
    "asset_record_class": lambda p: p.ml.asset_record_class("Image"),
    "catalog_snapshot": lambda p: p.ml.catalog_snapshot("33P-9WPG-1C9J"),
    "chaise_url": lambda p: p.ml.chaise_url("Image"),
    "check": lambda p: p.ml.check(read_data=True),
    "clean_execution_dirs": lambda p: p.ml.clean_execution_dirs(),
    "clear_vocabulary_cache": lambda p: (p.ml.clear_vocabulary_cache(), p.ml.lookup_term("Grade", "Mild")),
    "create_execution": lambda p: p.ml.create_execution(workflow=p.workflow),
    "create_workflow": lambda p: p.ml.create_workflow("x", "Training"),
    "default_schema": lambda p: p.ml.default_schema,
    "domain_schemas": lambda p: p.ml.domain_schemas,
    "executions": lambda p: p.ml.executions,
    "feature_record_class": lambda p: p.ml.feature_record_class("Image", "Grade"),
    "find_features": lambda p: p.ml.find_features("Image"),
    "find_incomplete_executions": lambda p: p.ml.find_incomplete_executions(),
    "find_stale_executions": lambda p: p.ml.find_stale_executions(),
    "from_context": lambda p: DerivaML.from_context(p.folder),
    "gc_executions": lambda p: p.ml.gc_executions(),
    "host_name": lambda p: p.ml.host_name,
    "instantiate": lambda p: DerivaML.instantiate(DerivaMLConfig(mode="offline")),
    "is_snapshot": lambda p: p.ml.is_snapshot(),
    "list_asset_tables": lambda p: p.ml.list_asset_tables(),
    "list_dataset_element_types": lambda p: p.ml.list_dataset_element_types(),
    "list_executions": lambda p: p.ml.list_executions(),
    "list_vocabulary_terms": lambda p: p.ml.list_vocabulary_terms("Grade"),
    "lookup_execution": lambda p: p.ml.lookup_execution(p.exe.rid).status,
    "lookup_feature": lambda p: p.ml.lookup_feature("Image", "Grade"),
    "lookup_term": lambda p: p.ml.lookup_term("Grade", "Mild"),
    "mark_execution": lambda p: p.ml.mark_execution(p.ml.create_execution(workflow=p.workflow).rid, "Aborted", "why"),
    "ml_schema": lambda p: p.ml.ml_schema,
    "pending_summary": lambda p: p.ml.pending_summary().render(),
    "pin_status": lambda p: p.ml.pin_status(),
    "project_name": lambda p: p.ml.project_name,
    "restore_execution": lambda p: p.ml.restore_execution(p.exe.rid),
    "resume_execution": lambda p: p.ml.resume_execution(p.exe.rid),
    "unpin_schema": lambda p: p.ml.unpin_schema(),
}  # fmt: skip
REFUSES_ML: dict[str, Call] = {
    "add_dataset_element_type": lambda p: p.ml.add_dataset_element_type("Image"),
    "add_term": lambda p: p.ml.add_term("Grade", "New", "new"),
    "add_workflow": lambda p: p.ml.add_workflow(p.workflow),
    "catalog": lambda p: p.ml.catalog.get("/schema"),
    "cite": lambda p: p.ml.cite(p.image),
    "commit_pending_executions": lambda p: p.ml.commit_pending_executions(),
    "create_asset": lambda p: p.ml.create_asset("Slide"),
    "create_asset_table": lambda p: p.ml.create_asset_table("Slide"),
    "create_feature": lambda p: p.ml.create_feature("Image", "New", terms=["Grade"]),
    "create_table": lambda p: p.ml.create_table(TableDefinition("New")),
    "create_vocabulary": lambda p: p.ml.create_vocabulary("New"),
    "delete_dataset": lambda p: p.ml.delete_dataset("1-ABC"),
    "delete_feature": lambda p: p.ml.delete_feature("Image", "Grade"),
    "delete_term": lambda p: p.ml.delete_term("Grade", "Mild"),
    "diff_schema": lambda p: p.ml.diff_schema(),
    "domain_path": lambda p: p.ml.domain_path(),
    "download_dataset_bag": lambda p: p.ml.download_dataset_bag("1-ABC@1.0.0"),
    "feature_values": lambda p: list(p.ml.feature_values("Image", "Grade")),
    "find_assets": lambda p: p.ml.find_assets(),
    "find_datasets": lambda p: list(p.ml.find_datasets()),
    "find_executions": lambda p: list(p.ml.find_executions()),
    "find_executions_consuming": lambda p: p.ml.find_executions_consuming("1-ABC"),
    "find_workflows": lambda p: p.ml.find_workflows(),
    "get_table_as_dict": lambda p: list(p.ml.get_table_as_dict("Image")),
    "hatrac": lambda p: p.ml.hatrac.get_obj("/hatrac/x"),
    "is_authenticated": lambda p: p.ml.is_authenticated(),
    "list_asset_executions": lambda p: p.ml.list_asset_executions(p.image),
    "list_assets": lambda p: p.ml.list_assets("Image"),
    "list_execution_assets": lambda p: p.ml.list_execution_assets("1-ABC"),
    "list_workflow_executions": lambda p: p.ml.list_workflow_executions("1-ABC"),
    "load_sealed_bag": lambda p: p.ml.load_sealed_bag(p.exe.seal(p.folder / "loaded.zip")),
    "lookup_asset": lambda p: p.ml.lookup_asset(p.image),
    "lookup_dataset": lambda p: p.ml.lookup_dataset("1-ABC"),
    "lookup_lineage": lambda p: p.ml.lookup_lineage(p.image),
    "lookup_workflow": lambda p: p.ml.lookup_workflow("1-ABC"),
    "lookup_workflow_by_url": lambda p: p.ml.lookup_workflow_by_url("abc"),
    "model": lambda p: p.ml.model,
    "multirun_status_summary": lambda p: p.ml.multirun_status_summary("1-ABC"),
    "pathBuilder": lambda p: p.ml.pathBuilder(),
    "pin_schema": lambda p: p.ml.pin_schema("why"),
    "refresh_schema": lambda p: p.ml.refresh_schema(),
    "resolve_rid": lambda p: p.ml.resolve_rid(p.image),
    "resolve_rids": lambda p: p.ml.resolve_rids([p.image]),
    "user_list": lambda p: p.ml.user_list(),
    "whoami": lambda p: p.ml.whoami(),
}
ANOTHER_ERROR = {"add_features"}  # of the front door: everywhere an error, which says that executions write features
WORKS_EXE: dict[str, Call] = {
    "abort": lambda p: p.ml.create_execution(workflow=p.workflow).abort("why"),
    "add_features": lambda p: p.exe.add_features(p.grades()),
    "add_nested_execution": lambda p: p.exe.add_nested_execution(p.new),
    "asset_file_path": lambda p: p.exe.asset_file_path("Mask", "m.txt").write_text("m"),
    "asset_file_paths": lambda p: p.exe.asset_file_paths("Image", [__file__]),
    "asset_paths": lambda p: p.exe.asset_paths,
    "catalog": lambda p: p.exe.catalog,
    "database_catalog": lambda p: p.exe.database_catalog,
    "dataset_rids": lambda p: p.exe.dataset_rids,
    "discard_asset": lambda p: p.exe.discard_asset(p.exe.asset_file_path("Image", "gone.txt")),
    "discard_features": lambda p: p.exe.discard_features("Image", "Grade", [p.image]),
    "dry_run": lambda p: p.exe.dry_run,
    "error": lambda p: p.exe.error,
    "execute": lambda p: p.exe.execute(),
    "execution_record": lambda p: (p.exe.execution_record.description, p.exe.execution_record.created_time),
    "execution_rid": lambda p: p.exe.execution_rid,
    "execution_start": lambda p: p.ml.create_execution(workflow=p.workflow).execution_start(),
    "execution_stop": lambda p: p.exe.execution_stop(),
    "is_nested": lambda p: p.exe.is_nested(),
    "is_parent": lambda p: p.exe.is_parent(),
    "list_execution_children": lambda p: p.exe.list_execution_children(recurse=True),
    "list_execution_parents": lambda p: p.exe.list_execution_parents(recurse=True),
    "list_input_datasets": lambda p: p.exe.list_input_datasets(),
    "list_nested_executions": lambda p: p.exe.list_nested_executions(),
    "list_parent_executions": lambda p: p.exe.list_parent_executions(),
    "log_metrics": lambda p: p.exe.log_metrics({"loss": 1}),
    "log_params": lambda p: p.exe.log_params(lr=1),
    "metrics": lambda p: p.exe.metrics,
    "metrics_file": lambda p: p.exe.metrics_file().write_text("{}\n"),
    "parameters": lambda p: p.exe.parameters,
    "pending_summary": lambda p: p.exe.pending_summary(),
    "rid": lambda p: p.exe.rid,
    "seal": lambda p: p.exe.seal(p.folder / "sealed.zip"),
    "start_time": lambda p: p.exe.start_time,
    "status": lambda p: p.exe.status,
    "stop_time": lambda p: p.exe.stop_time,
    "update_status": lambda p: p.exe.update_status(p.exe.status, "a message"),
    "uploaded_assets": lambda p: p.exe.uploaded_assets,
    "workflow_rid": lambda p: p.exe.workflow_rid,
    "working_dir": lambda p: p.exe.working_dir,
}  # fmt: skip
REFUSES_EXE: dict[str, Call] = {
    "add_input_dataset": lambda p: p.exe.add_input_dataset("1-ABC", "1.0.0"),
    "commit_output_assets": lambda p: p.exe.commit_output_assets(),
    "create_dataset": lambda p: p.exe.create_dataset(),
    "download_asset": lambda p: p.exe.download_asset("1-ABC"),
    "download_dataset_bag": lambda p: p.exe.download_dataset_bag("1-ABC@1.0.0"),
    "list_assets": lambda p: p.exe.list_assets(),
    "upload_execution_outputs": lambda p: p.exe.upload_execution_outputs(),
}
OF_OBJECTS: dict[str, Call] = {
    "a record's state": lambda p: p.exe.execution_record.update_status("Stopped"),
    "a record's children": lambda p: p.exe.execution_record.list_execution_children(),
    "a record's description": lambda p: setattr(p.exe.execution_record, "description", "x"),
    "a term": lambda p: p.ml.lookup_term("Grade", "Mild").delete(),
    "a snapshot": lambda p: list(p.ml.catalog_snapshot("33P-9WPG-1C9J").find_executions()),
}


@pytest.fixture
def place(local_lab: DerivaML, workflow: Workflow, home: Path, tmp_path: Path) -> Iterator[Place]:
    local_lab.pin_schema("so that there is something to unpin")
    local_lab.add_workflow(workflow)
    (tmp_path / ".deriva-context.json").write_text(json.dumps({"hostname": "embedded", "catalog_id": "1"}))
    yield Place(DerivaML(mode="offline"), workflow.model_copy(), "1-ABC", tmp_path)


def public(of: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(of) if not name.startswith("_")}


def test_each_works_or_says_why_not(place: Place) -> None:
    assert public(DerivaML) == {*WORKS_ML, *REFUSES_ML, *ANOTHER_ERROR}
    assert public(Execution) == {*WORKS_EXE, *REFUSES_EXE}
    wrong = []
    for table in (WORKS_ML, WORKS_EXE):
        for name in sorted(table, key=lambda each: each in ("execution_stop", "seal")):
            try:
                table[name](place)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
                wrong.append(f"{name} should work: {type(error).__name__}: {error}")
    for table in (REFUSES_ML, REFUSES_EXE, OF_OBJECTS):
        for name, call in table.items():
            try:
                call(place)
            except (DerivaMLOfflineError, DerivaMLReadOnlyError) as error:
                if "offline" not in str(error) or not any(word in str(error) for word in ("online", "can be reached")):
                    wrong.append(f"{name} does not say what to do: {error}")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
                wrong.append(f"{name}: {type(error).__name__}: {error}")
            else:
                wrong.append(f"{name} should refuse")
    assert not wrong, "\n".join(wrong)
    with pytest.raises(DerivaMLExecutionError, match="written by an execution"):
        place.ml.add_features([])
