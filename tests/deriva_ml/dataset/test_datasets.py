"""Datasets as users live with them: created, filled, released, nested, found, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from provenance_lab import Lab, Traffic

from deriva_ml.dataset.dataset import create_dataset
from deriva_ml.dataset.resolve import resolve_specs
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.errors import (
    DerivaMLCycleError,
    DerivaMLDatasetNotFound,
    DerivaMLInvalidTerm,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
    DerivaMLReadOnlyError,
    DerivaMLRidsNotFound,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)


def labels(dataset: Any) -> list[str]:
    return [str(entry.dataset_version) for entry in dataset.dataset_history()]


def test_the_life_of_a_dataset(lab: Lab) -> None:
    run = lab.execution("curate")
    images = lab.images(3, run)
    dataset = lab.dataset(run, dataset_types=["Training"], description="scans")
    assert labels(dataset) == ["0.1.0"]

    dataset.add_dataset_members({"Image": images[:2]})
    assert labels(dataset) == ["0.1.0", "0.1.0.post1.dev1"] and dataset.is_dirty()
    assert str(dataset.release("major", "two scans")) == "1.0.0"
    dataset.add_dataset_members(images[1:])
    dataset.delete_dataset_members([images[0]])
    assert str(dataset.current_version) == "1.0.0.post1.dev2"
    assert str(dataset.release("minor", "one in, one out")) == "1.1.0"

    assert labels(dataset) == ["0.1.0", "1.0.0", "1.1.0"]
    assert sorted(dataset.list_members("Image")) == sorted(images[1:])
    assert sorted(dataset.list_members("Image", version="1.0.0")) == sorted(images[:2])
    assert dataset.list_members("Image", version="0.1.0") == []
    assert [entry.description for entry in dataset.dataset_history()] == ["scans", "two scans", "one in, one out"]
    assert all(entry.snapshot for entry in dataset.dataset_history())
    assert dataset.dataset_types == ["Training"]
    row = dataset.list_dataset_members()["Image"][0]
    assert row["Filename"] == "image-1.png"


def test_the_producer_is_kept_until_another_is_named(lab: Lab) -> None:
    first, second = lab.execution("first"), lab.execution("second")
    images = lab.images(3, first)
    dataset = lab.dataset(first, {"Image": images[:1]})
    found = lab.ml.lookup_dataset(dataset.rid)
    found.release("major", "released by nobody in particular")
    assert [entry.execution_rid for entry in found.dataset_history()] == [first, first]
    found.add_dataset_members(images[1:2], execution_rid=second)
    found.add_dataset_members(images[2:])
    found.release("minor")
    assert [entry.execution_rid for entry in found.dataset_history()] == [first, first, second]
    found.mark_dev("pixels repaired in place")
    found.release("patch", "repaired", execution=first)
    assert found.dataset_history()[-1].execution_rid == first


def test_nothing_changed_is_nothing_to_release(lab: Lab) -> None:
    run = lab.execution()
    images = lab.images(1, run)
    dataset = lab.dataset(run, {"Image": images}, "major")
    with pytest.raises(DerivaMLValidationError, match=r"not changed since version 1\.0\.0"):
        dataset.release("minor", "again")
    dataset.add_dataset_members(images)
    assert not dataset.is_dirty(), "adding a member that is one already changes nothing"
    with pytest.raises(DerivaMLValidationError, match="major, minor or patch"):
        lab.dataset(run, {"Image": images}).release("mayor")
    assert str(dataset.increment_dataset_version("minor", "older name")) == "1.1.0"


def test_a_release_names_a_state_that_has_the_members(lab: Lab) -> None:
    run = lab.execution()
    dataset = lab.dataset(run, {"Image": lab.images(2, run)}, "major")
    (entry,) = [one for one in dataset.dataset_history() if str(one.dataset_version) == "1.0.0"]
    assert entry.snapshot is not None
    past = lab.ml.catalog_snapshot(entry.snapshot).lookup_dataset(dataset.rid)
    assert len(past.list_members("Image")) == 2
    for change in (lambda: past.mark_dev("x"), lambda: past.add_dataset_members([]), lambda: past.release("major")):
        with pytest.raises(DerivaMLReadOnlyError):
            change()


def test_nesting(lab: Lab) -> None:
    run = lab.execution()
    images = lab.images(3, run)
    leaf, middle, top = (lab.dataset(run, {"Image": [image]}) for image in images)
    middle.add_dataset_members([leaf.rid])
    top.add_dataset_members({"Dataset": [middle]})
    assert [child.rid for child in top.list_dataset_children()] == [middle.rid]
    assert top.list_dataset_children_rids(recurse=True) == [middle.rid, leaf.rid]
    assert [parent.rid for parent in leaf.list_dataset_parents(recurse=True)] == [middle.rid, top.rid]
    assert len(top.list_dataset_members(recurse=True)["Image"]) == 3
    assert len(top.list_dataset_members()["Image"]) == 1
    for members in ([top.rid], {"Dataset": [top.rid]}, {"Dataset": [leaf.rid]}):
        with pytest.raises(DerivaMLCycleError) as caught:
            leaf.add_dataset_members(members)
        assert caught.value.cycle_nodes[0] == caught.value.cycle_nodes[-1] == leaf.rid
    with pytest.raises(DerivaMLValidationError, match=f"nested in {middle.rid}"):
        lab.ml.delete_dataset(leaf.rid)
    lab.ml.delete_dataset(top, recurse=True)
    assert list(lab.ml.find_datasets()) == []


def test_deleting_below_spares_what_others_hold(lab: Lab) -> None:
    run = lab.execution()
    shared, kept, gone = (lab.dataset(run) for _ in range(3))
    for parent in (kept, gone):
        parent.add_dataset_members([shared.rid])
    lab.ml.delete_dataset(gone.rid, recurse=True)
    assert {dataset.rid for dataset in lab.ml.find_datasets()} == {shared.rid, kept.rid}
    assert {dataset.rid for dataset in lab.ml.find_datasets(deleted=True)} == {shared.rid, kept.rid, gone.rid}
    with pytest.raises(DerivaMLDatasetNotFound, match="was deleted"):
        lab.ml.lookup_dataset(gone.rid)
    assert lab.ml.lookup_dataset(gone.rid, deleted=True) == gone


def test_finding_costs_the_same_for_one_and_for_many(lab: Lab, traffic: Traffic) -> None:
    run = lab.execution()
    made = [lab.dataset(run, dataset_types=["Testing"], description=f"number {n}").rid for n in range(8)]
    traffic.clear()
    found = list(lab.ml.find_datasets(sort=True))
    facts = [(one.rid, one.description, one.dataset_types, str(one.current_version)) for one in found]
    assert facts == [(rid, f"number {n}", ["Testing"], "0.1.0") for n, rid in reversed(list(enumerate(made)))]
    assert len(traffic) == 3
    found[0].description = "changed"
    assert found[0].description == "changed" == lab.ml.lookup_dataset(found[0].rid).description


def test_members_in_thousands_go_in_batches(lab: Lab, traffic: Traffic) -> None:
    subjects = lab.subjects(*(f"s{n}" for n in range(2000)))
    dataset = lab.dataset(lab.execution())
    traffic.clear()
    dataset.add_dataset_members({"Subject": subjects})
    assert len(traffic) < 25
    assert len(dataset.list_members("Subject")) == 2000


def test_types_are_terms_or_their_synonyms(lab: Lab) -> None:
    lab.ml.add_term("Dataset_Type", "Benchmark", "to compare with", synonyms=["Reference"])
    dataset = lab.dataset(lab.execution(), dataset_types=["Reference", "Benchmark"])
    assert dataset.dataset_types == ["Benchmark"]
    dataset.add_dataset_type("Testing")
    assert dataset.dataset_types == ["Benchmark", "Testing"] and dataset.is_dirty()
    dataset.remove_dataset_type("Reference")
    assert dataset.dataset_types == ["Testing"]
    users = [lab.execution("one"), lab.execution("two")]
    for user in users:
        lab.consumes(user, dataset)
    assert dataset.list_executions() == users


def test_an_element_type_is_added_once(lab: Lab) -> None:
    names = [table.name.name for table in lab.ml.list_dataset_element_types()]
    assert names == sorted(names) and {"Dataset", "File", "Image", "Subject"} == set(names)
    lab.ml.add_dataset_element_type("Image")
    lab.ml.add_dataset_element_type("Model")
    assert "Model" in [table.name.name for table in lab.ml.list_dataset_element_types()]
    assert lab.table("Dataset_Model").schema == lab.ml.default_schema


BAD_INPUT: list[tuple[Any, type[Exception], str]] = [
    (lambda lab, _: lab.dataset(None, dataset_types=["Trainin"]), DerivaMLInvalidTerm, "Trainin"),
    (lambda lab, _: lab.dataset(None, version="latest"), DerivaMLValidationError, "not a version"),
    (lambda lab, _: lab.dataset(None, version="1.0.0.post1.dev1"), DerivaMLValidationError, "begins with a release"),
    (lambda lab, _: lab.ml.lookup_dataset("9-ZZZ"), DerivaMLDatasetNotFound, "9-ZZZ"),
    (lambda lab, _: lab.ml.lookup_dataset("../etc"), DerivaMLValidationError, "not a RID"),
    (lambda lab, _: lab.ml.add_dataset_element_type("Nothing"), DerivaMLTableNotFound, "Nothing"),
    (lambda lab, _: lab.ml.add_dataset_element_type("Grade"), DerivaMLTableTypeError, "vocabulary"),
    (lambda lab, _: lab.ml.add_dataset_element_type("Image_Execution"), DerivaMLTableTypeError, "only joins"),
    (lambda lab, one: one.add_dataset_members("1-ABC"), DerivaMLValidationError, "list of RIDs"),
    (lambda lab, one: one.add_dataset_members(["1;drop"]), DerivaMLValidationError, "not a RID"),
    (lambda lab, one: one.add_dataset_members(["9-ZZZ"]), DerivaMLRidsNotFound, "9-ZZZ"),
    (lambda lab, one: one.add_dataset_members({"Image": ["9-ZZZ"]}), DerivaMLRidsNotFound, "no row with the RID 9-ZZZ"),
    (lambda lab, one: one.add_dataset_members({"Model": ["9-ZZZ"]}), DerivaMLTableTypeError, "add_dataset_element_type"),
    (lambda lab, one: one.add_dataset_members({"Nothing": []}), DerivaMLTableNotFound, "Nothing"),
    (lambda lab, one: one.add_dataset_members([lab]), DerivaMLValidationError, "has no RID"),
    (lambda lab, one: one.list_dataset_members(version="7.0.0"), DerivaMLNotFoundError, r"no version 7\.0\.0. It has: 0\.1\.0"),
    (lambda lab, one: one.release("major", execution=lab), DerivaMLValidationError, "not an execution"),
    (lambda lab, one: one.download_dataset_bag("7.0.0"), DerivaMLNotFoundError, r"no version 7\.0\.0"),
    (lambda lab, one: lab.ml.download_dataset_bag("9-ZZZ@1.0.0"), DerivaMLDatasetNotFound, "9-ZZZ"),
]  # fmt: skip


def test_bad_input_is_one_clear_error_and_changes_nothing(lab: Lab) -> None:
    dataset = lab.dataset(None)
    for act, error, sentence in BAD_INPUT:
        with pytest.raises(error, match=sentence):
            act(lab, dataset)
    assert labels(dataset) == ["0.1.0"]


def test_specs_are_resolved_in_bulk_with_every_problem(lab: Lab, traffic: Traffic) -> None:
    run = lab.execution()
    datasets = [lab.dataset(run, {"Image": lab.images(1, run, f"d{n}")}, "major") for n in range(3)]
    specs = [DatasetSpec(rid=one.rid, version="1.0.0") for one in datasets] + [DatasetSpec(rid=datasets[0].rid)]
    traffic.clear()
    resolved = resolve_specs(lab.ml.session, specs)
    assert len(traffic) == 2
    assert [str(one.version) for one in resolved] == ["1.0.0"] * 4
    assert resolved[0] == resolved[3] and resolved[0].snapshot
    bad = [DatasetSpec(rid=one.rid, version=f"{n + 5}.0.0") for n, one in enumerate(datasets)]
    with pytest.raises(DerivaMLNotFoundError) as caught:
        resolve_specs(lab.ml.session, bad)
    assert all(f"{one.rid} has no version {n + 5}.0.0" in str(caught.value) for n, one in enumerate(datasets))


def test_a_dataset_that_lost_its_first_version_to_a_crash_can_go_on(lab: Lab) -> None:
    (rid,) = lab.insert("Dataset", [{"Description": "torn"}])
    dataset = lab.ml.lookup_dataset(rid)
    with pytest.raises(DerivaMLNotFoundError, match="mark_dev"):
        dataset.current_version  # noqa: B018
    dataset.mark_dev("found again")
    assert str(dataset.release("major")) == "1.0.0"


CHANGES: list[Callable[[Any, list[str]], None]] = [
    lambda dataset, images: dataset.add_dataset_members({"Image": images}),
    lambda dataset, images: dataset.delete_dataset_members(images[:1]),
]


@pytest.mark.parametrize("change", CHANGES, ids=["added", "removed"])
def test_a_change_that_is_broken_off_anywhere_is_never_one_that_no_version_tells_of(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, list[str]], None]
) -> None:
    """The n-th request that changes something fails, for every n, before its effect or after it; then it is done again."""
    run = lab.execution()
    images = lab.images(3, run)
    port = lab.ml.session.port
    real = port.send
    for turn in range(100):
        dataset = lab.dataset(run, {"Image": images[:2]}, "major")
        left = turn // 2

        def send(request: Any) -> Any:
            nonlocal left
            left -= request.method not in ("GET", "HEAD")
            answer = real(request) if left >= 0 or (left == -1 and turn % 2) else None  # noqa: B023
            if left < 0 and request.method not in ("GET", "HEAD"):
                raise DerivaMLOfflineError("The cable is out.")
            return answer or real(request)

        monkeypatch.setattr(port, "send", send)
        try:
            change(dataset, images)
        except DerivaMLOfflineError:
            pass
        finished = left >= 0
        monkeypatch.setattr(port, "send", real)
        released = sorted(dataset.list_members("Image", version="1.0.0"))
        assert released == sorted(images[:2])
        assert dataset.is_dirty() or sorted(dataset.list_members("Image")) == released
        change(dataset, images)
        assert dataset.is_dirty()
        if finished:
            break
    assert turn >= 6


def test_two_who_change_one_dataset_lose_nothing(lab: Lab) -> None:
    run = lab.execution()
    images = lab.images(4, run)
    mine = lab.dataset(run)
    theirs = lab.ml.lookup_dataset(mine.rid)
    mine.add_dataset_members(images[:1])
    theirs.add_dataset_members(images[1:2])
    mine.add_dataset_members(images[2:3])
    assert str(theirs.release("major")) == "1.0.0"
    mine.add_dataset_members(images[3:])
    assert [len(mine.list_members("Image", version=one)) for one in ("1.0.0", None)] == [3, 4]
    assert labels(mine) == ["0.1.0", "1.0.0", "1.0.0.post1.dev1"]


def test_creation_is_recorded_as_the_executions(lab: Lab) -> None:
    run = lab.execution()
    dataset = create_dataset(lab.ml.session, run, ["Testing"], "1.0.0", "made at once")
    (entry,) = dataset.dataset_history()
    assert (str(entry.dataset_version), entry.execution_rid, entry.dataset_rid) == ("1.0.0", run, dataset.rid)
