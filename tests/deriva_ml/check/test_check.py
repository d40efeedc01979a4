"""``deriva-ml check``: every seeded corruption is found and weighed, and nothing healthy is called sick."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from deriva_ml import DerivaML, Workflow
from deriva_ml.check.findings import CheckReport, Weight
from deriva_ml.check.workspace import check_home, check_workspace
from deriva_ml.cli.check import command
from deriva_ml.execution import liveness

FATAL, REPAIRABLE = Weight.FATAL, Weight.REPAIRABLE
WORKFLOW = Workflow(name="Train", workflow_type=["Training"], url="https://example.org/train.py", checksum="abc")


@dataclass(frozen=True)
class Place:
    """A home to be damaged: a run sealed and not committed, one committed, one just stopped."""

    home: Path
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
        connection = apsw.Connection(str(self.store))
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(text.format(sealed=self.sealed, done=self.done, stopped=self.stopped))
        connection.close()

    def schema(self, text: str) -> None:
        """Change the store's tables."""
        connection = apsw.Connection(str(self.store))
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(text)
        connection.close()

    def some(self, pattern: str) -> Path:
        return sorted(path for path in self.workspace.glob(pattern) if path.is_file() or path.is_symlink())[0]

    def check(self, read_data: bool = True) -> CheckReport:
        return check_home(self.home, read_data=read_data)

    def check_workspace(self) -> CheckReport:
        return check_workspace(self.workspace, self.workspace / "cache", read_data=True)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One healthy home with a bit of everything, closed; each test takes a copy."""
    folder = tmp_path_factory.mktemp("healthy")
    (folder / "linked.txt").write_text("linked")
    ml = DerivaML(working_dir=folder / "home", clean_execution_dir=False)
    ml.create_asset("Image")
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Image", "Grade", terms=["Grade"])
    ml.create_asset("Mask")
    ml.create_feature("Image", "Copy", assets=["Mask"])
    ml.add_dataset_element_type("Image")
    with ml.create_execution(workflow=WORKFLOW, description="committed") as done:
        done.asset_file_path("Image", "a.txt").write_text("a")
        dataset = done.create_dataset([], description="images")
    done.commit_output_assets()
    image = done.uploaded_assets[0].asset_rid
    dataset.add_dataset_members([image])
    version = dataset.increment_dataset_version("minor", "first")
    ml.download_dataset_bag(f"{dataset.rid}@{version}")
    with ml.create_execution(
        workflow=WORKFLOW, parameters={"lr": 0.1}, assets=[{"rid": image, "cache": True}]
    ) as sealed:
        written = sealed.asset_file_path("Mask", "b.txt")
        written.write_text("b")
        sealed.log_metrics({"loss": 1.0}, step=1)
        sealed.log_params({"epochs": 3})
        sealed.add_features([ml.feature_record_class("Image", "Copy")(Image=image, Mask=written)])
    sealed.seal()
    with ml.create_execution(workflow=WORKFLOW) as stopped:
        stopped.asset_file_path("Image", "c.txt").write_text("c")
        stopped.asset_file_path("Image", str(folder / "linked.txt"))
        stopped.asset_file_path("Image", str(folder / "linked.txt"), copy_file=True, rename_file="copied.txt")
        stopped.add_features([ml.feature_record_class("Image", "Grade")(Image=image, Grade="Mild")])
        stopped.log_metrics({"loss": 2.0})
    ml.session.port.close()
    ml.executions.store.database.close()
    return Place(folder / "home", sealed.rid, done.rid, stopped.rid)


@pytest.fixture
def place(healthy: Place, tmp_path: Path) -> Place:
    shutil.copytree(healthy.home, tmp_path / "home", symlinks=True)
    return Place(tmp_path / "home", healthy.sealed, healthy.done, healthy.stopped)


Damage = Callable[[Place], object]


def row(text: str) -> Damage:
    return lambda place: place.sql(text)


def manifest(rid: str, change: Callable[[dict], object]) -> Damage:  # type: ignore[type-arg]
    def damage(place: Place) -> None:
        path = place.folder(getattr(place, rid)) / "asset-manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def on(pattern: str, change: Callable[[Path], object]) -> Damage:
    """Change the first file that a pattern below the workspace finds."""
    return lambda place: change(place.some(pattern.format(sealed=place.sealed, done=place.done, stopped=place.stopped)))


def flip(path: Path) -> None:
    """Change one bit; the length stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def longer(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"x")


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


