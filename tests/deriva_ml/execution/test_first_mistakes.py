"""What a tired user calls wrongly is answered by one clear error, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import DerivaML, Workflow
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLValidationError
from deriva_ml.execution import Execution, ExecutionStatus


class Tensor:
    """A number of another library, as torch has them: no numpy, an ``item()``, a text that is not the number."""

    def item(self) -> float:
        return 0.25

    def __str__(self) -> str:
        return "tensor(0.2500, grad_fn=<NllLossBackward0>)"


class Fraction:
    """A number that only ``float()`` reads."""

    def __float__(self) -> float:
        return 0.5


class Array:
    """Many numbers: ``item()`` refuses them."""

    def item(self) -> float:
        raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")

    def tolist(self) -> list[float]:
        return [1.0, 2.0]


def test_numbers_of_other_libraries_are_numbers(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow, parameters={"lr": Tensor()}) as exe:
        exe.log_metrics(
            {"loss": Tensor(), "half": Fraction(), "both": Array(), "inside": {"x": [Tensor()]}}, step=Tensor()
        )
        exe.log_params(rate=Tensor())
        for wrong in (object(), {1, 2}, {"x": object()}):
            with pytest.raises(DerivaMLValidationError, match=r"Metrics are numbers.*of type.*Nothing was recorded"):
                exe.log_metrics({"wrong": wrong})
    assert exe.metrics == [{"step": 0.25, "loss": 0.25, "half": 0.5, "both": [1.0, 2.0], "inside": {"x": [0.25]}}]
    assert exe.parameters == {"lr": 0.25, "rate": 0.25}


def test_secrets_among_parameters_do_not_leave_the_machine(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.log_params(password="hunter2", db={"api_key": "hunter2"}, max_tokens=5)
        exe.log_params(password="hunter2")
    exe.commit_output_assets()
    (logged,) = [asset for asset in exe.list_assets("Output") if asset.filename == "parameters.json"]
    content = json.loads(local_lab.session.hatrac("GET", logged.url).body)
    assert content == {"password": "[redacted]", "db": {"api_key": "[redacted]"}, "max_tokens": 5}


def test_one_rid_is_not_a_list_of_letters(
    local_lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution]
) -> None:
    kept, other = committed(local_lab, a="1"), committed(local_lab, b="2")
    for exe in (kept, other):
        (exe.working_dir / "notes.txt").write_text("mine")
    assert local_lab.clean_execution_dirs(exclude_rids=kept.rid)["dirs_removed"] == 1
    assert (kept.working_dir / "notes.txt").exists()
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.log_metrics(loss=1)
    assert local_lab.commit_pending_executions(execution_rids=exe.rid).execution_rids == [exe.rid]
    assert exe.status is ExecutionStatus.Uploaded


def test_wrong_calls_say_what_is_right(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    for call in (
        lambda: local_lab.create_execution(workflow),  # type: ignore[arg-type]
        lambda: local_lab.create_execution(workflow, workflow=workflow),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"is a Workflow, not an ExecutionConfiguration\. Pass it as workflow="):
            call()
    with pytest.raises(DerivaMLValidationError, match="None is not a RID"):
        local_lab.resume_execution(None)  # type: ignore[arg-type]
    with pytest.raises(DerivaMLIntegrityError, match=r"is a folder: name the archive"):
        local_lab.load_sealed_bag(tmp_path)
    exe = local_lab.create_execution(workflow=workflow)
    exe.abort(5)  # type: ignore[arg-type]
    assert local_lab.lookup_execution(exe.rid).status_detail == "5"
