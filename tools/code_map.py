"""Write the code map: ``make map`` puts the first sentence of every file into docs/architecture.md, room by room."""

from __future__ import annotations

import ast
import sys
from itertools import groupby
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
MARK = "<!-- rooms -->"
TITLES = {"deriva_ml": "deriva_ml: records provenance", "deriva_local": "deriva_local: a small Deriva in a folder"}

sys.path.insert(0, str(ROOT / "tests"))


def sentence(file: str) -> str:
    """Return the first paragraph of the docstring of a file below ``src``, on one line."""
    text = ast.get_docstring(ast.parse((ROOT / "src" / file).read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def tables() -> str:
    """Return the tables of all rooms."""
    from test_floors import files, floor, is_bare_package

    lines: list[str] = []
    for package, title in TITLES.items():
        mine = [file for file in files() if file.startswith(f"{package}/") and not is_bare_package(file)]
        lines += [f"## {title}", ""]
        for folder, rooms in groupby(sorted(mine, key=_folder), key=_folder):
            lines += [f"### {folder}", "", "| file | floor | what it does |", "| --- | --- | --- |"]
            lines += [f"| `{file}` | {floor(file)} | {sentence(file)} |" for file in rooms]
            lines.append("")
    return "\n".join(lines).rstrip()


def _folder(file: str) -> str:
    return str(PurePosixPath(file).parent)


def main() -> None:
    head = PAGE.read_text().split(MARK)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{tables()}\n")


if __name__ == "__main__":
    main()
