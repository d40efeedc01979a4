"""The lab of several clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rights_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A catalog of the owner's, which nobody else may see yet."""
    made = Lab(tmp_path / "store")
    yield made
    made.service.close()
