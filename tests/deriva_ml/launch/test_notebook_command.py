"""``deriva-ml-run-notebook``: notebooks that end well, fail, or lose their kernel; and what is kept of each."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from catalog_says import said_of
from launch_lab import BEGIN, STAGE, call, commit, git, start, write_notebook, write_project

from deriva_ml import DerivaML, Workflow
from deriva_ml.asset.asset import Asset
from deriva_ml.catalog import objects
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLExecutionError
from deriva_ml.execution.record import ExecutionRecord
from deriva_ml.launch.kernel import kernel_for
from deriva_ml.launch.notebook_cells import parameters_of
from deriva_ml.launch.notebook_file import read_notebook
from deriva_ml.launch.notebook_keeping import keep
from deriva_ml.launch.notebook_markdown import written
from deriva_ml.launch.notebook_parameters import check_declared, check_names, read_file, values
from deriva_ml.launch.notebook_runner import Ending, Outcome, reported

WHOLE = (
    "#: # An analysis",
    "# parameters\nthreshold = 0.5  # how strict",
    BEGIN.format(name=""),
    "import pandas\nprint('the threshold is', threshold)\npandas.DataFrame({'a': [1, 2]})",
    STAGE,
    "execution.commit_output_assets()",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The project with its notebooks, and its home."""
    folder = tmp_path_factory.mktemp("notebooks")
    project = write_project(folder / "project")
    begin = BEGIN.format(name='"analysis"')
    write_notebook(project / "notebooks" / "analysis.ipynb", *WHOLE)
    write_notebook(project / "notebooks" / "failing.ipynb", begin, STAGE, "1 / 0", "print('never')")
    write_notebook(project / "notebooks" / "dying.ipynb", begin, STAGE, "import os; os.kill(os.getpid(), 9)")
    write_notebook(project / "notebooks" / "open.ipynb", begin, STAGE)
    write_notebook(project / "notebooks" / "plain.ipynb", "1 + 1")
    write_notebook(
        project / "notebooks" / "long.ipynb", begin, STAGE, "open('began', 'w').close(); import time; time.sleep(90)"
    )
    second = STAGE.replace("result", "second")
    again = (begin, begin, STAGE, begin, second, "import sys; sys.exit()", "print('never')")
    write_notebook(project / "notebooks" / "Zwei Läufe {x}.ipynb", *again)
    commit(project, "notebooks")
    return project, folder / "home"


def newest(home: Path) -> tuple[DerivaML, ExecutionRecord]:
    ml = DerivaML(working_dir=home)
    return ml, next(iter(ml.find_executions(sort=True)))


def outputs(ml: DerivaML, record: ExecutionRecord) -> dict[str, Asset]:
    assert said_of(ml.session, record.execution_rid).broken() == []
    return {asset.filename: asset for asset in ml.list_execution_assets(record.execution_rid, "Output")}


def text_of(ml: DerivaML, asset: Asset, folder: Path) -> str:
    objects.get(ml.session, asset.url, folder / "file")
    return (folder / "file").read_text()


