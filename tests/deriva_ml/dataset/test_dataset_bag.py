"""A version brought to disk: what is in the bag, what it costs, and what is refused."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bdbag import bdbag_api
from provenance_lab import Lab, Traffic

from deriva_ml import ColumnDefinition, TableDefinition
from deriva_ml.bag.verify import verify
from deriva_ml.catalog.rows import delete, update
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.spec import DatasetSpec, read_spec
from deriva_ml.definitions import ForeignKeyDefinition
from deriva_ml.errors import (
    DerivaMLIntegrityError,
    DerivaMLReadOnlyError,
    DerivaMLTableNotFound,
    DerivaMLValidationError,
)


def files(bag: DatasetBag) -> dict[str, bytes]:
    root = bag.path / "data" / "assets"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def rids(bag: DatasetBag, table: str) -> list[str]:
    return [row["RID"] for row in bag.get_table_as_dict(table)]


def labelled(lab: Lab, count: int = 3) -> tuple[Any, list[str], str]:
    run = lab.execution("ingest")
    (subject,) = lab.subjects("s1")
    images = lab.images(count, run, Subject=subject)
    lab.insert("Execution_Image_Severity", [{"Execution": run, "Image": one, "Grade": "Mild"} for one in images])
    dataset = lab.dataset(run, {"Image": images[:2]}, "major", dataset_types=["Training"], description="scans")
    return dataset, images, run


def test_a_bag_holds_the_version_and_what_hangs_on_it(lab: Lab) -> None:
    dataset, images, run = labelled(lab)
    metadata = lab.asset("Execution_Metadata", "metrics.jsonl", b'{"epoch": 0}\n')
    lab.links("Execution_Metadata", [metadata], run, "Output")
    dataset.add_dataset_members(images[2:])

    bag = lab.ml.download_dataset_bag(DatasetSpec(rid=dataset.rid, version="1.0.0"))

    assert files(bag) == {
        f"Image/{images[0]}/image-0.png": b"image 0",
        f"Image/{images[1]}/image-1.png": b"image 1",
        f"Execution_Metadata/{metadata}/metrics.jsonl": b'{"epoch": 0}\n',
    }
    assert sorted(row["RID"] for row in bag.list_dataset_members()["Image"]) == sorted(images[:2])
    assert bag.list_dataset_members()["Subject"] == []
    assert sorted(row["Image"] for row in bag.feature_values("Image", "Severity")) == sorted(images[:2])
    assert {row["Grade"] for row in bag.get_table_as_dict("Execution_Image_Severity")} == {"Mild"}
    assert [row["Name"] for row in bag.get_table_as_dict("Subject")] == ["s1"]
    assert sorted(row["Name"] for row in bag.get_table_as_dict("Grade")) == ["Mild", "Severe"], (
        "vocabularies come whole"
    )
    assert rids(bag, "Execution") == [run]
    assert (bag.rid, str(bag.version), bag.description, bag.dataset_types) == (
        dataset.rid, "1.0.0", "scans", ["Training"],
    )  # fmt: skip
    assert [str(entry.dataset_version) for entry in bag.dataset_history()] == ["0.1.0", "1.0.0"]
    bdbag_api.validate_bag(str(bag.path), fast=False)
    row = bag.list_dataset_members()["Image"][0]
    assert isinstance(row["Length"], int), "values have their types"


def test_a_version_stays_what_it_was(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    session = lab.ml.session
    update(session, lab.table("Subject"), [{"RID": next(iter(session.get("/entity/Subject")))["RID"], "Name": "renamed"}], targets=["Name"])  # fmt: skip
    delete(session, lab.table("Execution_Image_Severity"), {"Image": images[0]})
    dataset.delete_dataset_members([images[0]])
    before = lab.ml.download_dataset_bag(f"{dataset.rid}@1.0.0")
    assert [row["Name"] for row in before.get_table_as_dict("Subject")] == ["s1"]
    assert len(before.list_dataset_members()["Image"]) == 2
    assert len(rids(before, "Execution_Image_Severity")) == 2
    now = lab.ml.download_dataset_bag(dataset.rid)
    assert now.version.is_dev
    assert [row["Name"] for row in now.get_table_as_dict("Subject")] == ["renamed"]
    assert len(now.list_dataset_members()["Image"]) == 1


def test_the_second_time_nothing_is_asked_but_which_version_it_is(lab: Lab, traffic: Traffic) -> None:
    dataset, _, _ = labelled(lab)
    spec = DatasetSpec(rid=dataset.rid, version="1.0.0")
    first = lab.ml.download_dataset_bag(spec)
    traffic.clear()
    again = lab.ml.download_dataset_bag(spec)
    assert again.path == first.path and len(traffic) == 2
    assert (
        lab.ml.download_dataset_bag(DatasetSpec(rid=dataset.rid, version="1.0.0", exclude_tables={"Subject"})).path
        != first.path
    )
    assert (
        lab.ml.download_dataset_bag(DatasetSpec(rid=dataset.rid, version="1.0.0", materialize=False)).path != first.path
    )


def test_development_versions_are_never_served_from_the_cache(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    dataset.add_dataset_members(images[2:])
    first = dataset.download_dataset_bag()
    lab.insert(
        "Execution_Image_Severity", [{"Execution": lab.execution("again"), "Image": images[0], "Grade": "Severe"}]
    )
    second = dataset.download_dataset_bag()
    assert first.path != second.path
    assert [len(rids(bag, "Execution_Image_Severity")) for bag in (first, second)] == [3, 4]


def test_a_bag_whose_producer_is_still_running_is_not_kept(lab: Lab) -> None:
    run = lab.execution("still at it", status="Running")
    dataset = lab.dataset(run, {"Image": lab.images(1, run)}, "major")
    spec = DatasetSpec(rid=dataset.rid, version="1.0.0")
    assert not [name for name in files(lab.ml.download_dataset_bag(spec)) if "metrics" in name]
    metadata = lab.asset("Execution_Metadata", "metrics.jsonl", b"{}\n")
    lab.links("Execution_Metadata", [metadata], run, "Output")
    update(lab.ml.session, lab.table("Execution"), [{"RID": run, "Status": "Uploaded"}], targets=["Status"])
    bag = lab.ml.download_dataset_bag(spec)
    assert f"Execution_Metadata/{metadata}/metrics.jsonl" in files(bag)
    assert lab.ml.download_dataset_bag(spec).path == bag.path


def test_requests_do_not_grow_with_the_members(lab: Lab, traffic: Traffic) -> None:
    run = lab.execution()
    counts = []
    for size in (20, 1200):
        subjects = lab.subjects(*(f"{size}-{n}" for n in range(size)))
        dataset = lab.dataset(run, {"Subject": subjects}, "major")
        traffic.clear()
        bag = lab.ml.download_dataset_bag(dataset.rid)
        counts.append(len(traffic))
        assert len(bag.list_members("Subject")) == size
    assert counts[1] <= counts[0] + 2, counts


def test_many_rows_are_reached_by_joins(lab: Lab, traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, _, _ = labelled(lab)
    short = lab.ml.download_dataset_bag(dataset.rid)
    shutil.rmtree(lab.ml.cache_dir)
    monkeypatch.setattr("deriva_ml.dataset.scope.FEW", 0)
    traffic.clear()
    joined = lab.ml.download_dataset_bag(dataset.rid)
    assert joined.list_tables() == short.list_tables()
    for table in joined.list_tables():
        assert rids(joined, table) == rids(short, table), table
    assert any("=(" in request.path for request in traffic.sent)


def test_the_walk_brings_what_belongs_and_stops_at_what_does_not(lab: Lab) -> None:
    """A visit belongs to a subject, a note to a visit: both come with an image of the subject; its other images do not."""
    ml = lab.ml
    for child, parent in (("Visit", "Subject"), ("Note", "Visit")):
        key = ForeignKeyDefinition([parent], ml.default_schema, parent)
        ml.create_table(TableDefinition(child, [ColumnDefinition(parent, "text")], fkey_defs=[key]))
    run, other = lab.execution("ingest"), lab.execution("elsewhere")
    mine, theirs = lab.subjects("mine", "theirs")
    (visit,), (stray,) = lab.insert("Visit", [{"Subject": mine}]), lab.insert("Visit", [{"Subject": theirs}])
    (note,) = lab.insert("Note", [{"Visit": visit}])
    lab.insert("Note", [{"Visit": stray}])
    image, sibling = lab.images(2, run, Subject=mine)
    lab.links("Image", [image], other, "Input")
    model = lab.asset("Model", "m.pt", b"m")
    lab.links("Model", [model], run, "Output")
    bag = lab.dataset(run, {"Image": [image]}, "major").download_dataset_bag()
    assert (rids(bag, "Subject"), rids(bag, "Visit"), rids(bag, "Note")) == ([mine], [visit], [note])
    assert rids(bag, "Image") == [image]
    assert sorted(rids(bag, "Execution")) == sorted([run, other]), "runs are entered, for what they are …"
    assert "Model" not in bag.list_tables(), "… and not followed to everything that they touched"
    whole = lab.dataset(run, {"Subject": [mine]}, "major").download_dataset_bag()
    assert sorted(rids(whole, "Image")) == sorted([image, sibling]), "a subject brings its images"
    assert len(files(whole)) == 2


def test_nested_datasets_are_read_from_the_same_bag(lab: Lab) -> None:
    run = lab.execution()
    images = lab.images(2, run)
    child = lab.dataset(run, {"Image": images[:1]}, "major", description="child")
    parent = lab.dataset(run, {"Image": images[1:], "Dataset": [child.rid]}, "major")
    stranger = lab.dataset(run, {"Image": images[:1], "Dataset": [child.rid]}, "major")
    bag = parent.download_dataset_bag()
    (nested,) = bag.list_dataset_children()
    assert (nested.rid, nested.description, str(nested.version)) == (child.rid, "child", "1.0.0")
    assert nested.list_members("Image") == images[:1] and bag.list_members("Image") == images[1:]
    assert len(bag.list_dataset_members(recurse=True)["Image"]) == 2
    assert [row["RID"] for row in bag.list_dataset_members()["Dataset"]] == [child.rid]
    assert [one.rid for one in nested.list_dataset_parents()] == [parent.rid]
    assert stranger.rid not in rids(bag, "Dataset")


def test_without_the_files_the_bag_says_where_they_are(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    bag = dataset.download_dataset_bag(materialize=False)
    assert files(bag) == {} and not bag.materialize
    entries = [line.split("\t") for line in (bag.path / "fetch.txt").read_text().splitlines()]
    assert sorted(entry[2] for entry in entries) == sorted(f"data/assets/Image/{one}/image-{n}.png" for n, one in enumerate(images[:2]))  # fmt: skip
    assert all(f"://{lab.ml.host_name}/hatrac/" in entry[0] for entry in entries)
    verify(bag.path, holes=True)
    bdbag_api.validate_bag_structure(str(bag.path))


def test_files_are_kept_once_and_not_writable(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    dataset.add_dataset_members(images[2:])
    first, second = dataset.download_dataset_bag("1.0.0"), dataset.download_dataset_bag()
    one, other = (bag.path / "data/assets/Image" / images[0] / "image-0.png" for bag in (first, second))
    assert one.samefile(other)
    assert one.stat().st_mode & 0o222 == 0


def test_a_kept_file_that_rotted_is_brought_again(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    first = dataset.download_dataset_bag("1.0.0")
    kept = first.path / "data/assets/Image" / images[0] / "image-0.png"
    kept.chmod(0o644)
    kept.write_bytes(b"rotten!")
    shutil.rmtree(lab.ml.cache_dir / "bags")
    again = dataset.download_dataset_bag("1.0.0")
    assert (again.path / "data/assets/Image" / images[0] / "image-0.png").read_bytes() == b"image 0"


def test_after_a_restart_a_kept_bag_is_checked_once_and_built_again_if_torn(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, images, _ = labelled(lab)
    bag = dataset.download_dataset_bag("1.0.0")
    victims = [
        bag.path / "data/assets/Image" / images[0] / "image-0.png",
        bag.path.parent / "ready.json",
        bag.path / "data" / lab.ml.default_schema / "Image.csv",
        bag.path / "manifest-md5.txt",
    ]
    for boot, victim in enumerate(victims):
        victim.chmod(0o644)
        victim.write_bytes(b"")
        monkeypatch.setattr("deriva_ml.dataset.cache.boot_id", lambda boot=boot: f"start number {boot}")
        again = dataset.download_dataset_bag("1.0.0")
        verify(again.path)
        assert sorted(again.list_members("Image")) == sorted(images[:2])
    (bag.path.parent / "ready.json").unlink()  # a power cut leaves the folder without its mark
    verify(dataset.download_dataset_bag("1.0.0").path)
    assert sorted(path.name for path in bag.path.parent.iterdir()) == [bag.path.name, "ready.json"]


def test_bytes_that_are_not_what_the_row_says_are_refused(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    wrong = {"RID": images[0], "MD5": "0" * 32}
    update(lab.ml.session, lab.table("Image"), [wrong], targets=["MD5"])
    dataset.mark_dev("damaged")
    with pytest.raises(DerivaMLIntegrityError, match="damaged: MD5"):
        dataset.download_dataset_bag()
    assert not list((lab.ml.cache_dir / "building").iterdir()), "nothing half made is left"


def test_a_hostile_file_name_is_refused_with_the_row_it_is_in(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    dataset.mark_dev("renamed by a stranger")
    for name in ("../../escape.png", "/etc/passwd", "a/b.png", "..", "line\nend"):
        update(lab.ml.session, lab.table("Image"), [{"RID": images[1], "Filename": name}], targets=["Filename"])
        with pytest.raises(DerivaMLValidationError, match=f"Image {images[1]}.*cannot be the name of a file"):
            dataset.download_dataset_bag()
    bag = dataset.download_dataset_bag(exclude_tables=["Image"])
    assert "Image" not in bag.list_tables()
    assert not (lab.ml.cache_dir.parent.parent / "escape.png").exists()


def test_what_lies_on_other_servers_is_a_row_without_bytes(lab: Lab) -> None:
    run = lab.execution()
    (elsewhere,) = lab.insert(
        "Image", [{"URL": "https://example.org/hatrac/x", "Filename": "x", "Length": 1, "MD5": "0" * 32}]
    )
    bag = lab.dataset(run, {"Image": [elsewhere]}, "major").download_dataset_bag()
    assert bag.list_members("Image") == [elsewhere] and files(bag) == {}


def test_a_bag_cannot_be_changed_and_stands_where_a_spec_is_asked_for(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    bag = dataset.download_dataset_bag("1.0.0")
    for change in (lambda: bag.add_dataset_members(images), lambda: bag.release("major"), lambda: bag.mark_dev("x")):
        with pytest.raises(DerivaMLReadOnlyError, match="lookup_dataset"):
            change()
    spec = read_spec(bag)
    assert (spec.rid, spec.version) == (dataset.rid, bag.version)
    assert lab.ml.download_dataset_bag(bag).path == bag.path
    assert Path(os.fspath(bag)) == bag.path
    assert DatasetBag(bag.path).rid == dataset.rid
    with pytest.raises(DerivaMLTableNotFound, match="Nothing"):
        list(bag.get_table_as_dict("Nothing"))
    with pytest.raises(DerivaMLTableNotFound, match="Nothing"):
        dataset.download_dataset_bag("1.0.0", exclude_tables=["Nothing"])


def test_many_who_want_one_version_at_once_get_one_bag(lab: Lab) -> None:
    dataset, images, _ = labelled(lab)
    with ThreadPoolExecutor(6) as threads:
        bags = list(threads.map(lambda _: lab.ml.download_dataset_bag(f"{dataset.rid}@1.0.0"), range(6)))
    assert len({bag.path for bag in bags}) == 1
    verify(bags[0].path)
    assert all(sorted(bag.list_members("Image")) == sorted(images[:2]) for bag in bags)
    assert not list((lab.ml.cache_dir / "building").iterdir())


def test_a_long_table_is_read_in_pages(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = lab.subjects(*(f"s{n}" for n in range(25)))
    dataset = lab.dataset(lab.execution(), {"Subject": subjects}, "major")
    monkeypatch.setattr("deriva_ml.catalog.rows.pages.__defaults__", (10,))
    monkeypatch.setattr("deriva_ml.dataset.members.PAGE_ROWS", 10)
    assert sorted(dataset.list_members("Subject")) == sorted(subjects)
    assert len(dataset.list_dataset_members(limit=12)["Subject"]) == 12
    assert dataset.list_dataset_members(limit=0)["Subject"] == []
    assert sorted(dataset.download_dataset_bag().list_members("Subject")) == sorted(subjects)


def test_the_names_are_where_guides_import_them_from() -> None:
    from deriva_ml import dataset
    from deriva_ml.dataset import DatasetBag as FromPackage
    from deriva_ml.dataset import DatasetVersion, VersionPart

    assert FromPackage is DatasetBag
    assert {"Dataset", "DatasetSpec", "DatasetHistory"} <= set(dataset.__all__)
    assert str(DatasetVersion(1, 0, 0).bumped(VersionPart.minor)) == "1.1.0"
    with pytest.raises(AttributeError, match="Nothing"):
        dataset.Nothing  # noqa: B018
