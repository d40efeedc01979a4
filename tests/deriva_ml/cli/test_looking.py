"""``deriva-ml show``, ``lineage`` and ``get``: what a user types to look further."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from provenance_lab import Lab, Traffic

from deriva_ml.bag.verify import verify
from deriva_ml.catalog.rows import update
from deriva_ml.cli import get, lineage, show
from deriva_ml.errors import DerivaMLException
from deriva_ml.lineage.describe import describe


class Shell:
    """Runs commands against the catalog of a laboratory, in this process."""

    def __init__(self, lab: Lab) -> None:
        ml = lab.ml
        served = ml.host_name != "embedded"
        self.where = ["--host", f"http://{ml.host_name}", "--catalog", ml.catalog_id] if served else []

    def run(self, module: Any, *arguments: str) -> str:
        done = CliRunner().invoke(module.command, [*arguments, *self.where], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def document(self, module: Any, *arguments: str) -> Any:
        return json.loads(self.run(module, *arguments, "--json"))


@pytest.fixture
def shell(lab: Lab) -> Shell:
    return Shell(lab)


@pytest.fixture
def made(lab: Lab) -> dict[str, Any]:
    ingest, train = lab.execution("ingest"), lab.execution("train")
    (subject,) = lab.subjects("s1")
    images = lab.images(12, ingest, Subject=subject)
    dataset = lab.dataset(ingest, {"Image": images}, "major", dataset_types=["Training"], description="scans")
    parent = lab.dataset(ingest, {"Dataset": [dataset.rid]}, "major")
    lab.consumes(train, dataset, "1.0.0")
    lab.links("Image", images[:1], train, "Input")
    model = lab.asset("Model", "digits.npz", b"weights", Description="network weights")
    lab.links("Model", [model], train, "Output")
    lab.insert("Model_Asset_Type", [{"Model": model, "Asset_Type": "Model_File"}])
    (value,) = lab.insert("Execution_Image_Severity", [{"Execution": train, "Image": images[0], "Grade": "Mild"}])
    return locals()


def related(document: Any) -> list[tuple[str, str, str, str]]:
    return [(one["relation"], one["kind"], one["rid"], one["text"]) for one in document["related"]]


def test_show_says_what_each_kind_of_row_is(lab: Lab, shell: Shell, made: dict[str, Any]) -> None:
    train, ingest, dataset, model = made["train"], made["ingest"], made["dataset"].rid, made["model"]

    run = shell.document(show, train)
    assert (run["kind"], run["facts"]["Status"], run["facts"]["Description"]) == ("Execution", "Uploaded", "train")
    workflow = related(run)[0]
    assert related(run) == [
        ("workflow", "Workflow", workflow[2], "train workflow"),
        ("reads", "Dataset", dataset, "1.0.0"),
        ("reads", "Image", made["images"][0], "image-0.png"),
        ("writes", "Model", model, "digits.npz"),
    ]
    assert [one[:3] for one in related(shell.document(show, ingest)) if one[0] == "makes"] == [
        ("makes", "Dataset", rid) for rid in (dataset, dataset, made["parent"].rid, made["parent"].rid)
    ]

    found = shell.document(show, dataset)
    facts = found["facts"]
    assert (facts["types"], facts["version"], facts["versions"]) == (["Training"], "1.0.0", ["0.1.0", "1.0.0"])
    assert facts["members"] == {"Image": 12}
    assert related(found) == [
        ("made by", "Execution", ingest, ""),
        ("read by", "Execution", train, ""),
        ("nested in", "Dataset", made["parent"].rid, ""),
    ]
    assert found["commands"] == [f"deriva-ml lineage {dataset}", f"deriva-ml get {dataset}"]

    asset = shell.document(show, model)
    assert (asset["kind"], asset["facts"]["Filename"], asset["facts"]["types"]) == (
        "Asset",
        "digits.npz",
        ["Model_File"],
    )
    assert related(asset) == [("written by", "Execution", train, "")]

    value = shell.document(show, made["value"])
    assert (value["kind"], value["facts"]["feature"], value["facts"]["Grade"]) == ("Feature value", "Severity", "Mild")
    assert ("value of", "Image", made["images"][0], "") in related(value)

    assert shell.document(show, workflow[2])["kind"] == "Workflow"
    term = lab.ml.lookup_term("Grade", "Mild")
    assert (shell.document(show, term.rid)["kind"], shell.document(show, made["subject"])["kind"]) == ("Term", "Row")
    image = shell.document(show, made["images"][0])
    assert {one[0] for one in related(image)} == {"written by", "read by"}


def test_show_in_words(shell: Shell, made: dict[str, Any]) -> None:
    text = shell.run(show, made["ingest"])
    assert text.splitlines()[0] == f"Execution {made['ingest']}  (deriva-ml:Execution)"
    assert "    … and 2 more Image (--json lists all)" in text.splitlines()
    assert f"  more: deriva-ml lineage {made['ingest']}" in text.splitlines()
    assert "  members      12 Image" in shell.run(show, made["dataset"].rid).splitlines()


def test_showing_a_run_costs_the_same_for_few_and_many_files(lab: Lab, made: dict[str, Any], traffic: Traffic) -> None:
    spent = []
    for rid in (made["ingest"], made["train"]):
        traffic.clear()
        describe(lab.ml.session, rid)
        spent.append(len(traffic))
    assert max(spent) <= 12 and abs(spent[0] - spent[1]) <= 1, spent


def test_lineage_in_words_and_as_json(shell: Shell, made: dict[str, Any]) -> None:
    lines = shell.run(lineage, made["model"]).splitlines()
    assert lines[0] == f"Asset {made['model']}  network weights"
    assert lines[1].startswith(f"└─ {made['train']}  train workflow  [Uploaded]")
    assert lines[-1] == "2 executions"
    found = shell.document(lineage, made["model"])
    assert found["lineage"]["parents"][0]["execution"]["rid"] == made["ingest"]
    assert shell.document(lineage, made["model"], "--depth", "0")["depth_capped"] is True
    assert "Not complete" in shell.run(lineage, made["model"], "--max-executions", "1")


def test_get_a_file(shell: Shell, made: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "downloads" / "here"
    found = shell.document(get, made["model"], "--to", str(folder))
    md5 = hashlib.md5(b"weights").hexdigest()
    where = str(folder / "digits.npz")
    assert found == {"path": where, "rid": made["model"], "kind": "Model", "length": 7, "md5": md5}
    assert (folder / "digits.npz").read_bytes() == b"weights"
    assert shell.run(get, made["model"], "--to", str(folder)).strip() == str(folder / "digits.npz"), "again is no harm"
    assert [path.name for path in folder.iterdir()] == ["digits.npz"]


def test_get_a_dataset(shell: Shell, made: dict[str, Any], tmp_path: Path) -> None:
    found = shell.document(get, f"{made['dataset'].rid}@1.0.0", "--to", str(tmp_path / "d"))
    bag = Path(found["path"])
    assert (bag.name, found["version"]) == (f"Dataset_{made['dataset'].rid}_1.0.0", "1.0.0")
    verify(bag)
    file = bag / "data/assets/Image" / made["images"][0] / "image-0.png"
    assert file.stat().st_nlink == 1 and file.stat().st_mode & 0o200, "a copy of the user's own"


def test_get_refuses_what_it_cannot_do(lab: Lab, shell: Shell, made: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "digits.npz").write_bytes(b"the user's own")
    (tmp_path / f"Dataset_{made['dataset'].rid}_1.0.0").mkdir()
    (outside,) = lab.insert("Image", [{"URL": "tag:x", "Filename": "x", "Length": 1, "MD5": "0" * 32}])
    hostile = lab.asset("Image", "ok.png", b"hostile")
    update(lab.ml.session, lab.table("Image"), [{"RID": hostile, "Filename": "../out.png"}], targets=["Filename"])
    table = {
        made["model"]: "something else",
        made["dataset"].rid: "something else",
        f"{made['model']}@1.0.0": "no versions",
        f"{made['dataset'].rid}@9.0.0": "no version 9.0.0",
        made["train"]: "only assets and datasets",
        outside: "not in this catalog's store",
        hostile: "cannot be the name of a file",
        "9-ZZZZ": "9-ZZZZ",
    }
    for rid, sentence in table.items():
        with pytest.raises(DerivaMLException, match=sentence):
            shell.run(get, rid, "--to", str(tmp_path))
    assert (tmp_path / "digits.npz").read_bytes() == b"the user's own"
    assert not (tmp_path.parent / "out.png").exists()
