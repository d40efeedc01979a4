"""The public names: every one loads, editors and type checkers know them, and importing the package loads none."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import deriva_ml

PACKAGES = [
    "deriva_ml",
    "deriva_ml.asset",
    "deriva_ml.dataset",
    "deriva_ml.execution",
    "deriva_ml.feature",
    "deriva_ml.schema",
]
ALIASES = {
    "deriva_ml.core.enums": ["MLAsset", "MLVocab", "ExecMetadataType"],
    "deriva_ml.core.definitions": ["ColumnDefinition", "TableDefinition", "RID", "DRY_RUN_RID"],
    "deriva_ml.execution.state_store": ["ExecutionStatus"],
    "deriva_ml.execution.state_machine": ["InvalidTransitionError"],
    "deriva_ml.execution.execution_record": ["ExecutionRecord"],
    "deriva_ml.dataset.aux_classes": ["DatasetSpec", "DatasetVersion", "VersionPart", "DatasetHistory"],
}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_loads(package: str) -> None:
    module = importlib.import_module(package)
    assert len(module.__all__) > 1
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = module.Nonsense


@pytest.mark.parametrize("module", ALIASES)
def test_the_import_paths_of_the_guides(module: str) -> None:
    for name in ALIASES[module]:
        assert hasattr(importlib.import_module(module), name)


def test_type_checkers_see_the_names_that_load() -> None:
    tree = ast.parse(Path(str(deriva_ml.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    shown = {
        (alias.name, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert shown == set(deriva_ml._PLACE_OF.items())


def test_the_package_knows_its_version() -> None:
    assert deriva_ml.__version__[0].isdigit()
    assert "DerivaML" in dir(deriva_ml)


def test_importing_the_package_loads_next_to_nothing() -> None:
    code = "import sys; before = {*sys.modules}; import deriva_ml; print(*sorted({*sys.modules} - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("deriva")} == {"deriva_ml"}
    assert not {"pydantic", "apsw", "json", "urllib.request"} & set(loaded)
