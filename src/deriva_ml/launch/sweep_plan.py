"""What a sweep is to do: kept in the workspace where it runs, and in the catalog for every other place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml.asset.asset import Asset
from deriva_ml.catalog import objects
from deriva_ml.environment.host import boot_id, host_name, is_here
from deriva_ml.errors import DerivaMLNotFoundError
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.files import write_whole
from deriva_ml.launch.composed import Composed
from deriva_ml.ml import DerivaML
from deriva_ml.rid import check_rid


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep runs: enough to go on with it in another process."""

    configs: str
    config_name: str
    arguments: tuple[str, ...]
    overrides: tuple[str, ...]
    description: str = ""
    folder: str = ""

    def described(self, description: str) -> str:
        """Return what the parent's description says: that of the sweep's name, else ``description`` with the overrides."""
        return self.description or Composed(overrides=self.overrides).described(description)

    def write(self, folder: Path) -> None:
        """Keep the plan in the sweep's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "sweep.json", json.dumps(asdict(self), indent=1).encode())

    def with_arguments(self, more: tuple[str, ...]) -> SweepPlan:
        """Return the plan with further arguments, unless it ends with them already."""
        known = self.arguments[len(self.arguments) - len(more) :] == more
        return self if known else replace(self, arguments=(*self.arguments, *more))

    def added(self) -> frozenset[str]:
        """Return the arguments that ``--continue`` added to those that the sweep began with."""
        return frozenset(self.arguments).difference(self.overrides)

    def document(self, workspace: Path) -> dict[str, Any]:
        """Return the plan as the parent's parameters keep it: without paths but that of the workspace where it began."""
        return {
            "overrides": list(self.overrides),
            "arguments": list(self.arguments),
            "config_name": self.config_name,
            "description": self.description,
            "host": host_name(),
            "boot": boot_id(),
            "workspace": str(workspace),
        }


@dataclass(frozen=True, slots=True)
class FoundPlan:
    """The plan of a sweep as the catalog keeps it, and where the sweep began: its code and its folder."""

    arguments: tuple[str, ...]
    config_name: str
    overrides: tuple[str, ...]
    description: str
    commit: str | None
    began_in: Path | None

    def here(self, configs: Path, more: tuple[str, ...] = ()) -> SweepPlan:
        """Return the plan for the project whose configurations lie in ``configs``; ``more`` arguments come last."""
        plan = SweepPlan(
            str(configs), self.config_name, self.arguments, self.overrides, self.description, str(Path.cwd())
        )
        return plan.with_arguments(more)


def plan_in_workspace(rid: str, home: Path) -> tuple[SweepPlan, Path] | None:
    """Return the plan of the sweep that the execution ``rid`` records, and its folder; None if it ran elsewhere.

    The folder of a sweep that began offline has the local name.
    """
    found = sorted(home.glob(f"workspaces/*/sweeps/{check_rid(rid)}/sweep.json"))
    for sweeps in () if found else sorted(home.glob("workspaces/*/sweeps")):
        name = ExecutionStore(sweeps.parent).local_name_of(rid)
        found += [sweeps / name / "sweep.json"] if name and (sweeps / name / "sweep.json").is_file() else []
    if not found:
        return None
    facts = json.loads(found[0].read_text())
    facts |= {name: tuple(facts[name]) for name in ("arguments", "overrides")}
    return SweepPlan(**facts), found[0].parent


def plan_in_catalog(ml: DerivaML, rid: str) -> FoundPlan:
    """Return the plan of a sweep that began anywhere.

    Raises:
        DerivaMLNotFoundError: the catalog has no such execution, or it is no sweep's parent.
    """
    rid = ml.lookup_execution(rid).execution_rid  # begun offline, it may have been asked for by its local name
    for asset in ml.list_execution_assets(rid):
        if asset.filename == "configuration.json":
            content = json.loads(content_of(ml, asset))
            facts = content.get("parameters", {}).get("sweep")
            if isinstance(facts, dict):
                return _found(facts, content.get("workflow") or {}, rid)
    raise DerivaMLNotFoundError(f"Execution {rid} is no sweep: --continue takes the RID of a sweep's parent.")


def _found(facts: Mapping[str, Any], workflow: Mapping[str, Any], rid: str) -> FoundPlan:
    began_in = Path(str(facts.get("workspace", ""))) / "sweeps" / rid if is_here(facts) else None
    return FoundPlan(
        arguments=tuple(facts["arguments"]),
        config_name=str(facts["config_name"]),
        overrides=tuple(facts["overrides"]),
        description=str(facts.get("description", "")),
        commit=workflow.get("commit"),
        began_in=began_in if began_in is not None and began_in.is_dir() else None,
    )


def content_of(ml: DerivaML, asset: Asset) -> bytes:
    """Return the bytes of a small file in the catalog.

    Raises:
        DerivaMLIntegrityError: they are not those that were stored.
    """
    with tempfile.TemporaryDirectory(prefix="deriva-ml-") as place:
        target = Path(place) / "content"
        objects.get(ml.session, asset.url, target, md5=asset.md5)
        return target.read_bytes()