def test_a_notebook_is_recorded_with_what_it_showed(place: tuple[Path, Path], tmp_path: Path) -> None:
    project, home = place
    done = call(
        project, home, "run_notebook", "notebooks/analysis.ipynb", "-p", "threshold", "0.7", "description=strict"
    )
    assert done.returncode == 0, done.stderr
    ml, record = newest(home)
    assert f"Execution {record.execution_rid}: Uploaded" in done.stdout
    assert str(record.status) == "Uploaded" and record.description == "strict"
    kept = outputs(ml, record)
    assert {"result.txt", "analysis.ipynb", "analysis.md", "analysis.log", "configuration.json"} <= set(kept)
    page = text_of(ml, kept["analysis.md"], tmp_path)
    assert "# An analysis" in page and "the threshold is 0.7" in page and "| --- | --- |" in page
    assert "the threshold is 0.7" in text_of(ml, kept["analysis.log"], tmp_path)
    workflow = record.workflow
    head = git(project, "rev-parse", "HEAD").strip()
    assert workflow.url == f"file://{project}/blob/{head}/notebooks/analysis.ipynb"
    assert workflow.workflow_type == ["Analysis Notebook"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("failing", "cell 3: ZeroDivisionError: division by zero"), ("dying", "the kernel died in cell 3")],
)
def test_what_a_failed_notebook_left_is_kept(place: tuple[Path, Path], tmp_path: Path, name: str, said: str) -> None:
    project, home = place
    done = call(project, home, "run_notebook", f"notebooks/{name}.ipynb")
    assert done.returncode == 1 and said in done.stderr
    ml, record = newest(home)
    assert str(record.status) == "Failed" and said in str(record.status_detail)
    kept = outputs(ml, record)
    assert {"result.txt", f"{name}.ipynb", f"{name}.md", f"{name}.log"} <= set(kept)
    assert said in text_of(ml, kept[f"{name}.log"], tmp_path)
    assert json.loads(text_of(ml, kept[f"{name}.ipynb"], tmp_path))["cells"]


def test_a_signal_stops_the_cell_and_what_is_left_is_kept(place: tuple[Path, Path], tmp_path: Path) -> None:
    project, home = place
    began = project / "notebooks" / "began"
    runner = start(project, home, "run_notebook", "notebooks/long.ipynb")
    while not began.exists():
        assert runner.poll() is None, runner.communicate()
        time.sleep(0.02)
    runner.send_signal(signal.SIGTERM)
    said = runner.communicate(timeout=60)[1]
    began.unlink()
    assert runner.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM in cell 3" in said and "Traceback" not in said
    ml, record = newest(home)
    assert str(record.status) == "Failed" and "SIGTERM" in str(record.status_detail)
    kept = outputs(ml, record)
    assert {"result.txt", "long.ipynb"} <= set(kept)
    assert "KeyboardInterrupt" in text_of(ml, kept["long.ipynb"], tmp_path)


def test_a_notebook_that_begins_again_ends_what_it_began_before(place: tuple[Path, Path]) -> None:
    """Its name holds what file systems allow and programs stumble over; sys.exit() is an end in good order."""
    project, home = place
    done = call(project, home, "run_notebook", "notebooks/Zwei Läufe {x}.ipynb")
    assert done.returncode == 0, done.stderr
    ml = DerivaML(working_dir=home)
    third, second, first = list(ml.find_executions(sort=True))[:3]
    assert [str(run.status) for run in (first, second, third)] == ["Aborted", "Uploaded", "Uploaded"]
    assert "result.txt" in outputs(ml, second)
    assert {"second.txt", "Zwei Läufe {x}.ipynb", "Zwei Läufe {x}.md"} <= set(outputs(ml, third))
    assert not third.status_detail


def test_a_notebook_that_records_nothing_says_so(place: tuple[Path, Path]) -> None:
    done = call(*place, "run_notebook", "notebooks/plain.ipynb")
    assert done.returncode == 1 and "no cell began an execution" in done.stderr


def test_inputs_can_be_looked_up_without_running(place: tuple[Path, Path]) -> None:
    project, home = place
    before = len(list(DerivaML(working_dir=home).find_executions()))
    done = call(project, home, "run_notebook", "notebooks/failing.ipynb", "dry_run=validate")
    assert done.returncode == 0 and "The configuration is valid." in done.stdout, done.stderr
    assert len(list(DerivaML(working_dir=home).find_executions())) == before


def test_outputs_do_not_change_the_checksum(place: tuple[Path, Path]) -> None:
    project, _ = place
    notebook = project / "notebooks" / "analysis.ipynb"
    from deriva_ml.workflow.workflow import Workflow

    before = Workflow.get_url_and_checksum(notebook, allow_dirty=True)[1]
    content = json.loads(notebook.read_text())
    content["cells"][3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["ran\n"]}]
    content["cells"][3] |= {"execution_count": 7, "id": "another", "metadata": {"execution": {}, "collapsed": True}}
    copy = write_notebook(project / "notebooks" / "ran.ipynb")
    copy.write_text(json.dumps(content))
    assert Workflow.get_url_and_checksum(copy, allow_dirty=True)[1] == before
    copy.unlink()


