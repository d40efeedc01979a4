"""``ExecutionConfiguration``: what an execution is to read, run and be set to."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deriva_ml.asset.spec import AssetSpec, LocalFile, read_asset
from deriva_ml.dataset.spec import DatasetSpec, read_spec
from deriva_ml.environment.redact import redact, redact_arguments
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.workflow.workflow import Workflow


class ExecutionConfiguration(BaseModel):
    """The inputs, workflow and settings of an execution, declared before it begins.

    ``workflow`` may be left out here and given to ``ml.create_execution``. ``parameters`` are the settings of the run;
    ``exe.log_params`` adds to them.

    Example:
        >>> config = ExecutionConfiguration(assets=["2-GHI"], datasets=["1-ABC@2.1.0"], parameters={"lr": 0.1})
        >>> config.assets[0].rid, str(config.datasets[0].version)
        ('2-GHI', '2.1.0')
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    datasets: list[DatasetSpec] = Field(default_factory=list)
    assets: list[AssetSpec | LocalFile] = Field(default_factory=list)
    workflow: Workflow | None = None
    description: str = ""
    argv: list[str] = Field(default_factory=lambda: list(sys.argv))
    config_choices: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("datasets", mode="before")
    @classmethod
    def _read_datasets(cls, values: Any) -> Any:
        return _each(values, read_spec)

    @field_validator("assets", mode="before")
    @classmethod
    def _read_assets(cls, values: Any) -> Any:
        return _each(values, read_asset)

    @staticmethod
    def load_configuration(path: str | Path) -> ExecutionConfiguration:
        """Return the configuration that a ``configuration.json`` holds.

        Raises:
            DerivaMLValidationError: the file is not there, or holds something else.
        """
        try:
            content = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise DerivaMLValidationError(f"{path} cannot be read as a configuration: {error}.") from error
        if not isinstance(content, dict):
            raise DerivaMLValidationError(f"{path} is no configuration of an execution.")
        return configuration_from(content)


def _each(values: Any, read: Any) -> Any:
    """Read each value; pydantic collects ValueErrors, with the field's name."""
    if values is None:
        return []
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        values = [values]
    try:
        return [read(value) for value in values]
    except DerivaMLValidationError as error:
        raise ValueError(str(error)) from error


def configuration_from(content: dict[str, Any]) -> ExecutionConfiguration:
    """Return the configuration in a stored document; what else the document says is left aside."""
    known = {name: value for name, value in content.items() if name in ExecutionConfiguration.model_fields}
    if isinstance(known.get("workflow"), dict):
        workflow = stored_workflow(content)
        known["workflow"] = workflow if workflow is not None and workflow.workflow_rid else None
    return ExecutionConfiguration(**known)


def stored_workflow(content: dict[str, Any]) -> Workflow | None:
    """Return the workflow in a stored document; None where it says nothing of the code, which is never looked for here."""
    facts = {name: each for name, each in (content.get("workflow") or {}).items() if name in Workflow.model_fields}
    known = any(facts.get(name) for name in ("url", "checksum", "workflow_rid", "problems"))
    return Workflow(**facts) if known else None


def stored_form(configuration: ExecutionConfiguration, **more: Any) -> dict[str, Any]:
    """Return the document of ``configuration.json``: the configuration with secrets taken out, and ``more`` facts."""
    content = configuration.model_dump(mode="json", exclude={"workflow", "parameters"})
    content["argv"] = redact_arguments(configuration.argv)
    content["workflow"] = redact(configuration.workflow.reference()) if configuration.workflow else None
    content["parameters"] = redact(plain(configuration.parameters))
    return {**content, **more}


_PLAIN = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: models become mappings, paths and other things become text."""
    if type(value) in _PLAIN:
        return value
    if type(value) is dict and all(type(key) is str and type(each) in _PLAIN for key, each in value.items()):
        return value
    return json.loads(json.dumps(value, default=_as_json))


def measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics as JSON has them; numbers of numpy, torch and the like become numbers, and nothing becomes text unasked.

    Raises:
        DerivaMLValidationError: a value is no number, text, truth value or None, and no list or mapping of such.
    """
    if all(type(key) is str and type(each) in _PLAIN for key, each in metrics.items()):
        return dict(metrics)
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(metrics), default=_as_number))
    except TypeError as error:
        raise DerivaMLValidationError(
            f"Metrics are numbers, texts, truth values, None, and lists and mappings of them: {error}. Nothing was recorded."
        ) from error
    return found


def _as_json(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=str)
    number = _one_number(value)
    return str(value) if number is _NO_NUMBER else number


def _as_number(value: Any) -> Any:
    """Return what JSON has for a number, or an array of them, of another library: those of numpy, torch, jax and tensorflow."""
    number = _one_number(value)
    if number is not _NO_NUMBER:
        return number
    for way in ("tolist", "isoformat"):
        if callable(found := getattr(value, way, None)):
            return found()
    raise TypeError(f"{str(value)[:80]!r} is of type {type(value).__name__}")


_NO_NUMBER = object()


def _one_number(value: Any) -> Any:
    """Return the number that an object of another library is; ``_NO_NUMBER`` where it is none, or many."""
    for way in (getattr(value, "item", None), getattr(value, "__float__", None)):
        if callable(way):
            try:
                return way()
            except (ValueError, TypeError, RuntimeError):  # an array of more than one
                continue
    return _NO_NUMBER
