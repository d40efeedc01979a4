"""Runs that were made offline come into the catalog by processes that are killed: alone, two at once, through sealed bags loaded elsewhere."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deriva_ml import AssetSpec, DerivaML, DerivaMLException, Workflow
from deriva_ml.catalog.rows import fetch, select
from deriva_ml.names import TableName
from torture import story
from torture.tally import Tally

ROUNDS, ATTEMPTS, CHILDREN = 8, 8, 2
SIZE = story.life_story.Size(values=15, metrics=3, groups=1, files=4, bulk=2)
TICK = 0.002
MACHINES = ("near", "far")
LINKS = TableName("deriva-ml", "Execution_Execution")
DATASETS = TableName("deriva-ml", "Dataset_Execution")
Work = Callable[[], None]


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Let runs be made and brought, round after round, and judge each home; again until the time is over."""
    tally = Tally("offline, brought and loaded by dying processes")
    _furnish_template(story.template(work))
    end, chance = time.monotonic() + seconds, random.Random(seed)
    while not tally.points or time.monotonic() < end:
        _home(work, chance, end, tally)
    tally.kills = tally.points
    return tally


def _furnish_template(template: Path) -> None:
    """Add what runs read offline: a dataset version and an asset that this machine keeps."""
    work = template.parent
    home, trouble = story.renew(work), work / "trouble.txt"
    story.child(lambda: _furnish(home), trouble)
    if trouble.exists():
        raise RuntimeError(trouble.read_text())
    shutil.rmtree(template)
    home.rename(template)


def _furnish(home: Path) -> None:
    ml = DerivaML(working_dir=home)
    with _begun(ml, "furnish") as exe:
        exe.asset_file_path("Picture", "input.txt").write_text("an input")
    exe.commit_output_assets()
    (asset,) = exe.uploaded_assets
    ml.add_dataset_element_type("Picture")
    dataset = exe.create_dataset(description="inputs")
    dataset.add_dataset_members([asset.asset_rid])
    version = dataset.release("minor", "one picture")
    ml.download_dataset_bag(f"{dataset.rid}@{version}")
    _begun(ml, "bring", assets=[AssetSpec(rid=asset.asset_rid, cache=True)]).abort("only to bring the asset here")
    rows = select(ml.session, story.life_story.PICTURES, columns=["RID", "Filename"])
    targets = sorted(row["RID"] for row in rows if row["Filename"].startswith("target"))[: SIZE.values]
    facts = {"targets": targets, "dataset": dataset.rid, "version": str(version), "asset": asset.asset_rid}
    (home / "facts.json").write_text(json.dumps(facts))


def _begun(ml: DerivaML, description: str, **inputs: Any) -> Any:
    workflow = Workflow(name="kill", workflow_type="Training", url="https://example.org/kill.py", checksum="k")
    return ml.create_execution(workflow=workflow, description=description, **inputs)


def _home(work: Path, chance: random.Random, end: float, tally: Tally) -> None:
    home, trouble = story.renew(work), work / "trouble.txt"
    trouble.unlink(missing_ok=True)
    times = _Times(home, trouble)
    killed = 0
    for number in range(1, ROUNDS + 1):
        killed += _round(home, number, chance, times, trouble)
        if time.monotonic() > end and killed:
            break
    where = f"home of {number} rounds"
    if trouble.exists():
        tally.blame(where, "stuck", f"an error that is none of ours: {trouble.read_text()[-1500:]}")
    _judge(home, where, tally, killed)


@dataclass
class _Times:
    """How long the parts of a round take when nobody dies; a first round finds it out."""

    live: float
    bring: float

    def __init__(self, home: Path, trouble: Path) -> None:
        began = time.perf_counter()
        story.child(partial(_live, home, 0), trouble)
        self.live = time.perf_counter() - began
        began = time.perf_counter()
        story.child(partial(_commit, home), trouble)
        self.bring = time.perf_counter() - began