def test_a_notebook_can_be_looked_at_without_running(place: tuple[Path, Path]) -> None:
    project, home = place
    notebook = "notebooks/analysis.ipynb"
    assert "threshold = 0.5  # how strict" in call(project, home, "run_notebook", notebook, "--inspect").stdout
    shown = call(project / "notebooks", home, "run_notebook", "--host", "h.org", "--cfg", "failing.ipynb").stdout
    assert "dry_run: false" in shown and "hostname: h.org" in shown
    assert "Defaults" in call(project, home, "run_notebook", notebook, "--info", "defaults").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["notebooks/nowhere.ipynb"], "no notebook"),
        (["notebooks/open.ipynb", "-k", "klingon"], "klingon"),
        (["notebooks/open.ipynb", "-f", "models/digits.py"], "models/digits.py"),
        (["notebooks/open.ipynb", "quick"], "'quick' is no override"),
    ],
)
def test_mistakes_are_answered_by_a_sentence(place: tuple[Path, Path], arguments: list[str], said: str) -> None:
    done = call(*place, "run_notebook", *arguments)
    assert done.returncode == 1 and said in done.stderr
    assert "Traceback" not in done.stderr and "Unexpected" not in done.stderr


TYPED = [
    ("5", 5), ("-2", -2), ("1e-3", 0.001), ("true", True), ("False", False), ("null", None), ("None", None),
    ("[1, 2]", [1, 2]), ("{x: 1}", {"x": 1}), ("a b: c d", "a b: c d"), ("no", "no"), ("12:30", "12:30"),
    ("'7'", "7"), ("2026-01-01", "2026-01-01"), ("[1, 2", "[1, 2"), ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), TYPED, ids=lambda value: repr(value))
def test_a_typed_parameter_is_what_it_looks_like(text: str, value: object) -> None:
    found = values([("p", text)], {})["p"]
    assert found == value and type(found) is type(value)


def test_a_parameter_whose_default_is_a_text_stays_one() -> None:
    assert values([("sweep", "1E5"), ("rate", "1E5")], {"sweep": '""', "rate": "0.1"}) == {"sweep": "1E5", "rate": 1e5}


@pytest.mark.parametrize(
    ("name", "text"), [("p.yaml", "epochs: 3\nname: Zürich\n"), ("p.json", '{"epochs": 3, "name": "Zürich"}'), ("p", "epochs: 3\nname: Zürich")]
)  # fmt: skip
def test_parameters_come_from_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_file(tmp_path / name) == {"epochs": 3, "name": "Zürich"}


def test_an_empty_file_gives_no_parameters(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("")
    assert read_file(tmp_path / "p.yaml") == {} == read_file(None)


def test_wrong_names_are_answered_by_the_nearest_right_ones() -> None:
    declared = {"threshold": {}, "epochs": {}}
    with pytest.raises(DerivaMLConfigurationError, match=r"'treshold' \(did you mean 'threshold'\?\); 'q'\. Its cell"):
        check_declared(["epochs", "treshold", "q"], declared, "a.ipynb")
    check_declared(["anything"], {}, "a.ipynb")
    with pytest.raises(DerivaMLConfigurationError, match="'my-name' cannot be its name"):
        check_names(["fine", "my-name"])


def test_a_notebook_without_parameters_says_so(tmp_path: Path) -> None:
    assert "no cell" in parameters_of(write_notebook(tmp_path / "a.ipynb", "print(1)"), "python3", "python")


FILES = [
    (None, "no notebook"),
    ("{", "cannot be read as a notebook"),
    ("[]", "is no notebook"),
    ('{"cells": []}', "is no notebook"),
    ('{"nbformat": 4, "metadata": {}}', "has no cells"),
    ('{"nbformat": 5, "cells": []}', "format 5"),
    ('{"nbformat": 2, "worksheets": []}', "format 2"),
]


@pytest.mark.parametrize(("text", "said"), FILES)
def test_what_is_no_notebook_is_refused_by_a_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "a.ipynb"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DerivaMLConfigurationError, match=said):
        read_notebook(file)
    with pytest.raises(DerivaMLConfigurationError, match="is a folder"):
        read_notebook(tmp_path)


