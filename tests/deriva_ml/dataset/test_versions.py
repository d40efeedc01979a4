"""Version labels and the specs that carry them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from pydantic import ValidationError

from deriva_ml.dataset.aux_classes import DatasetHistory, DatasetSpec, DatasetVersion, VersionPart
from deriva_ml.dataset.spec import read_spec
from deriva_ml.dataset.versions import choose, current, producing
from deriva_ml.errors import DerivaMLNotFoundError, DerivaMLValidationError

versions = st.builds(
    DatasetVersion, st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.none() | st.integers(0, 20)
)


@given(versions, versions)
def test_labels_are_read_back_and_ordered_as_pep_440_says(one: DatasetVersion, other: DatasetVersion) -> None:
    assert DatasetVersion.parse(str(one)) == one
    assert (one < other) == (Version(str(one)) < Version(str(other)))


@given(versions, st.sampled_from(list(VersionPart)))
def test_what_comes_next_is_newer(version: DatasetVersion, part: VersionPart) -> None:
    assert version < version.next_dev() < version.bumped(part)
    assert not version.bumped(part).is_dev


@pytest.mark.parametrize(
    ("given_as", "label"),
    [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("2", "2.0.0"),
        ([1, 2, 3], "1.2.3"),
        ((0, 0, 1), "0.0.1"),
        ({"major": 1, "minor": 2, "patch": 3}, "1.2.3"),
        ("0.1.0.post1.dev4", "0.1.0.post1.dev4"),
    ],
)
def test_versions_are_accepted_in_many_forms(given_as: Any, label: str) -> None:
    assert str(DatasetVersion.parse(given_as)) == label
    assert DatasetSpec(rid="1-ABC", version=given_as).model_dump()["version"] == label


@pytest.mark.parametrize(
    "bad", ["", "latest", "1.2.3.4", "1.-1.0", "1.0\n1", [1, 2], [1, 2, "3"], {"mayor": 1}, {"major": -1}, 1.2]
)
def test_other_things_are_no_version(bad: Any) -> None:
    with pytest.raises(DerivaMLValidationError, match="not a version"):
        DatasetVersion.parse(bad)
    with pytest.raises(ValidationError):
        DatasetSpec(rid="1-ABC", version=bad)


@pytest.mark.parametrize("bad", ["", "nonsense", "1-ABC@", "1-ABC@latest", "../x@1.0.0", 7, None])
def test_other_things_are_no_spec(bad: Any) -> None:
    with pytest.raises(DerivaMLValidationError):
        read_spec(bad)


def test_a_spec_survives_json_and_shorthand() -> None:
    spec = DatasetSpec(rid="1-ABC", version="2.1.0", materialize=False, exclude_tables={"B", "A"})
    assert DatasetSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.exclude_tables == ["A", "B"]
    assert DatasetSpec.from_shorthand("1-ABC") == DatasetSpec(rid="1-ABC")
    assert read_spec({"rid": "1-ABC", "version": "1.0.0"}) == DatasetSpec.from_shorthand("1-ABC@1.0.0")


def history(*labels: str) -> list[DatasetHistory]:
    return [DatasetHistory(DatasetVersion.parse(label), "1-D", f"1-V{label}") for label in labels]


def test_a_version_is_chosen_by_number_not_by_text() -> None:
    entries = history("0.9.0", "0.10.0", "0.10.0.post1.dev1", "0.2.0")
    assert str(current(entries).dataset_version) == "0.10.0.post1.dev1"
    assert choose(entries, DatasetVersion(0, 9, 0)).version_rid == "1-V0.9.0"
    assert str(producing(entries).dataset_version) == "0.10.0"  # type: ignore[union-attr]
    assert producing([]) is None
    with pytest.raises(
        DerivaMLNotFoundError, match=r"no version 3\.0\.0. It has: 0\.10\.0\.post1\.dev1, 0\.10\.0, 0\.9\.0"
    ):
        choose(entries, DatasetVersion(3, 0, 0))
    with pytest.raises(DerivaMLNotFoundError, match="no version"):
        current([])


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(DerivaMLValidationError, match="major, minor or patch"):
        DatasetVersion(1, 0, 0).bumped("mayor")
