"""What the runner of a notebook tells its kernel, through the environment: which code it is, and what was overridden."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.settings import SAVE_RID_VARIABLE
from deriva_ml.workflow.capture import Code, dirty_allowed, dirty_sentence, of_source
from deriva_ml.workflow.source import Source

OVERRIDES_VARIABLE = "DERIVA_ML_HYDRA_OVERRIDES"


def code_of(notebook: Path) -> Code:
    """Return what is known of the notebook's code."""
    return of_source(Source(notebook.absolute(), is_notebook=True), allow_dirty=True)


def warning_of(notebook: Path, code: Code) -> str | None:
    """Return what to say of uncommitted changes, None where there are none or they are allowed."""
    return dirty_sentence(notebook.absolute(), code) if code.dirty and not dirty_allowed() else None


def told(notebook: Path, overrides: Sequence[str], saved: Path) -> dict[str, str]:
    """Return the variables that are known before the code is; ``saved`` is where the kernel says which execution it made."""
    return {
        "DERIVA_ML_NOTEBOOK_PATH": str(notebook),
        OVERRIDES_VARIABLE: json.dumps(list(overrides)),
        SAVE_RID_VARIABLE: str(saved),
    }


def told_of(code: Code) -> dict[str, str]:
    """Return the variables that say which code runs."""
    known = {"DERIVA_ML_WORKFLOW_URL": code.url, "DERIVA_ML_WORKFLOW_CHECKSUM": code.checksum}
    return {
        **{name: value for name, value in known.items() if value},
        **({"DERIVA_ML_ALLOW_DIRTY": "true"} if code.dirty else {}),
    }
