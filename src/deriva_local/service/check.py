"""Whether a store is whole: its databases, the rules of its catalogs, and every content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deriva_local.data.integrity import check_foreign_key, check_key, check_not_null
from deriva_local.model.elements import Table
from deriva_local.objects.store import Objects
from deriva_local.objects.verify import problems as content_problems
from deriva_local.store.catalog import FILE as CATALOG
from deriva_local.store.copies import damages
from deriva_local.store.database import Database, ReadSession
from deriva_local.store.place import StoreProblem
from deriva_local.store.registry import Store
from deriva_local.users.accounts import FILE as USERS
from deriva_local.wire.errors import Refusal

REGISTRY, HATRAC = "registry.sqlite", "hatrac.sqlite"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. ``notes`` are about space that could be freed; they are no problems."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    databases: int
    tables: int
    contents: int


def check(folder: Path, *, read_contents: bool = True) -> Report:
    """Look over the store in ``folder``, which may be in use; without ``read_contents`` only names and lengths of contents.

    Raises:
        StoreProblem: there is no store in that folder.

    Example:
        >>> import tempfile
        >>> from deriva_local.service.app import Service
        >>> folder = Path(tempfile.mkdtemp())
        >>> Service(folder).close()
        >>> check(folder).problems
        ()
    """
    refuse_strange(folder)
    files = [folder / REGISTRY, folder / HATRAC, folder / USERS, *sorted((folder / "catalogs").glob(f"*/{CATALOG}"))]
    there = [path for path in files if path.exists()]
    problems = [problem for path in there for problem in damages(path)]
    if problems:  # what lies in a damaged file is not worth asking for
        return Report(tuple(problems), (), len(there), 0, 0)
    tables, of_catalogs, notes = _catalogs(folder)
    contents, of_contents, strays = _contents(folder, read_contents)
    return Report((*of_catalogs, *of_contents), (*notes, *strays), len(there), tables, contents)


def refuse_strange(folder: Path) -> None:
    """Let the folder of a store pass.

    Raises:
        StoreProblem: it is none.
    """
    if not (folder / REGISTRY).is_file():
        raise StoreProblem(f"There is no store in {folder}.")


# ----------------------------------------------------------------------------------------------------------- catalogs


def _catalogs(folder: Path) -> tuple[int, list[str], list[str]]:
    """Return how many tables there are, what is wrong with them, and which folders belong to no catalog."""
    store, tables, problems = Store(folder), 0, []
    try:
        known = {entry.folder for entry in store.catalogs()}
        for entry in store.catalogs():
            try:
                found = list(_rules(store.database(entry)))
            except (Refusal, StoreProblem) as missing:
                problems.append(f"Catalog '{entry.id}': {missing}")
                continue
            tables += len(found)
            problems += [f"Catalog '{entry.id}': {problem}" for each in found for problem in each]
    finally:
        store.close()
    left = [path for path in sorted((folder / "catalogs").iterdir()) if path.name not in known]
    return tables, problems, [f"{path} belongs to no catalog: a process was killed." for path in left]


def _rules(database: Database) -> Iterator[list[str]]:
    """Yield for each table which of its rules its rows break."""
    with database.read() as session:
        for schema in session.model.schemas.values():
            for table in schema.tables.values():
                yield _broken(session, table)


def _broken(session: ReadSession, table: Table) -> list[str]:
    rules: list[Callable[[], object]] = [
        *(partial(check_not_null, session, table, column) for column in table.columns if not column.nullok),
        *(partial(check_key, session, table, key) for key in table.keys),
        *(partial(check_foreign_key, session, table, link) for link in table.foreign_keys),
    ]
    return [told for rule in rules if (told := _refusal_of(rule))]


def _refusal_of(rule: Callable[[], object]) -> str:
    """Return what stands against a rule; "" where it holds."""
    try:
        rule()
    except Refusal as broken:
        return broken.detail
    return ""


# ----------------------------------------------------------------------------------------------------------- contents


def _contents(folder: Path, read: bool) -> tuple[int, list[str], list[str]]:
    """Return how many contents there are, what is wrong with them, and which files are the content of nothing."""
    objects = Objects(folder)
    try:
        looked = list(content_problems(objects, read=read))
        strays = [f"{path} is the content of nothing." for path in objects.strays()]
    finally:
        objects.close()
    return len(looked), [problem for problem in looked if problem is not None], strays
