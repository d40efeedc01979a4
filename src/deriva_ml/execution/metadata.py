"""The files that describe a run, made before it begins: configuration, lock file, Hydra's files, environment.

What cannot be captured is named in the configuration's ``capture``; it never stops the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deriva_ml import jsontext
from deriva_ml.clock import iso
from deriva_ml.enums import ExecMetadataType
from deriva_ml.environment.capture import snapshot
from deriva_ml.environment.redact import redact_lines
from deriva_ml.execution.configuration import ExecutionConfiguration, stored_form

HYDRA_FILES = ("config", "overrides", "hydra")


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """One file about a run."""

    name: str
    asset_type: str
    description: str
    content: bytes


def captured(
    git_root: Path | None, hydra_dir: Path | None, moment: datetime, problems: list[str]
) -> list[MetadataFile]:
    """Return the files that do not depend on the execution's RID; what is missing is added to ``problems``."""
    stamp = moment.strftime("%Y%m%d_%H%M%S")
    return [
        *_lock_file(git_root, problems),
        *_hydra_files(hydra_dir, stamp, problems),
        _environment(stamp, problems),
    ]


def _lock_file(git_root: Path | None, problems: list[str]) -> Iterator[MetadataFile]:
    path = None if git_root is None else git_root / "uv.lock"
    if path is None or not path.is_file():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return
    yield MetadataFile(
        "uv.lock", ExecMetadataType.execution_config, "Exact versions of the project's packages", content
    )


def _hydra_files(folder: Path | None, stamp: str, problems: list[str]) -> Iterator[MetadataFile]:
    if folder is None:
        return
    inside = next((folder / name for name in ("hydra-config", ".hydra") if (folder / name).is_dir()), folder)
    for name in HYDRA_FILES:
        path = inside / f"{name}.yaml"
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"Hydra's {path} cannot be read: {error}")
            continue
        content = redact_lines(text).encode()
        yield MetadataFile(f"hydra-{stamp}-{name}.yaml", ExecMetadataType.hydra_config, f"Hydra's {name}", content)


def _environment(stamp: str, problems: list[str]) -> MetadataFile:
    content = snapshot()
    problems += content["problems"]
    text = jsontext.dumps(content, indent=1)
    return MetadataFile(
        f"environment_snapshot_{stamp}.txt",
        ExecMetadataType.runtime_env,
        "Python, packages, machine and environment variables",
        text.encode(),
    )


def configuration_document(
    configuration: ExecutionConfiguration,
    rid: str,
    moment: datetime,
    resolved: list[dict[str, Any]],
    problems: list[str],
) -> dict[str, Any]:
    """Return the content of ``configuration.json``: what was declared, resolved, and what could not be captured."""
    content = stored_form(configuration, execution_rid=rid, created_at=iso(moment), resolved_datasets=resolved)
    versions = {each["rid"]: each["version"] for each in resolved}
    for spec in content["datasets"]:
        spec["version"] = spec["version"] or versions.get(spec["rid"])
    workflow = configuration.workflow
    missing = [*problems, *(workflow.problems if workflow is not None else ())]
    content["capture_status"] = "partial" if missing else "complete"
    content["capture_problems"] = missing
    return content


def configuration_file(content: dict[str, Any]) -> MetadataFile:
    """Return ``configuration.json``."""
    text = jsontext.dumps(content, indent=1, ascii_only=False)
    return MetadataFile(
        "configuration.json",
        ExecMetadataType.deriva_config,
        "Inputs, workflow and parameters of the execution",
        text.encode(errors="backslashreplace"),  # half a character, as an argument may hold it: JSON writes it so too
    )
