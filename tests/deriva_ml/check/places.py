"""A home to be damaged, and the ways to damage it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from deriva_local.service.attach import detach
from deriva_local.service.backup import copy_store
from deriva_ml import DerivaML, Workflow
from deriva_ml.check.findings import CheckReport
from deriva_ml.check.home import check_home, session_to_repair
from deriva_ml.check.repair import Repair, repair
from deriva_ml.check.workspace import check_workspace


def workflow() -> Workflow:
    """A workflow that says itself where its code is; in the catalog it is bound to its row."""
    return Workflow(name="Train", workflow_type=["Training"], url="https://example.org/train.py", checksum="abc")


@dataclass(frozen=True)
class Place:
    """A home to be damaged: a run sealed and not committed, one committed, one just stopped."""

    home: Path
    older: Path
    """A backup of its catalog from before the last run."""
    sealed: str
    done: str
    stopped: str

    @property
    def workspace(self) -> Path:
        return self.home / "workspaces" / "embedded__1"

    @property
    def store(self) -> Path:
        return self.workspace / "store.sqlite"

    def folder(self, rid: str) -> Path:
        return self.workspace / "executions" / rid

    def sql(self, text: str) -> None:
        """Change the store's rows, whatever its rules say."""
        named = text.replace("{sealed}", self.sealed).replace("{done}", self.done).replace("{stopped}", self.stopped)
        change(self.store, named)

    def some(self, pattern: str) -> Path:
        named = pattern.format(sealed=self.sealed, done=self.done, stopped=self.stopped)
        return sorted(path for path in self.workspace.glob(named) if path.is_file() or path.is_symlink())[0]

    def check(self, read_data: bool = True) -> CheckReport:
        return check_home(self.home, read_data=read_data)

    def check_workspace(self) -> CheckReport:
        return check_workspace(self.workspace, self.workspace / "cache", read_data=True)

    def repair(self, report: CheckReport) -> list[Repair]:
        return list(repair(report.remedies, lambda workspace: session_to_repair(self.home, workspace), read_data=True))

    def close(self) -> None:
        """Let go of the catalog that a check has opened."""
        detach(self.home / "catalog")


Damage = Callable[[Place], object]


def furnish(home: Path, beside: Path) -> Place:
    """Make a healthy home with a bit of everything, and close it."""
    (beside / "linked.txt").write_text("linked")
    ml = DerivaML(working_dir=home, clean_execution_dir=False)
    ml.create_asset("Image")
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Image", "Grade", terms=["Grade"])
    ml.create_asset("Mask")
    ml.create_feature("Image", "Copy", assets=["Mask"])
    ml.add_dataset_element_type("Image")
    with ml.create_execution(workflow=workflow(), description="committed") as done:
        done.asset_file_path("Image", "a.txt").write_text("a")
        dataset = done.create_dataset([], description="images")
    done.commit_output_assets()
    image = done.uploaded_assets[0].asset_rid
    dataset.add_dataset_members([image])
    version = dataset.increment_dataset_version("minor", "first")
    ml.download_dataset_bag(f"{dataset.rid}@{version}")
    with ml.create_execution(
        workflow=workflow(), parameters={"lr": 0.1}, assets=[{"rid": image, "cache": True}]
    ) as sealed:
        written = sealed.asset_file_path("Mask", "b.txt")
        written.write_text("b")
        sealed.log_metrics({"loss": 1.0}, step=1)
        sealed.log_params({"epochs": 3})
        sealed.add_features([ml.feature_record_class("Image", "Copy")(Image=image, Mask=written)])
    sealed.seal()
    copy_store(home / "catalog", beside / "older")
    with ml.create_execution(workflow=workflow()) as stopped:
        stopped.asset_file_path("Image", "c.txt").write_text("c")
        stopped.asset_file_path("Image", str(beside / "linked.txt"))
        stopped.asset_file_path("Image", str(beside / "linked.txt"), copy_file=True, rename_file="copied.txt")
        stopped.add_features([ml.feature_record_class("Image", "Grade")(Image=image, Grade="Mild")])
        stopped.log_metrics({"loss": 2.0})
    close(ml)
    return Place(home, beside / "older", sealed.rid, done.rid, stopped.rid)


def close(ml: DerivaML) -> None:
    """Close a home; its logs, written out ahead of time, become short, as a copy of them would take long."""
    ml.session.port.close()
    ml.executions.store.database.close()
    for path in ml.working_dir.rglob("*.sqlite"):
        change(path, "PRAGMA wal_checkpoint(TRUNCATE)")


def restore(copy: Path, original: Path) -> None:
    """Make a copy what it was; what has not changed is not copied again."""
    shutil.copystat(original, copy)
    wanted = {entry.name: entry for entry in os.scandir(original)}
    for entry in list(os.scandir(copy)):
        if entry.name not in wanted or look(entry.path) != look(wanted[entry.name].path):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else Path(entry.path).unlink()
    for name, entry in wanted.items():
        place = copy / name
        if entry.is_dir(follow_symlinks=False):
            place.mkdir(exist_ok=True)
            restore(place, Path(entry.path))
        elif not os.path.lexists(place):
            shutil.copy2(entry.path, place, follow_symlinks=False)


