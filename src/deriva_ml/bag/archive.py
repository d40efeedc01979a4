"""A bag as one file: a zip archive written whole or not at all, and one from a stranger opened without harm.

Entries are stored, not compressed: payloads mostly are already, and a reader then knows beforehand how much it will write.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

from deriva_ml.bag import layout
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.files import BLOCK, make_folder, replacing

MOST_FILES = 2_000_000
RATIO = 200
"""How many times more than its compressed bytes a file may have before it is taken for a bomb."""
_FROM = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, archive: Path) -> None:
    """Write the bag ``folder`` into the file ``archive``, under the name of the folder."""
    make_folder(archive.parent)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with replacing(archive) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for path in paths:
            entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}", _FROM)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, target.open(entry, "w") as writer:
                shutil.copyfileobj(source, writer, BLOCK)


def unpack(archive: Path, into: Path) -> Path:
    """Extract the bag in ``archive`` below the empty folder ``into`` and return its folder.

    Raises:
        DerivaMLIntegrityError: it is no zip archive, is damaged, or would do harm: paths that lead out, links, devices,
            two files of one name, more bytes than it should have or than the disk can take. Nothing was extracted then,
            or only below ``into``.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            entries = _checked(source, archive, into)
            for entry in entries:
                _extract(source, entry, into / entry.filename)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DerivaMLIntegrityError(f"{archive} is not a whole zip archive: {error}.") from error
    except FileNotFoundError as error:
        raise DerivaMLIntegrityError(
            f"There is no archive {archive}: `deriva-ml upload --seal` writes one on the machine of the run, and says where."
        ) from error
    except IsADirectoryError as error:
        raise DerivaMLIntegrityError(f"{archive} is a folder: name the archive that `exe.seal()` wrote.") from error
    return into / entries[0].filename.split("/")[0]


def _checked(source: zipfile.ZipFile, archive: Path, into: Path) -> list[zipfile.ZipInfo]:
    """Return the files of the archive, if all of it may be extracted."""
    every = source.infolist()
    problems = [f"{entry.filename!r}: {problem}" for entry in every if (problem := _problem(entry))]
    files = [entry for entry in every if not entry.is_dir()]
    problems += _problems_together(files, archive, into)
    if problems:
        raise DerivaMLIntegrityError(f"{archive} is refused: {'; '.join(problems[:10])}.")
    return files


def _problem(entry: zipfile.ZipInfo) -> str:
    """Return what is wrong with one entry, "" if nothing."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or device"
    if entry.flag_bits & 1:
        return "encrypted"
    if problem := layout.path_problem(entry.filename.removesuffix("/")):
        return problem
    if entry.file_size > 1024 * 1024 and entry.file_size > RATIO * entry.compress_size:
        return f"{entry.file_size} bytes packed into {entry.compress_size}"
    return ""


def _problems_together(files: list[zipfile.ZipInfo], archive: Path, into: Path) -> list[str]:
    """Return what is wrong with the files taken together."""
    problems = []
    if len({entry.filename.split("/")[0] for entry in files}) != 1 or any("/" not in entry.filename for entry in files):
        problems.append("it does not hold one folder")
    if len(files) > MOST_FILES:
        problems.append(f"it has {len(files)} files")
    if len({entry.filename.casefold() for entry in files}) < len(files):
        problems.append("two of its files have one name")
    if sum(entry.compress_size for entry in files) > archive.stat().st_size:
        problems.append("its files overlap")
    size, free = sum(entry.file_size for entry in files), shutil.disk_usage(into).free
    if size > free:
        problems.append(f"it has {size} bytes, and the disk has room for {free}")
    return problems


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    make_folder(target.parent)
    with source.open(entry) as reader, replacing(target, name_durable=False) as writer:
        shutil.copyfileobj(reader, writer, BLOCK)
