"""The zoo: one that is only read, shared by the tests of a file, and one that each test may change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from zoo import Catalog, new_catalog, zoo


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A zoo that tests only look at."""
    catalog = zoo(tmp_path_factory.mktemp("calm") / "store")
    yield catalog
    catalog.service.close()


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Catalog]:
    """A zoo of the test's own."""
    catalog = zoo(tmp_path / "store")
    yield catalog
    catalog.service.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog without tables of its own."""
    catalog = new_catalog(tmp_path / "store")
    yield catalog
    catalog.service.close()
