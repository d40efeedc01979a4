"""Two doors into services that all conformance cases share, each with a catalog of samples to read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance_kit import Door, sample_catalog

from deriva_local.service.app import Service


@pytest.fixture(scope="session", params=["in-process", "over-http"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One way into a service. Its store is shared by all tests: take a catalog of your own to write."""
    if request.param == "over http":
        yield Door(request.getfixturevalue("served").send)
        return
    service = Service(tmp_path_factory.mktemp("conformance") / "store")
    yield Door.in_process(service)
    service.close()


@pytest.fixture(scope="session")
def samples(door: Door) -> Door:
    """The catalog of samples. Only to be read."""
    return sample_catalog(door)


@pytest.fixture
def mine(door: Door) -> Door:
    """A new, empty catalog of the test's own."""
    return door.new_catalog()
