"""The laws of the launchers as tables: what may be called, which override was meant, how tables and descriptions read."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.catalog.remote import RemotePort
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLValidationError
from deriva_ml.execution import (
    AssetSpec,
    AssetSpecConfig,
    DatasetSpecConfig,
    LocalFileConfig,
    get_multirun_config,
    list_multirun_configs,
    multirun_config,
    with_description,
)
from deriva_ml.launch.nearest import suggestion
from deriva_ml.launch.run import chosen_model, read_dry_run, run_model
from deriva_ml.launch.safety import check, targets

LAWS = [
    "catalog_overrides",
    "composed",
    "connection",
    "job",
    "kernel",
    "nearest",
    "notebook_markdown",
    "safety",
    "table",
    "version_bump",
]


@pytest.mark.parametrize("name", LAWS)
def test_the_examples_in_the_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"deriva_ml.launch.{name}"), optionflags=doctest.ELLIPSIS)
    assert result.attempted and not result.failed


STORED = {"models.digits.train"}


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"_target_": "models.digits.train"}, False),
        ({"_target_": "deriva_ml.launch.run.run_model"}, False),
        ({"_target_": "mine.model.fit"}, False),
        ({"_target_": "os.system"}, True),
        ({"model": [{"deep": {"_target_": "builtins.eval"}}]}, True),
        ({"_target_": "hydra_zen.funcs.zen_processing", "_zen_target": "subprocess.run"}, True),
        ({"_target_": "hydra_zen.funcs.get_obj", "path": "shutil.rmtree"}, True),
        ({"_target_": "models.digits.train", "_zen_wrappers": ["os.system"]}, True),
        ({"_target_": "deriva_mlx.evil"}, True),
        ({"_target_": "deriva_ml.files.write_whole"}, True),
        ({"_target_": "deriva_ml.cli.main.os.system"}, True),
        ({"_target_": "hydra.core.utils.os.system"}, True),
        ({"_target_": "models.digits.train", "_args_": [{"_target_": "os.system"}]}, True),
        (
            {
                "_target_": "hydra_zen.funcs.partial",
                "_args_": [{"_target_": "hydra_zen.funcs.get_obj", "path": "os.system"}],
            },
            True,
        ),
        ({"hydra": {"job_logging": {"handlers": {"x": {"class": "subprocess.Popen"}}}}}, True),
        ({"hydra": {"job_logging": {"handlers": {"x": {"()": "os.system"}}}}}, True),
        ({"hydra": {"job_logging": {"handlers": {"x": {"class": "logging.StreamHandler"}}}}}, False),
        ({"hydra": {"sweeper": {"custom_search_space": "os.system"}}}, True),
    ],
)
def test_a_configuration_calls_only_what_is_stored_or_the_projects(config: dict[str, Any], refused: bool) -> None:
    def look() -> None:
        check(config, STORED, lambda name: name.startswith("mine."))

    assert list(targets(config))
    if refused:
        with pytest.raises(DerivaMLConfigurationError, match="would call"):
            look()
    else:
        look()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("model_config.epocs=3", "model_config.epochs=3"),
        ("lerning_rate=1", "model_config.learning_rate=1"),
        ("experiment=fast", "+experiment=fast"),
        ("+model_config=quick", "model_config=quick"),
        ("+model_config.epochs=3", "model_config.epochs=3"),
        ("model_config.epochs=3", None),
        ("zzz=1", None),
    ],
)
def test_the_override_that_was_meant(wrong: str, right: str | None) -> None:
    options = {"model_config": ["quick", "default_model"], "experiment": ["fast"]}
    keys = ["model_config", "model_config.epochs", "model_config.learning_rate", "description"]
    assert suggestion(wrong, options, keys) == right


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [
        (True, "", True),
        ("validate", "", "validate"),
        (False, "", False),
        (False, "true", True),
        ("no", "validate", "validate"),
    ],
)
def test_dry_runs_are_asked_for_in_words(
    given: Any, variable: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_ML_DRY_RUN", variable)
    assert read_dry_run(given) == expected


def test_another_word_for_a_dry_run_is_refused() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="validate"):
        read_dry_run("maybe")


def test_a_model_function_must_take_what_it_is_given() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="ml_instance and execution"):
        chosen_model(None, lambda epochs: epochs)
    with pytest.raises(DerivaMLConfigurationError, match="no model function"):
        chosen_model(None, 3)
    assert chosen_model(lambda **settings: 1, None)() == 1


def test_sweeps_have_names() -> None:
    made = multirun_config("laws", ["model_config.lr=0.1,0.2"], "why")
    assert get_multirun_config("laws") == made and "laws" in list_multirun_configs()
    assert get_multirun_config("none") is None
    with pytest.raises(DerivaMLValidationError, match="spaces"):
        multirun_config("two words", [])


def test_configurations_of_inputs_become_inputs() -> None:
    from hydra_zen import instantiate

    assert instantiate(DatasetSpecConfig(rid="1-ABC", version="1.0.0")).rid == "1-ABC"
    assert instantiate(AssetSpecConfig(rid="2-GHI", cache=True)) == AssetSpec(rid="2-GHI", cache=True)
    assert instantiate(LocalFileConfig(path="/data/x.csv")).path == Path("/data/x.csv")
    found = instantiate(with_description(["1-ABC"], "one model"))
    assert list(found) == ["1-ABC"] and found.description == "one model"


def test_a_run_without_a_launcher_is_recorded_as_well(home: Path) -> None:
    from deriva_ml import DerivaML, DerivaMLConfig, Workflow

    def fit(*, ml_instance: Any, execution: Any) -> int:
        execution.log_metrics({"loss": 1.0})
        return 7

    workflow = Workflow(name="by hand", workflow_type="Training", url="file:///model.py", checksum="1" * 40)
    assert run_model(DerivaMLConfig(), [], [], "by hand", workflow, fit) == 7
    (record,) = DerivaML().find_executions(workflow_type="Training")
    assert str(record.status) == "Uploaded" and record.description == "by hand"


def test_the_token_of_the_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_TOKEN", "abc")
    assert RemotePort("https://data.example.org").credential == {"bearer-token": "abc"}
    assert RemotePort("https://data.example.org", {}).credential == {}
    assert os.environ["DERIVA_ML_TOKEN"] == "abc"
