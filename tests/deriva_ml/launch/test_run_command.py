"""``deriva-ml-run``: groups, overrides, presets, dry runs, failures, and what the catalog says afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from catalog_says import said_of
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from launch_lab import call, call_each, git, write_project

from deriva_ml import DerivaML
from deriva_ml.catalog import objects
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.execution.record import ExecutionRecord
from deriva_ml.launch.hydra_main import explained


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The project and its home; one catalog for all tests of this file."""
    folder = tmp_path_factory.mktemp("run")
    return write_project(folder / "project"), folder / "home"


def newest(home: Path) -> tuple[DerivaML, ExecutionRecord]:
    ml = DerivaML(working_dir=home)
    return ml, next(iter(ml.find_executions(sort=True)))


def configuration(ml: DerivaML, rid: str, target: Path) -> dict[str, object]:
    assets = ml.list_execution_assets(rid, "Output")
    found = next(asset for asset in assets if asset.filename == "configuration.json")
    objects.get(ml.session, found.url, target / "configuration.json")
    content: dict[str, object] = json.loads((target / "configuration.json").read_text())
    return content


def test_a_run_is_recorded_with_its_choices_settings_and_hydra_files(place: tuple[Path, Path], tmp_path: Path) -> None:
    project, home = place
    done = call(project, home, "run", "model_config=quick", "model_config.lr=0.5")
    assert done.returncode == 0, done.stderr
    ml, record = newest(home)
    assert f"Execution {record.execution_rid}: Uploaded" in done.stdout
    assert record.description == "digits [overrides: model_config=quick, model_config.lr=0.5]"
    content = configuration(ml, record.execution_rid, tmp_path)
    choices = {"model_config": "quick", "workflow": "default_workflow", "datasets": "default_dataset"}
    assert choices.items() <= dict(content["config_choices"]).items()  # type: ignore[call-overload]
    assert content["parameters"] == {"epochs": 1, "lr": 0.5, "fail": False, "wait": 0.0}
    names = {asset.filename for asset in ml.list_execution_assets(record.execution_rid)}
    assert {"weights.txt", "metrics.jsonl"} <= names
    assert sum(name.startswith("hydra-") for name in names) == 3
    assert said_of(ml.session, record.execution_rid).broken() == []


def test_the_workflow_is_the_file_of_the_model_function(place: tuple[Path, Path]) -> None:
    project, home = place
    assert call(project, home, "run").returncode == 0
    _, record = newest(home)
    head = git(project, "rev-parse", "HEAD").strip()
    blob = git(project, "hash-object", "models/digits.py").strip()
    assert record.workflow.url == f"file://{project}/blob/{head}/models/digits.py"
    assert record.workflow.checksum == blob
    assert record.workflow.name == "digits"


def test_an_experiment_is_a_preset(place: tuple[Path, Path], tmp_path: Path) -> None:
    project, home = place
    assert call(project, home, "run", "+experiment=fast").returncode == 0
    ml, record = newest(home)
    assert record.description.startswith("a fast one")
    content = configuration(ml, record.execution_rid, tmp_path)
    assert dict(content["config_choices"])["model_config"] == "quick"  # type: ignore[call-overload]


@pytest.mark.parametrize(("how", "runs"), [("true", True), ("validate", False)])
def test_a_dry_run_writes_nothing(place: tuple[Path, Path], how: str, runs: bool) -> None:
    project, home = place
    before = len(list(DerivaML(working_dir=home).find_executions()))
    done = call(project, home, "run", f"dry_run={how}")
    assert done.returncode == 0, done.stderr
    assert ("Execution 0000" in done.stdout) is runs
    assert ("valid" in done.stdout) is not runs
    assert len(list(DerivaML(working_dir=home).find_executions())) == before


