"""The documentation tells the truth: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from deriva_ml.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
ALL_PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_id)
def test_python_blocks_run_in_order(page: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "page"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)
    environment = dict(os.environ, DERIVA_ML_HOME=str(tmp_path / "home"))
    done = subprocess.run([sys.executable, script], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commands_of(text: str) -> set[str]:
    return set(re.findall(r"\bderiva-ml ([a-z][a-z-]+)\b", text))


@pytest.mark.parametrize("page", ALL_PAGES, ids=page_id)
def test_commands_in_the_page_exist(page: Path) -> None:
    shell = "\n".join(blocks(page, "sh") + re.findall(r"`(deriva-ml [^`]+)`", page.read_text()))
    assert commands_of(shell) <= set(COMMANDS), page


def test_the_reference_names_every_command_and_option() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    missing = []
    for name, (module, _) in COMMANDS.items():
        command: click.Command = importlib.import_module(module).command
        options = [
            option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts
        ]
        missing += [f"{name} {option}" for option in options if f"`{option}" not in section(text, name)]
    assert not missing, missing


def section(text: str, command: str) -> str:
    found = re.search(rf"^## deriva-ml {command}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no section for {command}"
    return found[1]


def test_every_command_has_help_that_fits_a_screen() -> None:
    for name, (module, summary) in COMMANDS.items():
        command: click.Command = importlib.import_module(module).command
        text = command.get_help(
            click.Context(command, info_name=name, parent=click.Context(group, info_name="deriva-ml"))
        )
        assert len(text.splitlines()) <= 30, name
        assert summary.endswith("."), name


@pytest.mark.parametrize("page", ALL_PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    broken = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert not broken, broken


def test_every_page_is_found_from_the_site_and_guides_from_the_readme() -> None:
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in sorted((ROOT / "docs").rglob("*.md"))]
    navigation = (ROOT / "mkdocs.yml").read_text()
    lost = [page for page in pages if not page.startswith("adr/0") and f": {page}\n" not in navigation]
    assert not lost, f"mkdocs.yml has no place for {lost}"
    home = (ROOT / "README.md").read_text()
    assert not [page for page in pages if page.startswith("guide/") and f"(docs/{page})" not in home]


def test_the_index_lists_every_decision_in_order() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \|", (folder / "index.md").read_text(), re.MULTILINE)
    assert [name for _, name in listed] == sorted(path.name for path in folder.glob("0*.md"))
    assert [int(number) for number, _ in listed] == [int(name[:4]) for _, name in listed]


def test_the_code_map_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [
        path.relative_to(ROOT / "src").as_posix()
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path.name != "__init__.py"
    ]
    missing = [room for room in rooms if f"`{room}`" not in text]
    assert not missing, f"`make map` writes them: {missing}"
