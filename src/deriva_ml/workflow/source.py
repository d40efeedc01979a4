"""Who called us: the file whose code is running, found on the stack."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

PACKAGE = Path(__file__).parents[1]
_TRANSPARENT = ("pydantic", "pydantic_core")


@dataclass(frozen=True, slots=True)
class Source:
    """The calling file; ``path`` is None where the code has no file, and ``reason`` then says why."""

    path: Path | None
    is_notebook: bool = False
    reason: str = ""


def caller() -> Source:
    """Return the file of the innermost code that is not deriva-ml's own."""
    if notebook := os.environ.get("DERIVA_ML_NOTEBOOK_PATH"):
        return Source(Path(notebook), is_notebook=True)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    if frame is None:
        return Source(None, reason="no calling code was found")
    return _describe(frame)


def _is_ours(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(PACKAGE):
        return not path.is_relative_to(PACKAGE / "demo")
    return frame.f_globals.get("__name__", "").split(".")[0] in _TRANSPARENT


def _describe(frame: FrameType) -> Source:
    if "get_ipython" in frame.f_globals:
        return _interactive(frame)
    name = frame.f_code.co_filename
    if name.startswith("<"):
        return Source(None, reason=f"the code was typed in or made at run time ({name})")
    path = Path(name).absolute()
    if not path.is_file():
        return Source(None, reason=f"the calling file {path} is not there")
    return Source(path, is_notebook=path.suffix == ".ipynb")


def _interactive(frame: FrameType) -> Source:
    """IPython and Jupyter: the notebook's path is known to the front end, which hands it on in several ways."""
    for named in (frame.f_globals.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if named and Path(str(named)).is_file():
            return Source(Path(str(named)).absolute(), is_notebook=True)
    return Source(None, is_notebook=True, reason="an interactive session that does not say which notebook it runs")