def look(path: str) -> object:
    """Return what tells whether a file has changed; SQLite changes its files without a word, and so does a disk that rots."""
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    if ".sqlite" in path:
        return path
    content = Path(path).read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size < 100 else b""
    return found.st_mode, found.st_size, found.st_mtime_ns, content


# ------------------------------------------------------------------------------------------------------------ databases


def change(path: Path, sql: str) -> None:
    """Change a database, whatever its rules say."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA foreign_keys=OFF; PRAGMA writable_schema=ON")
    connection.execute(sql).fetchall()
    connection.close()


def row(text: str) -> Damage:
    """Change the rows of the store."""
    return lambda place: place.sql(text)


def in_catalog(file: str, sql: str) -> Damage:
    """Change the rows of a database of the catalog."""
    return lambda place: change(place.home / "catalog" / file, sql)


def noise(path: Path) -> None:
    """Fill the pages of a database with noise, all but the first."""
    _overwrite(path, 4096, os.urandom(path.stat().st_size - 4096))


def zeros(path: Path) -> None:
    """Some pages of a database were never written."""
    _overwrite(path, 4096 * 4, bytes(4096 * 8))


def kind_of_page(path: Path) -> None:
    """Flip one bit: what kind of page the second one is."""
    _overwrite(path, 4096, bytes([path.read_bytes()[4096] ^ 4]))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def at_store(act: Callable[[Path], object]) -> Damage:
    return lambda place: act(place.store)


def without_store(place: Place) -> None:
    for path in place.workspace.glob("store.sqlite*"):
        path.unlink()


# ---------------------------------------------------------------------------------------------------------------- files


def on(pattern: str, act: Callable[[Path], object]) -> Damage:
    """Change the first file that a pattern below the workspace finds."""
    return lambda place: act(place.some(pattern))


def in_catalog_folder(pattern: str, act: Callable[[Path], object]) -> Damage:
    """Damage a file of the embedded catalog; one that has other names as well is made its own first."""

    def damage(place: Place) -> None:
        path = sorted(each for each in (place.home / "catalog").glob(pattern) if each.is_file())[0]
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        act(path)

    return damage


def flip(path: Path) -> None:
    """Change one bit; the length stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def flip_in_place(path: Path) -> None:
    """Change one bit of the file under whatever name it goes."""
    _overwrite(path, 0, bytes([path.read_bytes()[0] ^ 1]))


def rot(path: Path) -> None:
    """Change one bit as a disk does: nobody has written to the file."""
    found = path.stat()
    flip(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def longer(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"x")


def shorter(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


def remove(path: Path) -> None:
    path.unlink()


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def text(content: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.unlink()
        path.write_text(content)

    return write


def both(*damages: Damage) -> Damage:
    def damage(place: Place) -> None:
        for each in damages:
            each(place)

    return damage


def manifest(rid: str, act: Callable[[dict], object]) -> Damage:  # type: ignore[type-arg]
    def damage(place: Place) -> None:
        path = place.folder(getattr(place, rid)) / "asset-manifest.json"
        content = json.loads(path.read_text())
        act(content)
        path.write_text(json.dumps(content))

    return damage


def first_asset(content: dict) -> dict:  # type: ignore[type-arg]
    found: dict = next(iter(content["assets"].values()))  # type: ignore[type-arg]
    return found


def file_at(relative: str, content: str) -> Damage:
    """Put a file into the workspace."""

    def damage(place: Place) -> None:
        path = place.workspace / relative.format(stopped=place.stopped, done=place.done)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return damage


# ------------------------------------------------------------------------------------------------------------ processes

BEGIN = """
import os, signal
from deriva_local.service.attach import detach
from deriva_local.service.backup import copy_store
from deriva_ml import DerivaML, Workflow
ml = DerivaML(working_dir=os.environ["H"])
exe = ml.create_execution(workflow=Workflow(name="x", workflow_type="Training", url="https://e.org/x", checksum="x"))
exe.execution_start()
exe.log_metrics({"loss": 1})
print(exe.rid, flush=True)
"""


def killed(home: Path) -> str:
    """Let a process begin a run and be killed; return the run's RID."""
    script = f"{BEGIN}\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", script], env=_env(home), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for log in home.rglob("*.sqlite-wal"):  # written out ahead of time, and long to copy
        os.truncate(log, used(log))
    return done.stdout.strip()


def used(log: Path) -> int:
    """Return how much of a log its index says to be in use: a header of 32 bytes, and pages with 24 more bytes each."""
    index = log.with_name(f"{log.name.removesuffix('-wal')}-shm").read_bytes()
    page, frames = struct.unpack_from("=HI", index, 14)
    return 32 + frames * (24 + page) if frames else 0


def alive(home: Path) -> subprocess.Popen[str]:
    """Let a process begin a run and go on until its input ends; its first line of output is the run's RID."""
    script = f"{BEGIN}\ninput()"
    return subprocess.Popen(
        [sys.executable, "-c", script], env=_env(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _env(home: Path) -> dict[str, str]:
    return {**os.environ, "H": str(home)}
