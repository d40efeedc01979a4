"""A user who tries again: each call of the front door that fails is made once more, in the same process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from deriva_ml import DerivaML
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.errors import DerivaMLException
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.executions import Executions

CALLS: dict[type, tuple[str, ...]] = {
    DerivaML: (
        "__init__", "create_execution", "resume_execution", "commit_pending_executions", "create_asset", "create_vocabulary",
        "add_term", "create_feature", "find_stale_executions", "clean_execution_dirs", "gc_executions", "mark_execution",
    ),
    Execution: (
        "asset_file_path", "asset_file_paths", "log_metrics", "log_params", "add_features", "update_status",
        "commit_output_assets", "seal", "create_dataset",
    ),
    Executions: ("load_bag", "commit_pending"),
    Dataset: ("add_dataset_members", "release"),
}  # fmt: skip


def patient() -> None:
    """Let every user of this process be one who tries again."""
    inside = threading.local()
    for owner, names in CALLS.items():
        for name in names:
            setattr(owner, name, _twice(getattr(owner, name), inside))


def _twice(real: Callable[..., Any], inside: threading.local) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(*given: Any, **named: Any) -> Any:
        if getattr(inside, "held", False):
            return real(*given, **named)
        inside.held = True
        try:
            return real(*given, **named)
        except (DerivaMLException, OSError):
            return real(*given, **named)
        finally:
            inside.held = False

    return call
