"""The house stands: imports go down only, laws do no I/O, lazy imports stay where they belong.

An ``ast`` walk over every import of every file in ``src``, those inside functions included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

# The first pattern that matches a file names its floor. The floor belongs to the file, the folder to the subject.
FLOORS: list[tuple[str, int]] = [
    # deriva_local: words
    ("deriva_local/wire/errors.py", 0),
    ("deriva_local/lazy.py", 0),
    ("deriva_local/url/ast.py", 0),
    ("deriva_local/model/elements.py", 0),
    ("deriva_local/service/messages.py", 0),
    # laws
    ("deriva_ml/jsontext.py", 1),
    ("deriva_local/wire/*.py", 1),
    ("deriva_local/url/*.py", 1),
    ("deriva_local/model/*.py", 1),
    ("deriva_local/query/functions.py", 2),
    ("deriva_local/query/*.py", 1),
    ("deriva_local/acl/*.py", 1),
    ("deriva_local/history/versions.py", 1),
    ("deriva_local/history/clock.py", 1),
    ("deriva_local/history/capture.py", 1),
    ("deriva_local/objects/names.py", 1),
    ("deriva_local/objects/access.py", 1),
    ("deriva_local/users/passwords.py", 1),
    ("deriva_local/users/attempts.py", 1),
    # hands
    ("deriva_local/store/*.py", 2),
    ("deriva_local/history/*.py", 2),
    ("deriva_local/data/*.py", 2),
    ("deriva_local/objects/*.py", 2),
    ("deriva_local/users/*.py", 2),
    # doors
    ("deriva_local/service/*.py", 3),
    # deriva_ml: words
    ("deriva_ml/errors.py", 0),
    ("deriva_ml/lazy.py", 0),
    ("deriva_ml/rid.py", 0),
    ("deriva_ml/names.py", 0),
    ("deriva_ml/catalog/port.py", 0),
    # laws
    ("deriva_ml/enums.py", 1),
    ("deriva_ml/definitions.py", 1),
    ("deriva_ml/schema/tables.py", 1),
    ("deriva_ml/schema/kinds.py", 1),
    ("deriva_ml/execution/states.py", 1),
    ("deriva_ml/execution/reconcile.py", 1),
    ("deriva_ml/lineage/graph.py", 1),
    ("deriva_ml/lineage/walk.py", 1),
    ("deriva_ml/lineage/models.py", 1),
    ("deriva_ml/lineage/tree.py", 1),
    ("deriva_ml/dataset/versions.py", 1),
    ("deriva_ml/environment/redact.py", 1),
    # doors
    ("deriva_ml/cli/*.py", 4),
    ("deriva_ml/demo/*.py", 4),
    ("deriva_ml/launch/*.py", 4),
    # hands
    ("deriva_ml/catalog/*.py", 2),
    ("deriva_ml/bag/*.py", 2),
    ("deriva_ml/workflow/*.py", 2),
    ("deriva_ml/environment/*.py", 2),
    ("deriva_ml/schema/*.py", 2),
    ("deriva_ml/files.py", 2),
    ("deriva_ml/forks.py", 2),
    ("deriva_ml/db.py", 2),
    ("deriva_ml/clock.py", 2),
    ("deriva_ml/settings.py", 2),
    # verbs
    ("deriva_ml/*", 3),
]

IO_MODULES = {"apsw", "sqlite3", "requests", "subprocess", "time", "socket", "shutil", "tempfile", "deriva"}
LAZY_ALLOWED = (
    "deriva_ml/__init__.py",
    "deriva_ml/core/__init__.py",
    "deriva_ml/cli/*.py",
    "deriva_ml/demo/*.py",
)
# One adapter file per heavy or optional dependency: file pattern -> what it may load when first used.
ADAPTERS = {
    "deriva_ml/catalog/clients.py": {"deriva"},
    "deriva_ml/catalog/embedded.py": {"deriva_local"},
    "deriva_ml/execution/progress.py": {"rich", "tqdm"},
    "deriva_ml/forks.py": {"ctypes"},
    "deriva_local/store/forks.py": {"ctypes"},
    "deriva_local/query/patience.py": {"regex"},
    "deriva_ml/catalog/remote.py": {"deriva", "requests", "urllib3"},
    "deriva_ml/bag/verify.py": {"bdbag"},
    "deriva_ml/launch/kernel.py": {"ipykernel"},
    "deriva_ml/launch/launchers.py": {"submitit"},
    "deriva_ml/workflow/version.py": {"setuptools_scm"},
}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    lazy: bool
    for_types: bool


def files() -> list[str]:
    return sorted(path.relative_to(SRC).as_posix() for path in SRC.rglob("*.py"))


def floor(file: str) -> int:
    return next(level for pattern, level in FLOORS if fnmatchcase(file, pattern))


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((SRC / file).read_text())


@cache
def imports_of(file: str) -> tuple[Import, ...]:
    return tuple(_imports(file))


def _imports(file: str) -> Iterator[Import]:
    for node, lazy, for_types in _walk(tree_of(file), False, False):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, lazy, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield Import(file, node.lineno, module, lazy, for_types)
            for alias in node.names:
                if target_file(f"{module}.{alias.name}"):
                    yield Import(file, node.lineno, f"{module}.{alias.name}", lazy, for_types)


def runtime_imports(file: str) -> Iterator[Import]:
    return (found for found in imports_of(file) if not found.lazy and not found.for_types)


def _walk(node: ast.AST, lazy: bool, for_types: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types_here = for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield child, inside, types_here
        yield from _walk(child, inside, types_here)


@cache
def target_file(module: str) -> str | None:
    """Return the file of one of our modules, None for other people's and for plain package folders."""
    if module.split(".")[0] not in ("deriva_ml", "deriva_local"):
        return None
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if (SRC / candidate).exists():
            return candidate
    return None


