"""Which catalog a folder belongs to: the file ``.deriva-context.json`` in it, or in a folder above."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLConfigurationError

CONTEXT = ".deriva-context.json"
_NEEDED = ("hostname", "catalog_id")
_KNOWN = (*_NEEDED, "default_schema", "working_dir")


def read_context(path: str | Path | None = None) -> dict[str, Any]:
    """Return the arguments of DerivaML that the nearest context file gives; looked for from ``path`` (default: here) upwards.

    A ``working_dir`` in it is relative to the file. Other keys are left to other tools.

    Raises:
        DerivaMLConfigurationError: there is no such file, it is no JSON, or it does not name a catalog.
    """
    file = _nearest(Path(path).absolute() if path is not None else Path.cwd())
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DerivaMLConfigurationError(f"{file} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise DerivaMLConfigurationError(f"{file} holds no object of JSON.")
    missing = [name for name in _NEEDED if not content.get(name)]
    if missing:
        raise DerivaMLConfigurationError(f"{file} does not say {' and '.join(missing)}.")
    found = {name: content[name] for name in _KNOWN if content.get(name) is not None}
    if "working_dir" in found:
        found["working_dir"] = file.parent / Path(str(found["working_dir"])).expanduser()
    return found


def _nearest(start: Path) -> Path:
    if start.is_file():
        return start
    for folder in (start, *start.parents):
        if (folder / CONTEXT).is_file():
            return folder / CONTEXT
    raise DerivaMLConfigurationError(
        f'No {CONTEXT} lies in {start} or above it. It names a catalog: {{"hostname": "data.example.org", "catalog_id": "1"}}.'
    )