def test_a_kernel_that_is_not_installed_gives_way_to_the_environments(tmp_path: Path) -> None:
    assert kernel_for(write_notebook(tmp_path / "a.ipynb", "1", kernel="somebody-elses")) == "python3"


OUTPUTS = [
    ({"output_type": "stream", "text": ["a\n", "b"]}, "```\na\nb\n```"),
    ({"output_type": "error", "traceback": ["\x1b[31mboom\x1b[0m"]}, "```\nboom\n```"),
    ({"output_type": "display_data", "data": {"image/png": "aGk=\n", "text/plain": "fig"}}, "![result](data:image/png;base64,aGk=)"),
    ({"output_type": "execute_result", "data": {"text/html": "<b>x</b>", "text/plain": "x"}}, "```\nx\n```"),
    ({"output_type": "execute_result", "data": {"text/markdown": ["*x*"]}}, "*x*"),
    (
        {"output_type": "execute_result", "data": {"text/html": "<table><tr><th></th><th>a|b</th></tr><tr><th>0</th><td>1 &lt; 2</td></tr></table>"}},
        "| | a/b |\n| --- | --- |\n| 0 | 1 < 2 |",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("output", "expected"), OUTPUTS, ids=lambda value: str(value)[:20])
def test_every_kind_of_output_can_be_read_in_markdown(output: dict[str, object], expected: str) -> None:
    cell = {"cell_type": "code", "source": "f()", "outputs": [output]}
    page = written({"cells": [cell]})
    assert page.startswith("```python\nf()\n```\n\n")
    assert page.removeprefix("```python\nf()\n```\n\n").replace("|  |", "| |").strip() == expected


@pytest.mark.parametrize("failure", [None, "cell 2: ValueError: no"])
def test_what_a_notebook_left_offline_waits(place: tuple[Path, Path], tmp_path: Path, failure: str | None) -> None:
    home = place[1]
    ml, away = DerivaML(working_dir=home), DerivaML(working_dir=home, mode="offline")
    workflow = Workflow(name="analysis", workflow_type="Analysis Notebook", url="https://example.org/a.ipynb")
    with away.create_execution(workflow=workflow, description=f"offline {failure}") as exe:
        exe.asset_file_path("Execution_Asset", "result.txt").write_text("a result")
    facts = {"hostname": "embedded", "catalog_id": "1", "home": str(home), "execution_rid": exe.rid, "mode": "offline"}
    rid = keep(facts, write_notebook(tmp_path / "analysis.ipynb", "1 + 1"), failure)
    assert rid == exe.rid
    if failure is None:
        said = reported(Outcome(Ending(failure), rid), "analysis.ipynb")
        assert (
            said == f"Execution {rid} waits: `deriva-ml upload --execution {rid}` commits it when the catalog is back."
        )
    else:
        with pytest.raises(DerivaMLExecutionError, match="is Failed; what it left waits for the catalog"):
            reported(Outcome(Ending(failure), rid), "analysis.ipynb")
    assert ml.commit_pending_executions().errors == []
    record = ml.resume_execution(rid).execution_record
    assert record is not None and {"result.txt", "analysis.ipynb", "analysis.md", "analysis.log"} <= set(
        outputs(ml, record)
    )
    assert (str(record.status), record.status_detail) == ("Uploaded", f"run failed: {failure}" if failure else "")
