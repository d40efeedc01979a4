"""What users do, scene by scene: what was there before, what they do, what they do after it was broken off, what must be true then.

Whatever happens to a scene happens to its ``act``: an error of the disk, a kill, a power cut, a lost answer.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from deriva_local.store.connections import preallocate_log
from deriva_ml.catalog import objects, session
from deriva_ml.catalog.embedded import EmbeddedPort
from deriva_ml.check.findings import Weight
from deriva_ml.errors import DerivaMLConflictError
from deriva_ml.execution.executions import Executions
from deriva_ml.files import fsync_folder

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS / "deriva_ml" / "execution"))
life_story: Any = importlib.import_module("life_story")
other_versions: Any = importlib.import_module("test_other_versions")
SIZE = life_story.Size(values=3, metrics=2, groups=1, files=3, bulk=2)
"""The run of those campaigns that watch one thread of one process: every kind of step, few of each."""
Told = Any
"""Called with a kind and facts for each thing that has returned."""
Problems = list[list[str]]


def settle(home: Path) -> None:
    """Open the home again, as a user would, and commit all that waits, what a failed run left included."""
    life_story.recover(home)
    ml = life_story.DerivaML(working_dir=home)
    for row in life_story.fetch(ml.session, "/entity/deriva-ml:Execution/Status=Failed"):
        ml.resume_execution(row["RID"]).commit_output_assets()


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that users do."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path, Told], None]
    settle: Callable[[Path], None] = settle
    check: Callable[[Path, Any, Problems], None] = life_story.check
    look: Callable[[Path, Any, Problems], None] | None = None
    """Looks for what was acknowledged before ``settle`` makes it again."""


def told_in(home: Path) -> Any:
    """Return the file in which a home's acknowledgements are."""
    return life_story.Acknowledged(home / "acknowledged.jsonl")


# --------------------------------------------------------------------------------------------------------------- a run


def furnish(home: Path) -> None:
    """Make a home with what a run needs, closed."""
    life_story.prepare(home, SIZE.values)
    closed(home)