def _round(home: Path, number: int, chance: random.Random, times: _Times, trouble: Path) -> int:
    """Make runs offline, then bring them again and again; return how many processes were killed."""
    dies = chance.uniform(0, times.live) if chance.random() < 0.3 else None
    killed = _together([(partial(_live, home, number), dies)], trouble)
    roads = [partial(_commit, home), *(partial(_load, home, machine, number) for machine in MACHINES)]
    for _ in range(ATTEMPTS):
        chosen = chance.choices(roads, k=chance.randrange(1, 3))
        died = _together([(road, chance.uniform(0, times.bring)) for road in chosen], trouble)
        killed += died
        if not died:
            break
    return killed


def _together(works: Sequence[tuple[Work, float | None]], trouble: Path) -> int:
    """Run all at once, each in a process that is killed after its seconds; return how many did not end by themselves."""
    children: dict[int, float] = {}
    for work, seconds in works:
        child = os.fork()
        if child == 0:
            os._exit(_ended(work, trouble))
        children[child] = time.monotonic() + (seconds if seconds is not None else story.SECONDS)
    killed = 0
    while children:
        for child, moment in list(children.items()):
            if time.monotonic() > moment:
                os.kill(child, signal.SIGKILL)
            ended, status = os.waitpid(child, os.WNOHANG if time.monotonic() < moment else 0)
            if ended:
                del children[child]
                killed += os.WIFSIGNALED(status)
        time.sleep(TICK)
    return killed


def _ended(work: Work, trouble: Path) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        work()
    except DerivaMLException:  # another process is at it: a clear error, and the next one goes on
        return 1
    except BaseException:  # noqa: BLE001 - a child of a fork must not go on as its parent
        trouble.write_text(traceback.format_exc())
        return 1
    return 0


# ------------------------------------------------------------------------------------------------------------- the story


def _live(home: Path, number: int) -> None:
    """A parent and its children, begun and ended offline, with everything that a run can have; some of them are sealed."""
    ml, facts = DerivaML(working_dir=home, mode="offline"), json.loads((home / "facts.json").read_text())
    told = story.life_story.Acknowledged(home / "acknowledged.jsonl")
    spec = f"{facts['dataset']}@{facts['version']}"
    parent = _begun(ml, f"parent {number}", datasets=[spec], assets=[facts["asset"]], parameters={"round": number})
    told("created", rid=parent.rid)
    with parent:
        told("read", rid=parent.rid, dataset=facts["dataset"], asset=facts["asset"])
        for index in range(CHILDREN):
            child = _begun(ml, f"child {number} {index}")
            told("created", rid=child.rid)
            parent.add_nested_execution(child, index)
            told("nested", rid=parent.rid, child=child.rid, sequence=index)
            _work(ml, child, told, home, f"{number}-{index}", facts)
    if number % 2:
        _seal(parent, told, home, number)


def _work(ml: DerivaML, exe: Any, told: Any, home: Path, name: str, facts: dict[str, Any]) -> None:
    """One run: files, values, metrics, parameters, an input that is taken later; sealed, and sealed again with more."""
    number, index = (int(part) for part in name.split("-"))
    part = story.life_story._Part(ml, exe, told, home.with_name("sources"), number * 10 + index)
    with exe:
        exe.log_params({"name": name})
        told("params", rid=exe.rid, values={"name": name})
        written = part.register(0, SIZE)
        part.record(0, SIZE, written[0], facts["targets"])
        exe.add_input_dataset(facts["dataset"], facts["version"])
        exe.download_asset(facts["asset"])
        told("read", rid=exe.rid, dataset=facts["dataset"], asset=facts["asset"])
    for path in written:
        part.tell(path.name, path.read_bytes())
    if index == 0:
        _seal(exe, told, home, number)
        part._measure(900_000, {"late": number})
        _seal(exe, told, home, number)


def _seal(exe: Any, told: Any, home: Path, number: int) -> None:
    (home / "bags").mkdir(exist_ok=True)
    path = exe.seal(home / "bags" / f"{number}-{exe.rid}-{time.monotonic_ns()}.zip")
    told("sealed", rid=exe.rid, bag=path.name)


# ----------------------------------------------------------------------------------------------- the roads to the catalog


def _commit(home: Path) -> None:
    DerivaML(working_dir=home).commit_pending_executions()


