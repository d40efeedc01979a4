"""The laws of the launchers as tables: what may be called, which override was meant, how tables and descriptions read."""

from __future__ import annotations

import doctest
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hydra_zen import builds, instantiate

from deriva_ml import DerivaML, DerivaMLConfig, Workflow
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.cli.main import group as umbrella
from deriva_ml.cli.run_notebook import command as run_notebook_command
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLInvalidTerm, DerivaMLValidationError
from deriva_ml.execution import (
    AssetSpec,
    AssetSpecConfig,
    BaseConfig,
    DatasetSpecConfig,
    DerivaMLModel,
    LocalFileConfig,
    get_multirun_config,
    get_notebook_configuration,
    list_multirun_configs,
    load_configs,
    multirun_config,
    notebook_config,
    run_notebook,
    with_description,
)
from deriva_ml.launch.nearest import suggestion
from deriva_ml.launch.registration import make_importable, roots_of
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
        ("script_config=prepare", "+script_config=prepare"),
        ("multirun=lr", "+multirun=lr_sweep"),
        ("hydra/launcher=jolib", "hydra/launcher=joblib"),
        ("+model_config=quick", "model_config=quick"),
        ("+model_config.epochs=3", "model_config.epochs=3"),
        ("model_config.epochs=3", None),
        ("zzz=1", None),
    ],
)
def test_the_override_that_was_meant(wrong: str, right: str | None) -> None:
    options = {"model_config": ["quick", "default_model"], "experiment": ["fast"], "multirun": ["lr_sweep"]}
    options |= {"script_config": ["prepare"], "hydra/launcher": ["basic", "joblib"]}
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
    assert isinstance(lambda *, ml_instance, execution: 1, DerivaMLModel)


def test_sweeps_have_names() -> None:
    made = multirun_config("laws", ["model_config.lr=0.1,0.2"], "why")
    assert get_multirun_config("laws") == made and "laws" in list_multirun_configs()
    assert get_multirun_config("none") is None
    with pytest.raises(DerivaMLValidationError, match="spaces"):
        multirun_config("two words", [])


def test_configurations_of_inputs_become_inputs() -> None:
    assert instantiate(DatasetSpecConfig(rid="1-ABC", version="1.0.0")).rid == "1-ABC"
    assert instantiate(AssetSpecConfig(rid="2-GHI", cache=True)) == AssetSpec(rid="2-GHI", cache=True)
    assert instantiate(LocalFileConfig(path="/data/x.csv")).path == Path("/data/x.csv")
    found = instantiate(with_description(["1-ABC"], "one model"))
    assert list(found) == ["1-ABC"] and found.description == "one model"


def test_a_run_without_a_launcher_is_recorded_as_well(home: Path) -> None:
    def fit(*, ml_instance: Any, execution: Any) -> int:
        execution.log_metrics({"loss": 1.0})
        return 7

    workflow = Workflow(name="by hand", workflow_type="Training", url="file:///model.py", checksum="1" * 40)
    assert run_model(DerivaMLConfig(), [], [], "by hand", workflow, fit) == 7
    (record,) = DerivaML().find_executions(workflow_type="Training")
    assert str(record.status) == "Uploaded" and record.description == "by hand"


def _exits(execution: Any) -> None:
    sys.exit()


def _exits_with_a_code(execution: Any) -> None:
    sys.exit(3)


def _commits_and_fails(execution: Any) -> None:
    execution.execution_stop()
    execution.commit_output_assets()
    raise ValueError("the test set is empty")


def _stops_and_fails(execution: Any) -> None:
    execution.execution_stop()
    raise ValueError("the test set is empty")


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (_exits, "Uploaded", ""),
        (_exits_with_a_code, "Failed", "SystemExit: 3"),
        (_commits_and_fails, "Failed", "ValueError: the test set is empty"),
        (_stops_and_fails, "Failed", "ValueError: the test set is empty"),
    ],
)
def test_as_the_model_ends_so_does_its_execution(
    home: Path, end: Callable[[Any], None], status: str, reason: str
) -> None:
    def fit(*, ml_instance: Any, execution: Any) -> None:
        execution.asset_file_path("Execution_Asset", "line.txt").write_text("3.0")
        end(execution)

    workflow = Workflow(name="an end", workflow_type="Training", url="file:///model.py", checksum="2" * 40)
    with suppress(ValueError, SystemExit):
        run_model(DerivaMLConfig(), [], [], "an end", workflow, fit)
    (record,) = DerivaML().find_executions(workflow_type="Training")
    assert (str(record.status), record.status_detail) == (status, reason)
    assert "line.txt" in {asset.filename for asset in DerivaML().list_execution_assets(record.execution_rid, "Output")}