def test_validation_finds_an_input_that_is_not_there(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run", "dry_run=validate", "assets=[9-ZZZZ]")
    assert done.returncode == 1 and "9-ZZZZ" in done.stderr and "Traceback" not in done.stderr


def test_what_a_failed_run_left_is_kept_and_it_ends_failed(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run", "model_config.fail=true", "model_config.lr=0.77")
    assert done.returncode == 1
    ml, record = newest(home)
    assert f"Execution {record.execution_rid} is Failed" in done.stderr
    assert "ValueError: the loss is not finite" in done.stderr and "models/digits.py" in done.stderr
    assert "hydra_zen" not in done.stderr and "Unexpected" not in done.stderr
    assert str(record.status) == "Failed"
    kept = {asset.filename for asset in ml.list_execution_assets(record.execution_rid, "Output")}
    assert {"weights.txt", "metrics.jsonl"} <= kept
    assert said_of(ml.session, record.execution_rid).broken() == []


WRONG = [
    ("model_config.epocs=3", "Did you mean model_config.epochs=3?"),
    ("epochs=3", "Did you mean model_config.epochs=3?"),
    ("model_config=quik", "Did you mean model_config=quick?"),
    ("+experiment=fst", "Did you mean +experiment=fast?"),
    ("experiment=fast", "Did you mean +experiment=fast?"),
    ("+multirun=lr", "Did you mean +multirun=lr_sweep?"),
    ("quick", "Did you mean model_config=quick?"),
    ("+epochs=3", "No run takes 'epochs': did you mean model_config.epochs?"),
    ("+model_config.epocs=3", "has no setting 'epocs': did you mean epochs?"),
    ("model_config.lr=0.1,0.2", "add --multirun"),
    ("model_config.lr=[1", "'model_config.lr=[1' cannot be read as an override"),
    ("datasets=[{rid: 1-ABC}]", "choose one of its entries (default_dataset)"),
]


def test_a_wrong_override_is_answered_by_the_closest_right_one(place: tuple[Path, Path]) -> None:
    answers = call_each(*place, "run", [[wrong] for wrong, _ in WRONG])
    for (wrong, right), (code, _, told) in zip(WRONG, answers, strict=True):
        assert code == 1, wrong
        assert right in told and "Traceback" not in told, wrong


EVIL = {
    "target": ["model_config._target_=os.mkdir"],
    "through the project": ["++script_config={_target_: models.digits.os.mkdir, path: PLACE}"],
    "a callback": ["++hydra.callbacks.x={_target_: os.mkdir, path: PLACE}"],
    "a YAML file": ["--config-path", "YAML", "--config-name", "evil"],
    "a launcher": ["-m", "model_config.lr=1,2", "++hydra.launcher._target_=os.mkdir"],
}


def test_a_configuration_cannot_call_just_anything(place: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "called"
    (tmp_path / "evil.yaml").write_text(f"hydra:\n  callbacks:\n    x: {{_target_: os.mkdir, path: {target}}}\n")
    calls = [
        [text.replace("PLACE", str(target)).replace("YAML", str(tmp_path)) for text in way] for way in EVIL.values()
    ]
    for way, (code, _, told) in zip(EVIL, call_each(*place, "run", calls), strict=True):
        assert code == 1, way
        assert "would call" in told and "os.mkdir" in told, way
    assert not target.exists()


def test_several_wrong_overrides_are_answered_together(place: tuple[Path, Path]) -> None:
    done = call(*place, "run", "model_config.epocs=3", "model_config.rl=0.2", "worflow=x")
    assert done.returncode == 1
    for right in ("model_config.epochs=3?", "model_config.lr=0.2", "workflow=default_workflow?"):
        assert right in done.stderr


def test_the_menu_and_the_composed_configuration_can_be_looked_at(place: tuple[Path, Path]) -> None:
    of_sweep = ["+multirun=lr_sweep", "--cfg", "job", "model_config.epochs=4", "--package", "model_config"]
    calls = [
        ["--list-configs"],
        ["model_config=quick", "--cfg", "job", "--package", "model_config"],
        of_sweep,
        ["--list-configs", "--json"],
        ["--info", "searchpath"],
        ["--list-config"],
    ]
    answers = call_each(*place, "run", calls)
    assert [code for code, _, _ in answers] == [0, 0, 0, 0, 0, 2], answers
    menu, quick, swept, listed, info, _ = (out for _, out, _ in answers)
    assert "model_config=\n    default_model\n    quick" in menu
    assert "+experiment=\n    fast" in menu and "+multirun=\n    lr_sweep" in menu
    assert "epochs: 1" in quick and "models.digits.train" in quick
    assert "epochs: 4" in swept
    assert json.loads(listed)["sweeps"]["lr_sweep"]["overrides"] == ["model_config.lr=0.1,0.01"]
    assert "Config search path" in info
    assert "Did you mean --list-configs" in answers[-1][2]


def test_without_configurations_the_user_is_told_where_they_go(tmp_path: Path) -> None:
    done = call(tmp_path, tmp_path / "home", "run")
    assert done.returncode == 1 and "configs" in done.stderr and "--config-dir" in done.stderr


def test_help_loads_next_to_nothing() -> None:
    code = "import sys; sys.argv = ['deriva-ml-run', '--help']; from deriva_ml.cli.run import main; main()"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    assert "OVERRIDES" in done.stdout
    assert not any(f"| {name}\n" in done.stderr for name in ("hydra", "omegaconf", "pydantic", "papermill"))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("deriva-ml-run model_config=q", ["model_config=quick"]),  # as zsh and fish hand it over
        ("deriva-ml-run model_config = q", ["quick"]),  # as bash takes it apart
        ("deriva-ml-run model_config =", ["default_model", "quick"]),
        ("deriva-ml-run +mul", ["+multirun=lr_sweep"]),
        ("deriva-ml-run --list", ["--list-configs"]),
    ],
)
def test_a_shell_completes_options_and_the_projects_overrides(
    place: tuple[Path, Path], words: str, offered: list[str]
) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_DERIVA_ML_RUN_COMPLETE": "bash_complete"}
    done = call(*place, "run", **asked)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered, done.stderr


@pytest.mark.parametrize(("plugin", "extra"), [("launcher/joblib", "sweep"), ("sweeper/optuna", "optuna")])
def test_a_plugin_that_is_not_installed_is_named_with_the_extra_that_brings_it(plugin: str, extra: str) -> None:
    ConfigStore.instance().store("some_root", {})
    wrong = f"hydra/{plugin.replace('/', '=')}"
    told = pytest.raises(DerivaMLConfigurationError, match=rf"`pip install 'deriva-ml\[{extra}\]'` brings it\.$")
    with told, explained("some_root", [wrong]):
        raise HydraException(f"In 'hydra/config': Could not find 'hydra/{plugin}'.")
