"""The doors that all conformance cases go through, each into a service with a catalog of samples to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance_kit import Door, sample_catalog
from doors import REAL, WAYS, Wire, real_server

from deriva_local.service.app import Service


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is ours alone where the other end is a real server."""
    left_out = [item for item in items if item.get_closest_marker("deviation") and _way(item) == REAL]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _way(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("door") if callspec else None


@pytest.fixture(scope="session", params=WAYS)
def door(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_server: Callable[..., Any],
) -> Iterator[Door]:
    """One way into a service. Its store is shared by all tests: take a catalog of your own to write."""
    if request.param == "in-process":
        service = Service(tmp_path_factory.mktemp("conformance") / "store")
        yield Door.in_process(service)
        service.close()
    elif request.param == REAL:
        wire = real_server()
        yield wire.door
        wire.clean()
        wire.close()
    else:
        options = ["--tls"] if request.param == "over-https" else []
        server = start_server(tmp_path_factory.mktemp("conformance") / "store", *options)
        wire = Wire(server.url, {"Authorization": f"Bearer {server.token}"})
        yield wire.door
        wire.close()
        server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="session")
def samples(door: Door) -> Door:
    """The catalog of samples. Only to be read."""
    return sample_catalog(door)


@pytest.fixture
def mine(door: Door) -> Door:
    """A new, empty catalog of the test's own."""
    return door.new_catalog()
