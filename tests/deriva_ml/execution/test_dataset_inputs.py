"""Datasets as inputs and outputs of executions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml import DatasetSpec, DerivaML, DerivaMLNotFoundError, Workflow
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.execution import Execution

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def made(lab: DerivaML, workflow: Workflow) -> tuple[Execution, Dataset]:
    """An execution that wrote two images and made a dataset of them, released as 1.0.0."""
    lab.add_dataset_element_type("Image")
    with lab.create_execution(workflow=workflow, description="made it") as exe:
        for name in ("a", "b"):
            exe.asset_file_path("Image", f"{name}.txt").write_text(name)
    exe.commit_output_assets()
    dataset = exe.create_dataset(dataset_types=["Training"], description="two images")
    dataset.add_dataset_members({"Image": [str(asset.asset_rid) for asset in exe.uploaded_assets]})
    dataset.release("major", "first release", execution=exe)
    return exe, dataset


def test_a_declared_dataset_is_here_before_the_run_begins(
    lab: DerivaML, workflow: Workflow, made: tuple[Execution, Dataset], rows: Rows
) -> None:
    _, dataset = made
    config = ExecutionConfiguration(workflow=workflow, datasets=[DatasetSpec(rid=dataset.rid, version="1.0.0")])
    with lab.create_execution(config) as exe:
        bag = exe.datasets[0]
        assert exe.datasets[dataset.rid] is bag
        assert [each.rid for each in exe.datasets] == [dataset.rid] == exe.dataset_rids
        assert len(exe.datasets) == 1
        members = bag.list_dataset_members()["Image"]
        texts = [(bag.path / "data" / "assets" / "Image" / row["RID"] / row["Filename"]).read_text() for row in members]
        assert sorted(texts) == ["a", "b"]
        assert exe.download_dataset_bag(DatasetSpec(rid=dataset.rid, version="1.0.0")) is bag
        assert exe.download_dataset_bag(bag) is bag
        with pytest.raises(KeyError, match="not among the inputs"):
            _ = exe.datasets["1-ABC"]
    exe.commit_output_assets()

    (link,) = rows(lab, "Dataset_Execution", Execution=exe.rid)
    version = next(entry for entry in dataset.dataset_history() if str(entry.dataset_version) == "1.0.0")
    assert (link["Dataset"], link["Dataset_Version"]) == (dataset.rid, version.version_rid)
    assert rows(lab, "File_Execution", Execution=exe.rid) == []
    assert [each.rid for each in exe.list_input_datasets()] == [dataset.rid]
    assert lab.lookup_execution(exe.rid).download_duration is not None
    assert [run.rid for run in lab.find_executions_consuming(dataset.rid)] == [exe.rid]
    assert [run.rid for run in lab.find_executions(dataset=dataset.rid, dataset_role="input")] == [exe.rid]


def test_a_dataset_knows_the_execution_that_made_it(lab: DerivaML, made: tuple[Execution, Dataset]) -> None:
    exe, dataset = made
    assert dataset.dataset_history()[-1].execution_rid == exe.rid
    assert [run.rid for run in lab.find_executions(dataset=dataset, dataset_role="output")] == [exe.rid]
    assert [run.rid for run in lab.find_executions(dataset=dataset)] == [exe.rid]


def test_a_version_that_is_not_there_leaves_no_execution(
    lab: DerivaML, workflow: Workflow, made: tuple[Execution, Dataset], rows: Rows
) -> None:
    before = len(rows(lab, "Execution"))
    with pytest.raises(DerivaMLNotFoundError, match=r"9\.9\.9"):
        lab.create_execution(workflow=workflow, datasets=[f"{made[1].rid}@9.9.9"])
    assert len(rows(lab, "Execution")) == before


def test_an_input_can_be_recorded_after_the_fact(
    lab: DerivaML, workflow: Workflow, made: tuple[Execution, Dataset], rows: Rows
) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        for _ in range(2):
            exe.add_input_dataset(made[1].rid, "1.0.0")
    exe.commit_output_assets()
    assert len(rows(lab, "Dataset_Execution", Execution=exe.rid)) == 1
    assert rows(lab, "File_Execution", Execution=exe.rid) == []