def _load(home: Path, machine: str, number: int) -> None:
    """Load the bags of a round on another machine, in an order of its own."""
    ml = _machine(home, machine)
    for bag in sorted((home / "bags").glob(f"{number}-*.zip"), reverse=machine == "far"):
        ml.load_sealed_bag(bag)


def _machine(home: Path, name: str) -> DerivaML:
    """Another machine: the same catalog, a workspace of its own."""
    ml = DerivaML(working_dir=home)
    ml.workspace = ml.cache_dir = home / "machines" / name
    return ml


def _settle(home: Path) -> None:
    """What users would do in the end: commit what waits here and there, and load each bag once more."""
    places = [DerivaML(working_dir=home), *(_machine(home, name) for name in MACHINES)]
    for place in places:
        _demand(place.commit_pending_executions())
    for bag in sorted((home / "bags").glob("[0-9]*.zip")):
        _demand(places[-1].load_sealed_bag(bag))
    for place in places:  # links whose other end has come meanwhile by another road
        _demand(place.commit_pending_executions())


def _demand(report: Any) -> None:
    if report.errors or any("not recorded" in note for note in report.notes):
        raise AssertionError(f"{report.errors} {report.notes}")


# ------------------------------------------------------------------------------------------------------------- judgement


def _judge(home: Path, where: str, tally: Tally, killed: int) -> None:
    told = story.life_story.Acknowledged(home / "acknowledged.jsonl")
    verdict, errors = home.parent / "verdict.json", home.parent / "recovery.txt"
    verdict.unlink(missing_ok=True)
    errors.unlink(missing_ok=True)

    def examine() -> None:
        _settle(home)
        verdict.write_text(json.dumps(_found(home, told)))

    story.child(examine, errors, 10 * story.SECONDS)
    if verdict.exists():
        for kind, problem in json.loads(verdict.read_text()):
            tally.blame(where, kind, problem)
    else:
        tally.blame(
            where, "stuck", f"bringing did not end: {errors.read_text()[-1500:] if errors.exists() else 'hung'}"
        )
    tally.point(story.life_story.items(told.read()), killed)


def _found(home: Path, told: Any) -> list[list[str]]:
    """Let the judge of all campaigns look for everything under the RIDs, then look at links, inputs and rows of one run."""
    ml = DerivaML(working_dir=home)
    store = ml.executions.store
    problems = [["stuck", f"{found.rid} has no RID"] for found in store.select() if found.rid.startswith("L-")]
    brought = story.life_story.Acknowledged(home / "brought.jsonl")
    for each in told.read():
        brought(**{**each, **{name: store.current_name(each[name]) for name in ("rid", "child") if name in each}})
    story.life_story.check(home, brought, problems)
    runs = Counter(row["Description"] for row in fetch(ml.session, "/entity/deriva-ml:Execution"))
    problems += [["twice", f"the execution {name}"] for name, number in runs.items() if number > 1]
    for each in brought.read():
        if each["kind"] == "nested":
            problems += _links(ml, each)
        if each["kind"] == "read":
            problems += _inputs(ml, each)
    return problems


def _links(ml: DerivaML, each: dict[str, Any]) -> list[list[str]]:
    rows = select(ml.session, LINKS, {"Execution": each["rid"], "Nested_Execution": each["child"]})
    right = [row["Sequence"] for row in rows] == [each["sequence"]]
    return [] if right else [["twice" if len(rows) > 1 else "lost", f"{each['rid']} ran {each['child']}: {rows}"]]


def _inputs(ml: DerivaML, each: dict[str, Any]) -> list[list[str]]:
    datasets = select(ml.session, DATASETS, {"Execution": each["rid"], "Dataset": each["dataset"]})
    assets = [asset.asset_rid for asset in ml.list_execution_assets(each["rid"], "Input")]
    numbers = {"dataset": len(datasets), "asset": assets.count(each["asset"])}
    wrong = {name: number for name, number in numbers.items() if number != 1}
    return [["twice" if number else "lost", f"{each['rid']}: input {name}"] for name, number in wrong.items()]