@pytest.mark.parametrize("dry_run", [True, "validate"])
def test_what_a_run_would_refuse_a_dry_one_refuses(home: Path, dry_run: Any) -> None:
    workflow = Workflow(name="x", workflow_type="Trainning", url="file:///model.py", checksum="3" * 40)
    with pytest.raises(DerivaMLInvalidTerm, match="Trainning"):
        run_model(DerivaMLConfig(), [], [], "", workflow, lambda **settings: 1, dry_run=dry_run)


@dataclass
class Strict(BaseConfig):
    threshold: float = 0.5


@pytest.fixture
def elsewhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without configurations above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")


@pytest.mark.usefixtures("elsewhere")
def test_the_fields_of_a_notebooks_configuration_keep_their_types() -> None:
    notebook_config("strict", Strict, threshold=0.75)
    assert get_notebook_configuration(Strict, "strict", ["threshold=1e-3"]).threshold == 0.001
    with pytest.raises(DerivaMLConfigurationError, match="'high'"):
        get_notebook_configuration(Strict, "strict", ["threshold=high"])


@pytest.mark.usefixtures("elsewhere")
def test_a_dry_notebook_makes_no_term() -> None:
    ml, execution, config = run_notebook(overrides=["dry_run=true"], workflow_type="Unheard of")
    assert execution.execution_rid == "0000" and config.dry_run is True
    assert "Unheard of" not in {term.name for term in ml.list_vocabulary_terms("Workflow_Type")}


def test_a_connection_as_older_projects_configure_it(home: Path) -> None:
    class Ours(DerivaML):
        def __init__(self, hostname: str, catalog_id: str, use_minid: bool = True) -> None:
            super().__init__(hostname, catalog_id, use_minid=use_minid)

    config = instantiate(builds(DerivaMLConfig, use_minid=False, populate_full_signature=True))
    assert type(config.open(Ours)) is Ours
    with pytest.raises(DerivaMLConfigurationError, match="s3_bucket"):
        DerivaMLConfig(s3_bucket="s3://ours").open()


def test_what_lies_around_a_project_can_be_imported_but_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = tmp_path / "lib" / "configs"
    configs.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    make_importable(configs)
    assert sys.path[:2] == [str(tmp_path / "lib"), str(tmp_path)]
    assert roots_of(configs) == [str(tmp_path / "lib")]


@pytest.mark.parametrize("verb", ["run", "run-notebook", "bump-version", "install-kernel", "upload", "status"])
def test_the_help_of_a_launcher_fits_a_screen(verb: str) -> None:
    shown = CliRunner().invoke(umbrella, [verb, "--help"])
    assert shown.exit_code == 0 and len(shown.output.splitlines()) <= 24


def test_a_notebook_must_be_named() -> None:
    done = CliRunner().invoke(run_notebook_command, [])
    assert done.exit_code == 2 and "NOTEBOOK" in done.output


def test_an_error_in_what_is_stored_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrongly_stored").mkdir()
    (tmp_path / "wrongly_stored" / "__init__.py").write_text(
        "from hydra_zen import store\nstore(object(), group='model_config', name='no_callable')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DerivaMLConfigurationError, match="wrongly_stored cannot be read"):
        load_configs("wrongly_stored")


def test_the_token_of_the_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_TOKEN", "abc")
    assert RemotePort("https://data.example.org").credential == {"bearer-token": "abc"}
    assert RemotePort("https://data.example.org", {}).credential == {}
    assert os.environ["DERIVA_ML_TOKEN"] == "abc"
