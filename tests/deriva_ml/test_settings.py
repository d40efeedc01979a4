"""Where state lives: the argument, the variable, the nearest folder, the user's home; and where it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_local.store.place import NetworkFileSystem, is_network, mounted, parse_linux
from deriva_ml.catalog.embedded import refuse_network_folder
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.settings import find_home, store_folder, workspace_folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder tree without any home, the current folder deep in it, and a user's home of its own."""
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("DERIVA_ML_HOME", raising=False)
    return tmp_path


def test_the_users_home_is_the_last_choice(nowhere: Path) -> None:
    assert find_home() == nowhere / "user" / ".deriva-ml"


def test_a_folder_that_is_gone_is_no_place_to_look_from(nowhere: Path) -> None:
    (nowhere / "a" / "b" / "c").rmdir()
    with pytest.raises(DerivaMLConfigurationError, match=r"does not exist any more.*DERIVA_ML_HOME"):
        find_home()
    assert find_home(nowhere / "here") == nowhere / "here"


def test_the_nearest_one_comes_before_it(nowhere: Path) -> None:
    (nowhere / "a" / ".deriva-ml").mkdir()
    (nowhere / ".deriva-ml").mkdir()
    assert find_home() == nowhere / "a" / ".deriva-ml"


def test_a_file_of_that_name_is_no_home(nowhere: Path) -> None:
    (nowhere / "a" / ".deriva-ml").write_text("")
    assert find_home() == nowhere / "user" / ".deriva-ml"


def test_the_variable_comes_before_the_nearest(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "a" / ".deriva-ml").mkdir()
    monkeypatch.setenv("DERIVA_ML_HOME", "~/state")
    assert find_home() == nowhere / "user" / "state"


def test_the_argument_comes_before_all(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", "/elsewhere")
    assert find_home("here") == nowhere / "a" / "b" / "c" / "here"
    assert find_home(nowhere) == nowhere


def test_nothing_is_made_by_looking(nowhere: Path) -> None:
    find_home()
    assert not (nowhere / "user").exists()


@pytest.mark.parametrize(
    ("host", "catalog", "name"),
    [
        ("embedded", "1", "embedded__1"),
        ("data.example.org", "eye-ai", "data.example.org__eye-ai"),
        ("localhost:8080", "1", "localhost_8080__1"),
        ("../../etc", "..", "_.._etc__.."),
    ],
)
def test_a_workspace_is_one_folder_below_the_home(host: str, catalog: str, name: str) -> None:
    home = Path("/home/ada/.deriva-ml")
    assert workspace_folder(home, host, catalog) == home / "workspaces" / name
    assert store_folder(home) == home / "catalog"


def test_a_network_file_system_is_refused() -> None:
    def nfs(folder: Path) -> None:
        mounts = parse_linux("server:/home /net/home nfs4 rw,hard 0 0\n/dev/sda1 / ext4 rw 0 0\n")
        kind = mounted(folder, mounts)
        if is_network(kind):
            raise NetworkFileSystem(f"{folder} lies on {kind}.")

    refuse_network_folder(Path("/home/ada"), nfs)
    with pytest.raises(DerivaMLConfigurationError, match="/net/home/ada lies on nfs4"):
        refuse_network_folder(Path("/net/home/ada"), nfs)