def closed(home: Path) -> None:
    """Let go of a home's files, and empty the logs: whoever opens it next would bring all of them into the databases once more."""
    life_story.DerivaML(working_dir=home).session.port.close()
    for path in home.rglob("*.sqlite"):
        with apsw.Connection(str(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        preallocate_log(path)


def live(home: Path, told: Told) -> None:
    """Live one run; what the disk or the wire refuses ends it, as it would end a user's."""
    life_story.live(home, told, 0, SIZE)


def commit_in_chunks(home: Path, told: Told) -> None:
    """Commit a run whose files are sent, some of them in chunks, as to a server; the server's files are in the home."""
    _as_sent()
    recover(home, told)


def settle_in_chunks(home: Path) -> None:
    """Commit what waits in the same way."""
    _as_sent()
    settle(home)


def _as_sent() -> None:
    EmbeddedPort.links_files = False
    objects.CHUNK = objects.CHUNKED_ABOVE = 30_000
    objects.AT_ONCE = 1
    session.PAUSES = ()


# ------------------------------------------------------------------------------------------------------------ recovery


def killed_in(function: str) -> Callable[[Path], None]:
    """Return what makes a home whose run was killed as it came to ``function``, after all that comes before."""

    def prepare(home: Path) -> None:
        furnish(home)
        child = os.fork()
        if child == 0:
            sys.setprofile(lambda frame, *_: _die() if _is(frame, function) else None)
            live(home, told_in(home))
            os._exit(0)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            raise RuntimeError(f"the run did not come to {function}")

    return prepare


def _is(frame: Any, function: str) -> bool:
    return (
        frame.f_code.co_name == function
        and "/deriva_ml/" in frame.f_code.co_filename
        and "/src/" in frame.f_code.co_filename
    )


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def recover(home: Path, _: Told) -> None:
    """Open the home again and commit what waits; what cannot be committed is in the report."""
    ml = life_story.DerivaML(working_dir=home)
    ml.commit_pending_executions()
    for row in life_story.fetch(ml.session, "/entity/deriva-ml:Execution/Status=Failed"):
        ml.resume_execution(row["RID"]).commit_output_assets()


# ------------------------------------------------------------------------------------------------------ first creation

MAKE: dict[str, Callable[[Any], Any]] = {
    "Picture": lambda ml: ml.create_asset("Picture"),
    "Mask": lambda ml: ml.create_asset("Mask"),
    "Grade": lambda ml: ml.create_vocabulary("Grade"),
    "Mild": lambda ml: ml.add_term("Grade", "Mild", "hardly visible"),
    "Severity": lambda ml: ml.create_feature("Picture", "Severity", terms=["Grade"], assets=["Mask"]),
}


def nothing(home: Path) -> None:
    """Make the folder in which a home is to be made."""
    home.mkdir()


def found(home: Path, told: Told) -> None:
    """Open a home that does not exist, and make what a run needs."""
    ml = life_story.DerivaML(working_dir=home / "deep" / "home")
    told("made", name="home")
    for name, make in MAKE.items():
        make(ml)
        told("made", name=name)


def found_and_lived_in(home: Path, told: Told) -> None:
    """Open a home that does not exist, and live a run in it, with files of the user's from a folder that has been there for long."""
    found(home, told)
    sources = home / "deep" / "home-sources"
    sources.mkdir()
    fsync_folder(sources.parent)
    life_story.live(home / "deep" / "home", told, 0, life_story.Size(values=0, files=3, bulk=2))


def found_again(home: Path) -> None:
    """Open it again and make what is missing; what is there says so."""
    ml = life_story.DerivaML(working_dir=home / "deep" / "home")
    for make in MAKE.values():
        with suppress(DerivaMLConflictError):
            make(ml)
    settle(home / "deep" / "home")


def is_still_there(home: Path, told: Any, problems: Problems) -> None:
    """What was acknowledged is there, before any of it is made again."""
    made = {each["name"] for each in told.read() if each["kind"] == "made"}
    if not made:
        return
    if not (home / "deep" / "home" / "catalog" / "registry.sqlite").is_file():
        problems.append(["lost", "the whole home"])
        return
    problems += [
        ["lost", name] for name in made - {"home"} - _made(life_story.DerivaML(working_dir=home / "deep" / "home"))
    ]


def is_founded(home: Path, told: Any, problems: Problems) -> None:
    """All is there, once, and whole."""
    life_story.check(
        home / "deep" / "home", _Only(told, [each for each in told.read() if each["kind"] == "made"]), problems
    )
    ml = life_story.DerivaML(working_dir=home / "deep" / "home")
    problems += [["lost", name] for name in MAKE.keys() - _made(ml)]
    problems += _fatal(ml)


def _fatal(ml: Any) -> Problems:
    """Return what ``deriva-ml check`` finds that nothing can repair."""
    return [["lost", str(each)] for each in ml.check(read_data=True).findings if each.weight is Weight.FATAL]


def _made(ml: Any) -> set[str]:
    schemas = ml.session.refresh().document["schemas"]
    tables = {table for schema in ml.domain_schemas for table in schemas[schema]["tables"]}
    terms = [term.name for term in ml.list_vocabulary_terms("Grade")] if "Grade" in tables else []
    features = [feature.feature_name for feature in ml.find_features("Picture")] if "Picture" in tables else []
    return {*tables, *terms, *features}


# ---------------------------------------------------------------------------------------------------------- sealed bags


def ended(home: Path) -> None:
    """Make a home with a run that has ended and was not committed."""
    killed_in("commit")(home)
    life_story.DerivaML(working_dir=home)  # which finds it dead: it is Pending_Upload now


def elsewhere(home: Path) -> Executions:
    """Return another machine: the same catalog, a workspace that knows nothing."""
    folder = home / "elsewhere"
    return Executions(life_story.DerivaML(working_dir=home).session, folder, folder / "cache")


def carry(home: Path, told: Told) -> None:
    """Seal a run, load the bag on another machine."""
    ml = life_story.DerivaML(working_dir=home)
    (rid,) = [each.rid for each in ml.find_incomplete_executions()]
    ml.resume_execution(rid).seal(home / "carried.zip")
    told("sealed", rid=rid)
    elsewhere(home).load_bag(home / "carried.zip")
    told("loaded", rid=rid)


def carry_on(home: Path) -> None:
    """Load the bag again on the other machine, if it is there; then commit what waits at both."""
    if (home / "carried.zip").exists():
        elsewhere(home).load_bag(home / "carried.zip")
    elsewhere(home).commit_pending()
    settle(home)


# -------------------------------------------------------------------------------------------------------- housekeeping


def lived_in(home: Path) -> None:
    """Make a home with a committed run, one that was given up, and one that waits."""
    ended(home)
    ml, told = life_story.DerivaML(working_dir=home), told_in(home)
    for name in ("kept", "given up"):
        workflow = life_story.Workflow(
            name="kill", workflow_type="Training", url="https://example.org/kill.py", checksum="k"
        )
        exe = ml.create_execution(workflow=workflow, description=name)
        if name == "kept":
            with exe:
                exe.asset_file_path("Picture", "kept.txt").write_text("kept")
                exe.log_metrics({"loss": 0.5}, step=1)
            exe.commit_output_assets(clean_folder=False)
            told("kept", rid=exe.rid)
        else:
            exe.abort("a mistake")
    closed(home)


def keep_house(home: Path, told: Told) -> None:
    """Look at what is there, clean up, mark, forget, and forget once more with the folders."""
    ml = life_story.DerivaML(working_dir=home)
    incomplete = ml.find_incomplete_executions()
    ml.resume_execution(incomplete[0].rid)
    ml.find_stale_executions()
    ml.clean_execution_dirs()
    ml.mark_execution(incomplete[0].rid, "Pending_Upload", "looked at by hand")
    told("marked", rid=incomplete[0].rid)
    ml.gc_executions()
    ml.gc_executions(delete_working_dir=True)


def keep_house_again(home: Path) -> None:
    """Clean up again, then commit what waits."""
    ml = life_story.DerivaML(working_dir=home)
    ml.clean_execution_dirs()
    ml.gc_executions(delete_working_dir=True)
    settle(home)


def is_in_order(home: Path, told: Any, problems: Problems) -> None:
    """What was committed is in the catalog, whatever was tidied away here; the run that waited is there as well."""
    kept = [each for each in told.read() if each["kind"] in ("kept", "marked")]
    ml = life_story.DerivaML(working_dir=home)
    for each in kept:
        if ml.lookup_execution(each["rid"]).status != "Uploaded":
            problems.append(["stuck", f"{each['rid']} is not Uploaded"])
        if each["kind"] == "kept":
            files = {asset.filename: asset for asset in ml.list_execution_assets(each["rid"], "Output")}
            if ml.session.hatrac("GET", files["kept.txt"].url).body != b"kept" or "metrics.jsonl" not in files:
                problems.append(["lost", f"a file of {each['rid']}"])
    life_story.check(home, _Only(told, kept), problems)


@dataclass(frozen=True, slots=True)
class _Only:
    """Acknowledgements without some of them."""

    told: Any
    without: list[dict[str, Any]]

    def read(self) -> list[dict[str, Any]]:
        """Return what was acknowledged."""
        return [each for each in self.told.read() if each not in self.without]


# -------------------------------------------------------------------------------------------------- datasets and inputs


def with_pictures(home: Path) -> None:
    """Make a home with a committed run, whose files can be members of datasets."""
    killed_in("commit")(home)
    settle(home)
    life_story.DerivaML(working_dir=home).add_dataset_element_type("Picture")
    closed(home)


def collect(home: Path, told: Told) -> None:
    """Make a dataset of files, release it, and read it as the input of a run, with an asset and a file of the user's."""
    ml = life_story.DerivaML(working_dir=home)
    pictures = _pictures(ml)
    with ml.create_execution(workflow=_reading(), description="collects") as exe:
        dataset = exe.create_dataset(description="pictures")
        told("dataset", rid=dataset.dataset_rid)
        dataset.add_dataset_members({"Picture": pictures})
        told("members", rid=dataset.dataset_rid, members=pictures)
        version = dataset.release("minor", "all of them")
        told("release", rid=dataset.dataset_rid, version=str(version), members=pictures)
    exe.commit_output_assets()
    read(home, dataset.dataset_rid, str(version))


def read(home: Path, dataset: str, version: str) -> None:
    """Read a dataset, a cached asset and a file of the user's in a run: every byte is what it should be."""
    ml = life_story.DerivaML(working_dir=home)
    own = home.with_name(f"{home.name}-sources") / "input.txt"
    own.parent.mkdir(exist_ok=True)
    if not own.exists():
        own.write_text("mine")
    picture = _pictures(ml)[0]
    inputs = {"datasets": [f"{dataset}@{version}"], "assets": [{"rid": picture, "cache": True}, {"path": str(own)}]}
    with ml.create_execution(workflow=_reading(), description="reads", **inputs) as exe:
        bag = exe.datasets[0]
        for row in bag.list_dataset_members()["Picture"]:
            _same((bag.path / "data" / "assets" / "Picture" / row["RID"] / row["Filename"]).read_bytes(), row["MD5"])
        for path in (path for paths in exe.asset_paths.values() for path in paths):
            if path.name != "input.txt":
                _same(path.read_bytes(), ml.lookup_asset(path.asset_rid).md5)
    exe.commit_output_assets()


def _same(content: bytes, md5: str) -> None:
    if life_story._md5(content) != md5:
        raise AssertionError(f"an input is not what it should be: {content[:40]!r}")


def _pictures(ml: Any) -> list[str]:
    return sorted(asset.asset_rid for asset in ml.list_assets("Picture") if not asset.filename.startswith("target"))


def _reading() -> Any:
    return life_story.Workflow(name="kill", workflow_type="Training", url="https://example.org/kill.py", checksum="k")


def collect_again(home: Path) -> None:
    """Commit what waits; release what was left unreleased, and read it."""
    settle(home)
    ml = life_story.DerivaML(working_dir=home)
    for dataset in ml.find_datasets():
        if not dataset.dataset_history():  # it was being made: the error says what to do
            dataset.mark_dev("again")
        version = dataset.release("minor", "again") if dataset.is_dirty() else dataset.current_version
        read(home, dataset.dataset_rid, str(version))


def is_collected(home: Path, told: Any, problems: Problems) -> None:
    """Datasets that were acknowledged have their members and versions, and whoever reads the newest gets what is in it now."""
    ml = life_story.DerivaML(working_dir=home)
    there = {dataset.dataset_rid: dataset for dataset in ml.find_datasets()}
    for each in told.read():
        if each["kind"] not in ("dataset", "members", "release"):
            continue
        dataset = there.get(each["rid"])
        if dataset is None:
            problems.append(["lost", f"dataset {each['rid']}"])
        elif set(each.get("members", ())) - set(dataset.list_members("Picture")):
            problems.append(["lost", f"members of {each['rid']}"])
        elif each["kind"] == "release":
            bag = dataset.list_members("Picture", version=each["version"])
            problems += [["lost", f"members of version {each['version']}"]] * (sorted(bag) != sorted(each["members"]))
    for rid, dataset in there.items():
        now, released = (
            dataset.list_members("Picture"),
            dataset.list_members("Picture", version=dataset.current_version),
        )
        problems += [["lost", f"dataset {rid} changed, and its version does not say so"]] * (
            sorted(now) != sorted(released)
        )
    ours = [each for each in told.read() if each["kind"] in ("dataset", "members", "release")]
    life_story.check(home, _Only(told, ours), problems)


# ------------------------------------------------------------------------------------------------------- older versions


def of_older_version(home: Path) -> None:
    """Make a home that an older deriva-ml left, with a run that was killed."""
    killed_in("commit")(home)
    other_versions.as_first_made(home / "workspaces" / "embedded__1")


def bring_up_to_date(home: Path, _: Told) -> None:
    """Open it, and look at what is there."""
    life_story.DerivaML(working_dir=home).list_executions()


SCENES = (
    Scene("a run", furnish, live),
    Scene("recovery of a run", killed_in("update_status"), recover),
    Scene("a commit that sends files in chunks", killed_in("commit"), commit_in_chunks, settle_in_chunks),
    Scene("recovery of a creation that had begun to load", killed_in("load_links"), recover),
    Scene("recovery of a commit that had begun to load", killed_in("load_features"), recover),
    Scene("recovery of a commit that had loaded all", killed_in("_finish"), recover),
    Scene("the first opening of a home", nothing, found, found_again, is_founded, is_still_there),
    Scene("a run sealed here and loaded there", ended, carry, carry_on),
    Scene("housekeeping", lived_in, keep_house, keep_house_again, is_in_order),
    Scene("datasets and inputs", with_pictures, collect, collect_again, is_collected),
    Scene("a store of an older version", of_older_version, bring_up_to_date),
)
SHORT = 60
"""Seconds that are too few to prepare every scene."""
CHOSEN = "DERIVA_ML_SCENE"
"""The environment variable that names the one scene that is wanted."""


def fitting(scenes: Sequence[Scene], seconds: float, chance: random.Random) -> list[Scene]:
    """Return the scenes that are wanted: the one that was named, all of them, or one by chance where there is little time."""
    if named := os.environ.get(CHOSEN):
        return [scene for scene in scenes if scene.name == named]
    return list(scenes) if seconds > SHORT else [chance.choice(scenes)]


LOSING_POWER = (
    *(scene for scene in SCENES if scene.act is not found),
    Scene(
        "the first opening of a home, and a first run",
        nothing,
        found_and_lived_in,
        found_again,
        is_founded,
        is_still_there,
    ),
)
