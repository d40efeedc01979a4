"""``deriva-ml serve --store DIR`` where DIR is a home: the store that is meant is the one inside."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from deriva_ml import DerivaML
from deriva_ml.cli import serve


def test_a_home_stands_for_the_store_in_it(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    DerivaML(working_dir=home).session.port.close()
    for named in (home, home / "catalog"):
        done = CliRunner().invoke(serve.command, ["check", "--store", str(named)])
        assert f"Nothing is wrong with {home / 'catalog'} " in done.output
    assert not (home / "registry.sqlite").exists()


def test_a_folder_that_is_no_home_is_taken_as_it_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(serve.command, ["check", "--store", str(tmp_path)])
    assert done.exit_code == 1 and f"There is no store in {tmp_path}" in str(done.output or done.exception)