def is_bare_package(file: str) -> bool:
    return file.endswith("__init__.py")


@pytest.mark.parametrize("file", files())
def test_imports_go_down_only(file: str) -> None:
    if is_bare_package(file):
        return
    up = [
        f"{found.file}:{found.line} (floor {floor(file)}) imports {found.module} (floor {floor(target)})"
        for found in imports_of(file)
        if (target := target_file(found.module))
        and not is_bare_package(target)
        and floor(target) > floor(file)
        and target.split("/")[0] == file.split("/")[0]  # the one road from package to package has a test of its own
    ]
    assert not up, "\n".join(up)


@pytest.mark.parametrize("file", [file for file in files() if not is_bare_package(file) and floor(file) <= 1])
def test_laws_do_no_io(file: str) -> None:
    names = {found.module.split(".")[0] for found in imports_of(file) if not found.for_types}
    assert not names & IO_MODULES, f"{file} is a law and imports {sorted(names & IO_MODULES)}"
    opened = [node.lineno for node in ast.walk(tree_of(file)) if _opens(node)]
    assert not opened, f"{file} is a law and opens a file at line {opened}"


def _opens(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"


@pytest.mark.parametrize("file", files())
def test_lazy_imports_stay_where_they_belong(file: str) -> None:
    if any(fnmatchcase(file, pattern) for pattern in LAZY_ALLOWED):
        return
    allowed = ADAPTERS.get(file, set())
    stray = [
        f"{found.file}:{found.line} imports {found.module} inside a function"
        for found in imports_of(file)
        if found.lazy and found.module.split(".")[0] not in allowed
    ]
    assert not stray, "\n".join(stray)


def test_the_service_knows_nothing_of_machine_learning() -> None:
    strangers = [
        f"{found.file}:{found.line}"
        for file in files()
        if file.startswith("deriva_local/")
        for found in imports_of(file)
        if found.module.split(".")[0] == "deriva_ml"
    ]
    assert not strangers, f"deriva_local imports deriva_ml: {strangers}"


def test_one_adapter_and_one_command_know_the_service() -> None:
    knowing = {
        file
        for file in files()
        if file.startswith("deriva_ml/")
        for found in imports_of(file)
        if found.module.split(".")[0] == "deriva_local"
    }
    serve_command = {file for file in knowing if fnmatchcase(file, "deriva_ml/cli/serve*.py")}
    assert knowing - serve_command <= {"deriva_ml/catalog/embedded.py"}, knowing


def test_no_import_cycles() -> None:
    graph = {
        file: {target for found in runtime_imports(file) if (target := target_file(found.module))} - {file}
        for file in files()
        if not is_bare_package(file)
    }
    graph = {file: {target for target in targets if not is_bare_package(target)} for file, targets in graph.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")
    assert graph


def test_only_the_doors_catch_everything() -> None:
    doors = {"deriva_ml/cli/main.py", "deriva_local/service/app.py"}
    broad = [
        f"{file}:{node.lineno}"
        for file in files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and file not in doors
    ]
    assert not broad, f"a broad except belongs at a door: {broad}"


def _is_broad(node: ast.ExceptHandler) -> bool:
    """Whether the handler swallows everything: one that undoes its own work and raises again does not."""
    last = node.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    named = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(part is None or ast.unparse(part) in ("Exception", "BaseException") for part in named)


def test_no_room_outgrows_the_house() -> None:
    """The front door alone may be longer: its methods are one call each."""
    long = [file for file in files() if len((SRC / file).read_text().splitlines()) > 500]
    assert long == ["deriva_ml/ml.py"], long


def test_every_function_fits_a_screen() -> None:
    long = [
        f"{file}:{node.lineno} {node.name}"
        for file in files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.FunctionDef) and _lines(node) > 60
    ]
    assert not long, long


def _lines(function: ast.FunctionDef) -> int:
    """Count the lines of a function below its signature and its documentation."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_sqlite_is_opened_by_one_library() -> None:
    users = [found for file in files() for found in imports_of(file) if found.module.split(".")[0] == "sqlite3"]
    assert not users, "apsw opens every SQLite file: two SQLite copies in one process steal each other's locks"


@pytest.mark.parametrize(("module", "expected"), [("deriva_ml.errors", 0), ("deriva_local.url.ast", 0)])
def test_the_floors_table_is_read_in_order(module: str, expected: int) -> None:
    file = target_file(module)
    assert file is not None
    assert floor(file) == expected
