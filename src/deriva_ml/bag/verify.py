"""Check a bag against its manifests, and say everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from deriva_ml.bag import layout
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.files import Digest, hash_file

SHOWN = 50


def verify(folder: Path, *, holes: bool = False) -> None:
    """Check that the bag ``folder`` is whole: every file listed, present, with its checksums, and nothing beside them.

    With ``holes``, files that ``fetch.txt`` says where to get may be absent.

    Raises:
        DerivaMLIntegrityError: it is not; the message lists every problem found.
    """
    problems = list(problems_of(Path(folder), holes=holes))
    if problems:
        more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise DerivaMLIntegrityError(f"The bag {folder} is damaged:\n  " + "\n  ".join(problems[:SHOWN] + more))


def problems_of(folder: Path, *, holes: bool = False) -> Iterator[str]:
    """Yield one sentence for each thing that is wrong with the bag."""
    missing = [name for name in ("bagit.txt", layout.PAYLOAD) if not (folder / name).exists()]
    if missing:
        yield f"{' and '.join(missing)} missing: this is not a bag"
        return
    links = list(_links(folder))
    yield from (f"{link}: a symbolic link or device, which a bag may not have" for link in links)
    if links:
        return
    yield from _check_lists(folder, _manifests(folder, "manifest"), holes)
    yield from _check_files(folder, _manifests(folder, "tagmanifest"), frozenset())


def _links(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(place, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                yield path.relative_to(folder).as_posix()


def _manifests(folder: Path, kind: str) -> dict[str, dict[str, str]]:
    """Return algorithm → (path → checksum) of the manifests that the bag has."""
    return {
        name: layout.parse_manifest(path.read_text("utf-8"), path.name)
        for name in layout.ALGORITHMS
        if (path := folder / f"{kind}-{name}.txt").is_file()
    }


def _check_lists(folder: Path, manifests: dict[str, dict[str, str]], holes: bool) -> Iterator[str]:
    if not manifests:
        yield "no manifest-md5.txt or manifest-sha256.txt"
        return
    fetch = folder / "fetch.txt"
    fetched = layout.parse_fetch(fetch.read_text("utf-8")) if fetch.is_file() else {}
    listed = set().union(*manifests.values())
    unsafe = {path for path in listed | set(fetched) if _unsafe(path)}
    yield from (f"{path!r}: not a path inside data/" for path in sorted(unsafe))
    for path, (url, _) in sorted(fetched.items()):
        if layout.url_problem(url):
            yield f"{path}: {layout.url_problem(url)}, not {url!r}"
    yield from (f"{path}: in fetch.txt, but in no manifest" for path in sorted(set(fetched) - listed))
    for name, entries in manifests.items():
        yield from (f"{path}: not listed in manifest-{name}.txt" for path in sorted(listed - set(entries)))
    present = {path.relative_to(folder).as_posix() for path in (folder / layout.PAYLOAD).rglob("*") if path.is_file()}
    yield from (f"{path}: present, but in no manifest" for path in sorted(present - listed))
    safe = {
        name: {path: sum_ for path, sum_ in entries.items() if path not in unsafe}
        for name, entries in manifests.items()
    }
    yield from _check_files(folder, safe, frozenset(fetched) if holes else frozenset())


def _unsafe(path: str) -> bool:
    return not path.startswith(f"{layout.PAYLOAD}/") or bool(
        layout.path_problem(path.removeprefix(f"{layout.PAYLOAD}/"))
    )


def _check_files(folder: Path, manifests: dict[str, dict[str, str]], may_be_absent: frozenset[str]) -> Iterator[str]:
    for path in sorted(set().union(*manifests.values())):
        place = folder / path
        if layout.path_problem(path):
            yield f"{path!r}: not a path inside the bag"
        elif not place.is_file():
            if path not in may_be_absent:
                yield f"{path}: missing"
        else:
            yield from _compare(
                path, hash_file(place), {name: entries.get(path) for name, entries in manifests.items()}
            )


def _compare(path: str, found: Digest, expected: dict[str, str | None]) -> Iterator[str]:
    for name, checksum in expected.items():
        if checksum is not None and getattr(found, name) != checksum:
            yield f"{path}: {name} is {getattr(found, name)}, the manifest says {checksum}"