def tear(path: Path) -> None:
    """Fill the pages of a database with noise, all but the first."""
    connection = apsw.Connection(str(path))
    list(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def first_asset(content: dict) -> dict:  # type: ignore[type-arg]
    found: dict = next(iter(content["assets"].values()))  # type: ignore[type-arg]
    return found


def _dead(place: Place) -> None:
    script = (
        "import os; from deriva_ml import DerivaML, Workflow; ml = DerivaML(working_dir=os.environ['H']); "
        "e = ml.create_execution(workflow=Workflow(name='x', workflow_type='Training', url='https://e.org/x', checksum='x')); "
        "e.execution_start(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "H": str(place.home)}, check=False)


def to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/gone")


def _without_store(place: Place) -> None:
    for path in place.workspace.glob("store.sqlite*"):
        path.unlink()


def _creation_interrupted(place: Place) -> None:
    (place.folder("7-ZZZ") / "sealed").mkdir(parents=True)
    (place.folder("7-ZZZ") / "sealed" / "configuration.json").write_text("{}")


def _no_folder(place: Place) -> None:
    shutil.rmtree(place.folder(place.stopped))
    place.folder(place.stopped).write_text("x")


def _linked_folder(place: Place) -> None:
    shutil.rmtree(place.folder(place.sealed) / "sealed")
    (place.folder(place.sealed) / "sealed").symlink_to("/tmp")


def _no_locks(place: Place) -> None:
    shutil.rmtree(place.workspace / "locks")
    (place.workspace / "locks").write_text("")


def in_catalog(pattern: str, change: Callable[[Path], object]) -> Damage:
    """Damage a file of the embedded catalog; one that has other names as well is made its own first."""

    def catalog_damage(place: Place) -> None:
        path = sorted(each for each in (place.home / "catalog").glob(pattern) if each.is_file())[0]
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        change(path)

    return catalog_damage


def hatrac_row(sql: str) -> Damage:
    def catalog_damage(place: Place) -> None:
        connection = apsw.Connection(str(place.home / "catalog" / "hatrac.sqlite"))
        connection.execute(sql)
        connection.close()

    return catalog_damage


def pages_lost(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 40] = bytes(len(content[4096 * 4 : 4096 * 40]))
    path.write_bytes(content)


DAMAGES: list[tuple[str, Weight, Damage]] = [
    # the store as a file
    ("store-no-database", FATAL, lambda place: place.store.write_bytes(b"")),
    ("store-no-database", FATAL, lambda place: place.store.write_bytes(b"nonsense" * 1000)),
    ("store-no-file", FATAL, lambda place: to_folder(place.store)),
    ("store-damaged", FATAL, lambda place: tear(place.store)),
    ("store-damaged", FATAL, lambda place: os.truncate(place.store, place.store.stat().st_size // 2)),
    ("store-damaged", FATAL, lambda place: tear(place.home / "catalog" / "catalogs" / "1" / "catalog.sqlite")),
    ("store-newer", FATAL, row("PRAGMA user_version = 999")),
    ("store-table", FATAL, row("DROP TABLE metrics")),
    ("store-table", FATAL, row("ALTER TABLE journal ADD COLUMN more TEXT")),
    ("store-index", REPAIRABLE, row("DROP INDEX entries_by_state")),
    ("orphans", FATAL, row("INSERT INTO journal (execution, step, detail, at) VALUES ('9-ZZZ', 'x', '{{}}', '2026-01-01')")),
    ("unrecorded", REPAIRABLE, lambda place: _without_store(place)),
    ("unrecorded", REPAIRABLE, row("PRAGMA foreign_keys=ON; DELETE FROM executions WHERE rid = '{stopped}'")),
    ("unrecorded", REPAIRABLE, lambda place: _creation_interrupted(place)),
    # executions
    ("status", FATAL, row("UPDATE executions SET status = 'Dozing' WHERE rid = '{done}'")),
    ("catalog-status", FATAL, row("UPDATE executions SET catalog_status = 'Dozing' WHERE rid = '{done}'")),
    ("mode", FATAL, row("UPDATE executions SET mode = 'sideways' WHERE rid = '{done}'")),
    ("config", FATAL, row("UPDATE executions SET config = '{{' WHERE rid = '{done}'")),
    ("owner", FATAL, row("UPDATE executions SET owner = '[]' WHERE rid = '{done}'")),
    ("created-at", FATAL, row("UPDATE executions SET created_at = 'yesterday' WHERE rid = '{done}'")),
    ("last-activity", FATAL, row("UPDATE executions SET last_activity = '' WHERE rid = '{done}'")),
    ("start-time", FATAL, row("UPDATE executions SET start_time = '25:00' WHERE rid = '{done}'")),
    ("stop-time", FATAL, row("UPDATE executions SET stop_time = 'never' WHERE rid = '{done}'")),
    ("duration", REPAIRABLE, row("UPDATE executions SET duration = -1 WHERE rid = '{done}'")),
    ("rid", FATAL, row("UPDATE executions SET rid = '../../x' WHERE rid = '{done}'")),
    # history
    ("history-end", FATAL, row("UPDATE executions SET status = 'Failed' WHERE rid = '{stopped}'")),
    ("history-none", FATAL, row("DELETE FROM events WHERE execution = '{stopped}'")),
    ("history-gap", FATAL, row("DELETE FROM events WHERE id = (SELECT min(id) + 1 FROM events WHERE execution = '{done}')")),
    ("history-edge", FATAL, row("UPDATE events SET event = 'abort' WHERE execution = '{done}' AND event = 'finish'")),
    ("history-moment", FATAL, row("UPDATE events SET at = 'then' WHERE execution = '{done}'")),
    # assets
    ("entry-state", FATAL, row("UPDATE entries SET state = 'lost' WHERE execution = '{stopped}'")),
    ("entry-mode", FATAL, row("UPDATE entries SET mode = 'moved' WHERE execution = '{stopped}'")),
    ("entry-types", FATAL, row("UPDATE entries SET asset_types = '{{}}' WHERE execution = '{stopped}'")),
    ("entry-metadata", FATAL, row("UPDATE entries SET metadata = 'x' WHERE execution = '{stopped}'")),
    ("entry-name", FATAL, row("UPDATE entries SET file_name = 'a/b' WHERE execution = '{stopped}'")),
    ("entry-key", FATAL, row("UPDATE entries SET key = 'Model/c.txt' WHERE key = 'Image/c.txt'")),
    ("entry-base", REPAIRABLE, row("UPDATE entries SET base = 'Image/z.txt' WHERE key = 'Image/c.txt'")),
    ("entry-path", FATAL, row("UPDATE entries SET staged = '../../../x' WHERE key = 'Image/c.txt'")),
    ("entry-path", FATAL, row("UPDATE entries SET sealed = '/etc/hostname' WHERE key = 'Mask/b.txt'")),
    ("entry-unsealed", FATAL, row("UPDATE entries SET sealed = NULL WHERE key = 'Mask/b.txt'")),
    ("entry-checksum", FATAL, row("UPDATE entries SET md5 = 'abc' WHERE key = 'Mask/b.txt'")),
    ("entry-checksum", FATAL, row("UPDATE entries SET sha256 = NULL WHERE key = 'Image/a.txt'")),
    ("entry-length", FATAL, row("UPDATE entries SET length = -1 WHERE key = 'Mask/b.txt'")),
    ("entry-rid", FATAL, row("UPDATE entries SET rid = 'no rid' WHERE key = 'Image/a.txt'")),
    ("entry-url", FATAL, row("UPDATE entries SET url = NULL WHERE key = 'Image/a.txt'")),
    ("entry-moment", FATAL, row("UPDATE entries SET uploaded_at = 'x' WHERE key = 'Image/a.txt'")),
    ("entry-shared-rid", FATAL, row("UPDATE entries SET rid = '1-AAA' WHERE execution = '{done}'")),
    # what was logged
    ("feature-state", FATAL, row("UPDATE features SET state = 'gone' WHERE execution = '{stopped}'")),
    ("feature-record", FATAL, row("UPDATE features SET record = '[' WHERE execution = '{stopped}'")),
    ("feature-identity", FATAL, row("UPDATE features SET identity = 'x' WHERE execution = '{stopped}'")),
    ("feature-assets", FATAL, row("UPDATE features SET assets = '[]' WHERE execution = '{stopped}'")),
    ("feature-asset-gone", FATAL, row("UPDATE features SET assets = '{{\"x\": 99999}}' WHERE execution = '{sealed}'")),
    ("parameter", FATAL, row("UPDATE parameters SET value = '{{'")),
    ("parameter-file", FATAL, row("UPDATE parameters SET entry = 'x' WHERE name = 'epochs'")),
    ("metric", FATAL, row("UPDATE metrics SET record = 'loss' WHERE execution = '{stopped}'")),
    ("metric-step", FATAL, row("UPDATE metrics SET step = '{{'")),
    ("metric-file", FATAL, row("UPDATE metrics SET entry = 'x' WHERE execution = '{sealed}'")),
    ("nesting", FATAL, row("INSERT INTO nestings (parent, child, state, at) VALUES ('{sealed}', '{stopped}', 'odd', '')")),
    ("journal", FATAL, row("UPDATE journal SET detail = '' WHERE execution = '{sealed}'")),
    ("download", REPAIRABLE, row("UPDATE downloads SET rid = '?'")),
    # manifests
    ("manifest-gone", REPAIRABLE, on("executions/{stopped}/asset-manifest.json", remove)),
    ("manifest-torn", REPAIRABLE, on("executions/{stopped}/asset-manifest.json", text("{"))),
    ("manifest-rid", REPAIRABLE, manifest("stopped", lambda content: content.update(execution_rid="1-XYZ"))),
    ("manifest-less", REPAIRABLE, manifest("stopped", lambda content: content["assets"].pop("Image/c.txt"))),
    ("manifest-more", FATAL, row("DELETE FROM entries WHERE key = 'Image/c.txt'")),
    ("manifest-checksum", FATAL, manifest("done", lambda content: first_asset(content).update(sha256="0" * 64))),
    ("manifest-asset", FATAL, manifest("done", lambda content: first_asset(content).update(rid="1-XYZ"))),
    # staged and sealed bytes
    ("staged-unwritten", REPAIRABLE, on("executions/{stopped}/assets/Image/c.txt", remove)),
    ("staged-kind", FATAL, on("executions/{stopped}/assets/Image/c.txt", to_folder)),
    ("staged-link", FATAL, on("executions/{stopped}/assets/Image/c.txt", to_link)),
    ("staged-copy", FATAL, on("executions/{stopped}/assets/**/copied.txt", remove)),
    ("staged-unlinked", REPAIRABLE, on("executions/{stopped}/assets/**/linked.txt", remove)),
    ("staged-no-link", REPAIRABLE, on("executions/{stopped}/assets/**/linked.txt", text("another"))),
    ("staged-source", FATAL, on("executions/{stopped}/assets/**/linked.txt", to_nowhere)),
    ("sealed-gone", FATAL, on("executions/{sealed}/sealed/*", remove)),
    ("sealed-length", FATAL, on("executions/{sealed}/sealed/*", longer)),
    ("sealed-bytes", FATAL, on("executions/{sealed}/sealed/*", flip)),
    ("sealed-kind", FATAL, on("executions/{sealed}/sealed/*", to_link)),
    ("sealed-bytes", FATAL, on("executions/{done}/sealed/*", flip)),
    ("folder", FATAL, _no_folder),
    ("folder", FATAL, _linked_folder),
    # the bag of a commit, receipts
    ("commit-bag", REPAIRABLE, on("executions/{done}/commit/bag/manifest-md5.txt", flip)),
    ("commit-bag", REPAIRABLE, on("executions/{done}/commit/bag/data/schema.json", flip)),
    ("commit-bag", REPAIRABLE, on("executions/{done}/commit/bag/bagit.txt", remove)),
    ("receipt", REPAIRABLE, on("executions/{done}/commit/receipt-1.json", text("{"))),
    # what is kept
    ("cache-mark", REPAIRABLE, on("cache/bags/*/ready.json", remove)),
    ("cache-mark", REPAIRABLE, on("cache/bags/*/ready.json", text("[]"))),
    ("cache-bag", REPAIRABLE, on("cache/bags/*/Dataset_*/data/deriva-ml/Dataset.csv", flip)),
    ("cache-bag", REPAIRABLE, on("cache/bags/*/Dataset_*/data/assets/**/a.txt", remove)),
    ("cache-bytes", REPAIRABLE, on("cache/assets/**/a.txt", flip)),
    ("cache-kind", REPAIRABLE, on("cache/assets/**/a.txt", to_link)),
    ("cache-name", REPAIRABLE, lambda place: (place.workspace / "cache" / "assets" / "stray").write_text("x")),
    ("sealed-bag", REPAIRABLE, on("sealed-bags/*.zip", flip)),
    ("sealed-bag", REPAIRABLE, on("sealed-bags/*.zip", text("no archive"))),
    # the embedded catalog: its objects, its rows, the files of its assets
    ("catalog", FATAL, in_catalog("objects/?/*", flip)),
    ("catalog", FATAL, in_catalog("objects/?/*", remove)),
    ("catalog", FATAL, in_catalog("objects/?/*", longer)),
    ("catalog", FATAL, in_catalog("objects/?/*", to_link)),
    ("store-no-database", FATAL, in_catalog("hatrac.sqlite", text("no database"))),
    ("store-damaged", FATAL, in_catalog("catalogs/*/catalog.sqlite", pages_lost)),
    ("asset-gone", FATAL, hatrac_row("UPDATE name SET deleted = 1 WHERE kind = 'object' AND name LIKE '%Image%'")),
    ("asset-differs", FATAL, hatrac_row("CREATE TEMP TABLE t AS SELECT number, name FROM version; "
                                              "UPDATE version SET name = (SELECT name FROM t WHERE t.number = version.number + 1) "
                                              "WHERE number < (SELECT max(number) FROM t)")),
    ("catalog", FATAL, hatrac_row("UPDATE version SET md5 = zeroblob(16)")),
    # locks and processes
    ("lock", FATAL, on("locks/{stopped}.run", to_folder)),
    ("locks", FATAL, _no_locks),
    ("dead", REPAIRABLE, _dead),
]  # fmt: skip


def test_there_are_enough_corruptions() -> None:
    assert len(DAMAGES) >= 50
    assert len({kind for kind, _, _ in DAMAGES}) >= 50


@pytest.mark.parametrize(("kind", "weight", "damage"), DAMAGES, ids=[f"{n}-{d[0]}" for n, d in enumerate(DAMAGES)])
def test_a_corruption_is_found_and_weighed(place: Place, kind: str, weight: Weight, damage: Damage) -> None:
    damage(place)
    of_catalog = damage.__name__ == "catalog_damage" or kind == "store-damaged"
    report = place.check() if of_catalog else place.check_workspace()
    assert (kind, weight) in {(finding.kind, finding.weight) for finding in report.findings}, report.render()
    assert report.exit_code == max(finding.weight for finding in report.findings)
    if weight is REPAIRABLE:
        assert report.exit_code == 1, report.render()


@pytest.mark.parametrize("read_data", [False, True])
def test_a_healthy_home_is_called_so(healthy: Place, read_data: bool) -> None:
    report = healthy.check(read_data)
    assert (report.findings, report.exit_code) == ([], 0), report.render()
    assert {"databases", "executions", "files", "workspaces"} <= set(report.looked_at)
    assert report.looked_at["executions"] == 3


@pytest.fixture
def opened(place: Place) -> Iterator[DerivaML]:
    ml = DerivaML(working_dir=place.home)
    yield ml
    ml.session.port.close()


def test_every_stage_of_a_run_is_healthy(place: Place, opened: DerivaML, tmp_path: Path) -> None:
    """No alarm while it is made, runs, fails, is committed, cleaned, forgotten, and while a damaged one is repaired."""
    source = tmp_path / "mine.txt"
    source.write_text("mine")

    def fine() -> None:
        assert opened.check(read_data=True).findings == []

    exe = opened.create_execution(workflow=WORKFLOW)
    fine()
    with exe:
        exe.asset_file_path("Image", "unwritten.txt")
        exe.asset_file_path("Image", str(source))
        source.write_text("mine, written again")
        fine()
        exe.asset_file_path("Image", "unwritten.txt").write_text("now")
    fine()
    exe.commit_output_assets(clean_folder=True)
    fine()
    with pytest.raises(ZeroDivisionError), opened.create_execution(workflow=WORKFLOW) as failed:
        failed.asset_file_path("Image", "never.txt")
        print(1 / 0)
    fine()
    opened.create_execution(workflow=WORKFLOW).abort("no need")
    opened.commit_pending_executions()
    fine()
    opened.gc_executions()
    fine()


def test_what_is_repairable_is_repaired_by_going_on(place: Place, opened: DerivaML) -> None:
    """The advice is true: after the commit the check is content."""
    (place.folder(place.stopped) / "asset-manifest.json").write_text("{")
    shutil.rmtree(place.folder(place.done) / "commit" / "bag" / "data")
    assert opened.check().exit_code == 1
    opened.executions.store.database.connection().execute("PRAGMA wal_checkpoint")
    opened.resume_execution(place.stopped).commit_output_assets(clean_folder=True)
    kinds = {finding.kind for finding in opened.check().findings}
    assert kinds == {"commit-bag"}


def test_the_command_says_it_and_exits_accordingly(place: Place) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, ["--home", str(place.home), *arguments])
        return done.exit_code, done.output

    code, said = run("--read-data")
    assert (code, "All whole. Looked at: " in said) == (0, True)
    place.sql("UPDATE executions SET duration = -1 WHERE rid = '{done}'")
    code, said = run("--json")
    document = json.loads(said)
    assert (code, [finding["kind"] for finding in document["findings"]]) == (1, ["duration"])
    place.sql("UPDATE executions SET mode = 'x' WHERE rid = '{done}'")
    code, said = run()
    assert (code, said.splitlines()[0].split()[0]) == (2, "fatal")


def test_a_living_run_is_not_called_dead(opened: DerivaML) -> None:
    exe = opened.create_execution(workflow=WORKFLOW)
    exe.execution_start()
    assert opened.check().findings == []
    liveness.release(opened.workspace / "locks" / f"{exe.rid}.run")
    assert [finding.kind for finding in opened.check().findings] == ["dead"]


@pytest.mark.parametrize("read_data", [False, True])
def test_the_files_of_a_catalogs_assets_are_examined_on_both_roads(ml: DerivaML, read_data: bool) -> None:
    ml.create_asset("Image")
    with ml.create_execution(workflow=ml.create_workflow("Train", "Training")) as exe:
        for name in ("kept.txt", "gone.txt"):
            exe.asset_file_path("Image", name).write_text(str(uuid.uuid4()))  # a server keeps what other tests sent
    exe.commit_output_assets()
    report = ml.check(read_data=read_data)
    assert (report.findings, report.looked_at["assets"] or report.looked_at["objects"]) != ([], 0), report.render()
    assert report.exit_code == 0, report.render()
    gone = next(asset for asset in exe.list_assets("Output") if asset.filename == "gone.txt")
    ml.session.hatrac("DELETE", gone.url)
    findings = {(finding.kind, finding.where) for finding in ml.check(read_data=True).findings}
    assert findings == {("asset-gone", f"domain:Image {gone.rid}")}
