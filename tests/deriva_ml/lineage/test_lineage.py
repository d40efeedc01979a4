"""Lineage on a catalog: what produced what, told as stories, and what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from provenance_lab import Lab, Traffic

from deriva_ml import DerivaML
from deriva_ml.catalog.rows import select, update
from deriva_ml.errors import DerivaMLRidsNotFound, DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml.lineage.models import ExecutionSummary, LineageNode, LineageResult, RootDescriptor
from deriva_ml.names import TableName
from deriva_ml.schema.tables import UNKNOWN_EXECUTION, UNKNOWN_FILE


def parents(node: LineageNode | None) -> list[str]:
    assert node is not None
    return [parent.execution.rid for parent in node.parents]


def sentinel(ml: DerivaML, table: str, marker: dict[str, Any]) -> str:
    return str(select(ml.session, TableName("deriva-ml", table), marker)[0]["RID"])


def experiment(lab: Lab) -> dict[str, Any]:
    """Images are ingested and curated, a model is trained on one dataset and tried on another."""
    ingest, curate, train, evaluate = (lab.execution(name) for name in ("ingest", "curate", "train", "evaluate"))
    images = lab.images(4, ingest)
    training = lab.dataset(curate, {"Image": images[:2]}, "major", description="for training")
    testing = lab.dataset(curate, {"Image": images[2:]}, "major", description="for testing")
    lab.consumes(train, training, "1.0.0")
    model = lab.asset("Model", "digits.npz", b"weights")
    lab.links("Model", [model], train, "Output")
    lab.consumes(evaluate, testing, "1.0.0")
    lab.links("Model", [model], evaluate, "Input")
    predictions = lab.asset("Execution_Asset", "predictions.csv", b"a,b\n", Description="predictions")
    lab.links("Execution_Asset", [predictions], evaluate, "Output")
    return locals()


def test_from_predictions_to_the_raw_images(lab: Lab) -> None:
    made = experiment(lab)
    found = lab.ml.lookup_lineage(made["predictions"])
    assert (found.root.type, found.root.description) == ("Asset", "predictions")
    assert found.root.producing_execution is not None
    assert found.root.producing_execution.rid == made["evaluate"]
    top = found.lineage
    assert top is not None and top.execution.workflow is not None
    assert (top.execution.workflow.name, top.execution.status) == ("evaluate workflow", "Uploaded")
    assert [(one.rid, one.version, one.description) for one in top.consumed_datasets] == [(made["testing"].rid, "1.0.0", "for testing")]  # fmt: skip
    assert [(one.rid, one.filename, one.asset_table) for one in top.consumed_assets] == [(made["model"], "digits.npz", "Model")]  # fmt: skip
    assert parents(top) == [made["curate"], made["ingest"], made["train"]]
    train = top.parents[2]
    assert parents(train) == [made["curate"], made["ingest"]]
    assert all(parent.already_shown and parent.execution.status == "Uploaded" for parent in train.parents)
    assert (found.executions_visited, found.walked_complete, found.cycle_detected, found.depth_capped) == (4, True, False, False)  # fmt: skip
    assert {node.execution.rid for node in found.nodes()} == {
        made[name] for name in ("ingest", "curate", "train", "evaluate")
    }


def test_the_tree_can_be_read(lab: Lab) -> None:
    made = experiment(lab)
    lines = str(lab.ml.lookup_lineage(made["predictions"])).splitlines()
    assert lines[:5] == [
        f"Asset {made['predictions']}  predictions",
        f"└─ {made['evaluate']}  evaluate workflow  [Uploaded]  evaluate",
        f"   reads dataset {made['testing'].rid} 1.0.0  for testing",
        f"   reads Model {made['model']}  digits.npz",
        f"   ├─ {made['curate']}  curate workflow  [Uploaded]  curate",
    ]
    assert lines[-2] == f"      └─ {made['ingest']}  ingest workflow  (shown elsewhere)"
    assert lines[-1] == "4 executions"


def test_hostile_descriptions_stay_on_their_line(lab: Lab) -> None:
    run = lab.execution("x\n└─ 9-FAKE  forged  [Uploaded]\x1b[31m red")
    text = str(lab.ml.lookup_lineage(run))
    assert text.count("\n") == 2 and "\x1b" not in text


def test_each_kind_of_root(lab: Lab) -> None:
    made = experiment(lab)
    image, ingest = made["images"][0], made["ingest"]
    (value,) = lab.insert("Execution_Image_Severity", [{"Execution": made["train"], "Image": image, "Grade": "Mild"}])
    kinds = {
        image: ("Asset", ingest, []),
        made["training"].rid: ("Dataset", made["curate"], [ingest]),
        made["train"]: ("Execution", made["train"], [made["curate"], ingest]),
        value: ("Feature", made["train"], [made["curate"], ingest]),
    }
    for rid, (kind, producer, before) in kinds.items():
        found = lab.ml.lookup_lineage(rid)
        assert found.root.producing_execution is not None, kind
        assert (found.root.type, found.root.producing_execution.rid, parents(found.lineage)) == (kind, producer, before)
    assert lab.ml.lookup_lineage(value).root.description == f"Severity of Image {image}"


def test_no_producer_is_an_answer(lab: Lab) -> None:
    orphan = lab.asset("Image", "found.png", b"found on a disk", Description="who knows")
    nobody = sentinel(lab.ml, "Execution", {"Description": UNKNOWN_EXECUTION["Description"]})
    attributed = lab.asset("Image", "attributed.png", b"attributed to the unknown")
    lab.links("Image", [attributed], nobody, "Output")
    for rid in (orphan, attributed, lab.dataset(None, {"Image": [orphan]}, "major").rid, lab.dataset(nobody).rid):
        found = lab.ml.lookup_lineage(rid)
        assert found.root.producing_execution is None and found.lineage is None
        assert found.walked_complete and found.executions_visited == 0
        assert str(found).endswith("No execution is recorded as its producer.")


def test_unknown_inputs_are_said_and_lead_nowhere(lab: Lab) -> None:
    run = lab.execution("from somewhere")
    lab.links("File", [sentinel(lab.ml, "File", {"URL": UNKNOWN_FILE["URL"]})], run, "Input")
    found = lab.ml.lookup_lineage(run)
    assert found.lineage is not None and parents(found.lineage) == []
    assert [asset.asset_table for asset in found.lineage.consumed_assets] == ["File"]
    assert "declared no inputs: its data is of unknown origin" in str(found)


def test_a_dataset_without_producer_is_traced_through_its_files(lab: Lab) -> None:
    one, two = lab.execution("camera one"), lab.execution("camera two")
    images = lab.images(1, two, "two") + lab.images(1, one, "one")
    found = lab.ml.lookup_lineage(lab.dataset(None, {"Image": images}, "major").rid)
    assert found.root.producing_execution is not None
    assert [found.root.producing_execution.rid, *parents(found.lineage)] == [one, two]


def test_members_count_as_they_were_at_the_version_that_was_consumed(lab: Lab) -> None:
    old, new, curate, use, later = (lab.execution(name) for name in ("old", "new", "curate", "use", "later"))
    before, after = lab.images(1, old, "old"), lab.images(1, new, "new")
    dataset = lab.dataset(curate, {"Image": before}, "major")
    dataset.delete_dataset_members(before)
    dataset.add_dataset_members(after)
    dataset.release("major", "the other image", execution=curate)
    lab.consumes(use, dataset, "1.0.0")
    lab.consumes(later, dataset, "2.0.0")
    assert parents(lab.ml.lookup_lineage(use).lineage) == [curate, old]
    assert parents(lab.ml.lookup_lineage(later).lineage) == [curate, new]
    dataset.add_dataset_members(before)
    assert parents(lab.ml.lookup_lineage(later).lineage) == [curate, new], (
        "a change that is not released yet changes nothing"
    )


def test_members_of_nested_datasets_count_as_they_were(lab: Lab) -> None:
    camera, late, split, curate, use = (lab.execution(name) for name in ("camera", "late", "split", "curate", "use"))
    child = lab.dataset(split, {"Image": lab.images(1, camera)}, "major")
    parent = lab.dataset(curate, {"Dataset": [child.rid]}, "major")
    child.add_dataset_members(lab.images(1, late, "late"))
    lab.consumes(use, parent, "1.0.0")
    assert parents(lab.ml.lookup_lineage(use).lineage) == [curate, camera, split]


def test_a_consumer_that_did_not_record_the_version_gets_the_greatest_release(lab: Lab) -> None:
    first, second, use = (lab.execution(name) for name in ("first", "second", "use"))
    dataset = lab.dataset(first, dataset_types=["Training"])
    for number in range(11):
        dataset.mark_dev("again", second if number == 9 else first)
        dataset.release("minor")
    lab.insert("Dataset_Execution", [{"Dataset": dataset.rid, "Execution": use}])
    found = lab.ml.lookup_lineage(use)
    assert found.lineage is not None and found.lineage.consumed_datasets[0].version is None
    assert parents(found.lineage) == [first], "0.12.0, not 0.9.0"


def test_every_producer_of_the_same_bytes_is_walked(lab: Lab) -> None:
    first, second, use, copier = (lab.execution(name) for name in ("first", "second", "use", "copier"))
    (image,) = lab.images(1, first)
    lab.links("Image", [image], second, "Output")
    lab.links("Image", [image], use, "Input")
    assert parents(lab.ml.lookup_lineage(use).lineage) == [first, second]
    root = lab.ml.lookup_lineage(image)
    assert root.root.producing_execution is not None
    assert [root.root.producing_execution.rid, *parents(root.lineage)] == [first, second]
    below = next(line for line in str(root).splitlines() if f"─ {second}  " in line)
    assert below.endswith(f"(also produced {image})"), (
        "it stands below the first, and says that it is no origin of that one"
    )
    lab.links("Image", [image], copier, "Input")
    lab.links("Image", [image], copier, "Output")
    again = lab.ml.lookup_lineage(image)
    assert parents(again.lineage) == [second] and not again.cycle_detected, (
        "who wrote again what it had read is no origin"
    )


def test_orchestration_is_not_data_flow(lab: Lab) -> None:
    parent, child = lab.execution("sweep"), lab.execution("job")
    lab.insert("Execution_Execution", [{"Execution": parent, "Nested_Execution": child}])
    found = lab.ml.lookup_lineage(child)
    assert found.executions_visited == 1 and parents(found.lineage) == []


def test_a_circle_is_told_and_ends(lab: Lab) -> None:
    one, two = lab.execution("one"), lab.execution("two")
    (left,), (right,) = lab.images(1, one, "left"), lab.images(1, two, "right")
    lab.links("Image", [left], two, "Input")
    lab.links("Image", [right], one, "Input")
    found = lab.ml.lookup_lineage(left)
    assert found.cycle_detected and found.executions_visited == 2
    assert parents(found.lineage) == [two]
    assert "circle" in str(found)


def chain(lab: Lab, length: int) -> list[str]:
    runs = lab.insert("Execution", [{"Description": f"step {n}", "Status": "Uploaded"} for n in range(length)])
    rows = [{"URL": f"/hatrac/x/{n}", "Filename": f"{n}", "Length": 1, "MD5": "0" * 32} for n in range(length)]
    files = lab.insert("Model", rows)
    lab.insert("Model_Execution", [{"Model": file, "Execution": run, "Asset_Role": "Output"} for file, run in zip(files, runs, strict=True)])  # fmt: skip
    lab.insert("Model_Execution", [{"Model": file, "Execution": run, "Asset_Role": "Input"} for file, run in zip(files, runs[1:], strict=False)])  # fmt: skip
    return runs


@pytest.mark.parametrize(
    ("depth", "limit", "visited", "complete", "capped"),
    [(None, 500, 6, True, False), (0, 500, 1, True, True), (2, 500, 3, True, True), (5, 500, 6, True, False), (None, 4, 4, False, False), (None, 6, 6, True, False)],
)  # fmt: skip
def test_bounds(embedded_ml: DerivaML, tmp_path: Any, depth: int | None, limit: int, visited: int, complete: bool, capped: bool) -> None:  # fmt: skip
    embedded_ml.create_asset("Model")
    runs = chain(Lab(embedded_ml, tmp_path), 6)
    found = embedded_ml.lookup_lineage(runs[-1], depth=depth, max_executions=limit)
    assert (found.executions_visited, found.walked_complete, found.depth_capped) == (visited, complete, capped)
    assert [node.execution.rid for node in found.nodes()] == runs[::-1][:visited]
    assert ("Older executions" in str(found), "Not complete" in str(found)) == (capped, not complete)


def test_a_long_chain_survives_json_and_print(embedded_ml: DerivaML, tmp_path: Any) -> None:
    embedded_ml.create_asset("Model")
    runs = chain(Lab(embedded_ml, tmp_path), 120)
    found = embedded_ml.lookup_lineage(runs[-1])
    assert len(list(found.nodes())) == 120
    assert str(found).count("step") == 1 + 120, "the artifact itself, and each execution once"
    assert LineageResult.model_validate(json.loads(found.model_dump_json())) == found
    assert json.loads(found.to_json()) == json.loads(found.model_dump_json())


def test_hundreds_of_generations_can_still_be_written() -> None:
    node = None
    for number in range(500):
        wide = [LineageNode(execution=ExecutionSummary(rid=f"2-{number}"), already_shown=True)]
        node = LineageNode(execution=ExecutionSummary(rid=f"1-{number}"), parents=([node] if node else []) + wide)
    found = LineageResult(root=RootDescriptor(rid="1-A", type="Asset"), lineage=node, executions_visited=500)
    text = found.to_json()
    assert text.count('"already_shown":true') == 500 and text.count("{") == text.count("}")
    assert repr(found) == "LineageResult(Asset '1-A', executions_visited=500)"
    assert len(repr(found.lineage)) < 100
    assert str(found).count("2-") == 500
    assert LineageResult(root=RootDescriptor(rid="1-A", type="Asset")).to_json().endswith('"lineage":null}')


def test_two_hundred_executions_cost_a_few_requests_a_generation(lab: Lab, traffic: Traffic) -> None:
    """Four layers of fifty: each run reads two files of the layer before and a dataset that the layer before made."""
    width, layers, written = 50, 4, []
    for layer in range(layers):
        runs = lab.insert("Execution", [{"Description": f"{layer}", "Status": "Uploaded"} for _ in range(width)])
        rows = [{"URL": f"/hatrac/{layer}/{n}", "Filename": f"{n}", "Length": 1, "MD5": "0" * 32} for n in range(width)]
        files = lab.insert("Image", rows)
        lab.links_at_once("Image", zip(files, runs, strict=True), "Output")
        if written:
            last_files, last_sets = written[-1]
            pairs = [(last_files[(n + k) % width], run) for n, run in enumerate(runs) for k in (0, 1)]
            lab.links_at_once("Image", pairs, "Input")
            rows = [{"Dataset": last_sets[n % 2].rid, "Execution": run, "Dataset_Version": last_sets[n % 2].dataset_history()[-1].version_rid} for n, run in enumerate(runs)]  # fmt: skip
            lab.insert("Dataset_Execution", rows)
        sets = [lab.dataset(runs[n], {"Image": files[n::2]}, "major") for n in (0, 1)]
        written.append((files, sets))
    last = lab.execution("last")
    lab.links("Image", written[-1][0], last, "Input")
    traffic.clear()
    found = lab.ml.lookup_lineage(last)
    assert found.executions_visited == layers * width + 1
    assert found.walked_complete and not found.cycle_detected
    generations = layers + 1
    assert len(traffic) <= 4 + 20 * generations, len(traffic)
    assert lab.ml.lookup_lineage(last) == found, "the same question gets the same answer in the same order"


def test_a_width_of_datasets_costs_no_more_than_one(lab: Lab, traffic: Traffic) -> None:
    spent = []
    for count in (1, 12):
        run, use = lab.execution(f"make {count}"), lab.execution(f"use {count}")
        for image in lab.images(count, run, f"of-{count}"):
            lab.consumes(use, lab.dataset(run, {"Image": [image]}, "major"))
        traffic.clear()
        assert parents(lab.ml.lookup_lineage(use).lineage) == [run]
        spent.append(len(traffic))
    assert spent[0] == spent[1]


def test_a_snapshot_that_is_gone_is_said(lab: Lab) -> None:
    camera, curate, use = (lab.execution(name) for name in ("camera", "curate", "use"))
    dataset = lab.dataset(curate, {"Image": lab.images(1, camera)}, "major")
    lab.consumes(use, dataset, "1.0.0")
    entry = dataset.dataset_history()[-1]
    versions = lab.table("Dataset_Version")
    update(lab.ml.session, versions, [{"RID": entry.version_rid, "Snapshot": "2G0-0000-0000"}], targets=["Snapshot"])
    dataset.mark_dev("so that the snapshot is needed")
    found = lab.ml.lookup_lineage(use)
    assert not found.walked_complete and parents(found.lineage) == [curate]
    assert "Not complete" in str(found)


def test_a_lineage_can_be_asked_of_the_past(lab: Lab) -> None:
    first, second = lab.execution("first"), lab.execution("second")
    (image,) = lab.images(1, first)
    snapshot = lab.ml.session.latest_snapshot()
    lab.links("Image", [image], second, "Output")
    assert lab.ml.lookup_lineage(image).executions_visited == 2
    assert lab.ml.lookup_lineage(f"{image}@{snapshot}").executions_visited == 1


def test_what_has_no_lineage_is_refused_with_reasons(lab: Lab) -> None:
    made = {
        "9-ZZZZ": (DerivaMLRidsNotFound, "9-ZZZZ"),
        "nonsense!": (DerivaMLValidationError, "not a RID"),
        lab.insert("Workflow", [{"Name": "w"}])[0]: (DerivaMLTableTypeError, "find_executions"),
        lab.subjects("s")[0]: (DerivaMLTableTypeError, "row of Subject"),
    }
    for rid, (error, sentence) in made.items():
        with pytest.raises(error, match=sentence):
            lab.ml.lookup_lineage(rid)
    for bounds in ({"depth": -1}, {"max_executions": 0}):
        with pytest.raises(DerivaMLValidationError, match="depth must be"):
            lab.ml.lookup_lineage("1-A", **bounds)
