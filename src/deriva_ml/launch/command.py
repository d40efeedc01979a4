"""What ``deriva-ml-run`` does with its arguments: find the project's configurations, then run, sweep, or show."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLNotFoundError
from deriva_ml.launch import hydra_main
from deriva_ml.launch.catalog_overrides import catalog_overrides
from deriva_ml.launch.multiruns import (
    MultirunSpec,
    get_all_multirun_configs,
    get_multirun_config,
    list_multirun_configs,
)
from deriva_ml.launch.nearest import ADDED, nearest_names
from deriva_ml.launch.registration import (
    find_configs,
    groups,
    load_configs,
    make_importable,
    menu,
    roots,
    roots_of,
)
from deriva_ml.launch.sweep import continue_sweep, opened, run_sweep
from deriva_ml.launch.sweep_plan import FoundPlan, SweepPlan, plan_in_catalog, plan_in_workspace
from deriva_ml.launch.task import Task, stored_targets
from deriva_ml.settings import find_home
from deriva_ml.workflow.git import GitUnknown, tree_of

_MULTIRUN = "+multirun="


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The arguments of ``deriva-ml-run``; ``arguments`` are overrides and Hydra's own flags."""

    arguments: tuple[str, ...] = ()
    config_dir: str | None = None
    config_name: str = "deriva_model"
    multirun: bool = False
    host: str | None = None
    catalog: str | None = None
    metrics: tuple[str, ...] = ()


def list_menu(config_dir: str | None, as_json: bool = False) -> str:
    """Return the menu of a project's configurations, as text or as JSON.

    Raises:
        DerivaMLConfigurationError: there are none, or they cannot be read.
    """
    _load(find_configs(config_dir))
    if not as_json:
        return menu(list_multirun_configs())
    listed = {group: names for group, names in groups().items() if group not in ("", "hydra")}
    sweeps = {name: asdict(spec) for name, spec in get_all_multirun_configs().items()}
    return json.dumps({"groups": listed, "sweeps": sweeps, "roots": roots()}, indent=2)


def completions(config_dir: str | None, incomplete: str) -> list[str]:
    """Return the overrides that can follow what was typed: groups first, entries behind ``group=``.

    Raises:
        DerivaMLConfigurationError: as :func:`list_menu`.
    """
    _load(find_configs(config_dir))
    entries = [
        f"{'+' if group in ADDED else ''}{group}={name}"
        for group, names in groups().items()
        if group not in ("", "hydra")
        for name in names
    ]
    listed = [*entries, *(f"{_MULTIRUN}{name}" for name in list_multirun_configs()), "dry_run=true", "dry_run=validate"]
    return [text for text in listed if text.startswith(incomplete)]


def launch(request: RunRequest) -> bool:
    """Run what was asked for; return whether all of it was committed.

    Raises:
        DerivaMLConfigurationError: the configurations cannot be read, composed, or call what they should not.
        UserCodeError: the model function raised.
    """
    configs = find_configs(request.config_dir)
    _load(configs)
    arguments, named = _expanded(request)
    read = hydra_main.parse(arguments)
    _refuse_positionals(read.overrides)
    task = _task(configs)
    many = request.multirun or named is not None or read.multirun or "hydra.mode=MULTIRUN" in read.overrides
    if hydra_main.is_look(read) or not many:
        hydra_main.place_output(request.config_name)
        hydra_main.main(task, request.config_name, _one_of_many(arguments, read.overrides) if many else arguments)
        return True
    if not read.multirun:
        arguments = ("--multirun", *arguments)
    plan = SweepPlan(
        configs=str(configs),
        config_name=read.config_name or request.config_name,
        arguments=arguments,
        overrides=tuple(text for text in read.overrides if not text.startswith("hydra")),
        description=named.description if named else "",
        folder=str(Path.cwd()),
    )
    return run_sweep(plan, task, request.metrics)


def _one_of_many(arguments: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the arguments for looking at a sweep's configuration: what the sweep varies stays at its default."""
    kept = hydra_main.fixed(overrides)
    return [text for text in arguments if text not in overrides or text in kept]


def go_on(rid: str, request: RunRequest) -> bool:
    """Go on with the sweep that the execution ``rid`` records; return whether all its jobs are committed now.

    Arguments that the request has are added to those that the sweep began with. Where it ran, everything is known. Elsewhere the catalog tells what it was to do: run this in a copy of the project, with
    the options that name the catalog.

    Raises:
        DerivaMLNotFoundError: the catalog has no such sweep.
        DerivaMLBusyError: it is still running.
        DerivaMLConfigurationError: an argument would change which jobs it has.
    """
    more = (*request.arguments, *catalog_overrides(request.host, request.catalog))
    known = plan_in_workspace(rid, find_home())
    if known is not None and Path(known[0].configs).is_dir():
        plan, folder = known
        _check_further(plan, request.arguments)
        os.chdir(plan.folder)
        configs = Path(plan.configs)
        _load(configs)
        return continue_sweep(plan.with_arguments(more), folder, _task(configs), request.metrics)
    configs = find_configs(request.config_dir)
    _load(configs)
    return _go_on_from_catalog(rid, request, configs, more)


def _go_on_from_catalog(rid: str, request: RunRequest, configs: Path, more: tuple[str, ...]) -> bool:
    config = hydra_main.composition(request.config_name, hydra_main.parse(more).overrides)
    task = _task(configs)
    task.check(config)
    ml = opened(config)
    try:
        found = plan_in_catalog(ml, rid)
    except DerivaMLNotFoundError as error:
        raise DerivaMLNotFoundError(
            f"No workspace of {find_home()} knows a sweep {rid}, and in the catalog that this project's configuration names: {error} "
            "Name another one with --host and --catalog."
        ) from error
    _check_further(found, request.arguments)
    plan = found.here(configs, more)
    _warn_of_other_code(found.commit, configs, rid)
    print(f"Sweep {rid} did not begin in this workspace: what it is to do, and what is done, is what the catalog says.")
    return continue_sweep(plan, ml.workspace / "sweeps" / rid, task, request.metrics, found.began_in)


def _check_further(sweep: SweepPlan | FoundPlan, more: Sequence[str]) -> None:
    """Refuse an override that would give the sweep other jobs: those that are done would no longer be its own."""
    overrides = hydra_main.overrides_in(sweep.config_name, sweep.arguments)
    swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
    known = {override.input_line for override in overrides}
    for override in hydra_main.overrides_in(sweep.config_name, more):
        if override.input_line in known:
            continue
        if override.is_sweep_override() or override.key_or_group in swept:
            raise DerivaMLConfigurationError(
                f"{override.input_line} would change the jobs of this sweep, which varies {', '.join(sorted(swept))}: begin a new "
                "sweep for it. --continue takes what all jobs lack, hydra.launcher.mem_gb=16 for instance."
            )


def _warn_of_other_code(commit: str | None, configs: Path, rid: str) -> None:
    try:
        here = tree_of(configs).commit
    except GitUnknown:  # then nobody can compare
        return
    if commit and here and commit != here:
        print(f"Warning: sweep {rid} began at commit {commit}; the code here is at {here}.", file=sys.stderr)


def _load(configs: Path) -> None:
    make_importable(configs)
    load_configs(configs.name)


def _task(configs: Path) -> Task:
    return Task(tuple(roots_of(configs)), stored_targets())


def _expanded(request: RunRequest) -> tuple[tuple[str, ...], MultirunSpec | None]:
    """Return the arguments with the overrides of a named sweep, and of ``--host`` and ``--catalog``, in place."""
    catalog = catalog_overrides(request.host, request.catalog)
    names = [text.removeprefix(_MULTIRUN) for text in request.arguments if text.startswith(_MULTIRUN)]
    rest = [text for text in request.arguments if not text.startswith(_MULTIRUN)]
    if len(names) > 1:
        raise DerivaMLConfigurationError(f"One sweep at a time: {', '.join(names)} are {len(names)}.")
    named = _named(names[0]) if names else None
    return (*(named.overrides if named else ()), *rest, *catalog), named


def _named(name: str) -> MultirunSpec:
    found = get_multirun_config(name)
    if found is None:
        near = nearest_names(name, list_multirun_configs()) or list_multirun_configs()
        hint = (
            f" Did you mean {' or '.join(f'+multirun={each}' for each in near)}?"
            if near
            else " The project names none."
        )
        raise DerivaMLConfigurationError(f"No sweep is named {name!r}.{hint}")
    return found


def _refuse_positionals(overrides: Sequence[str]) -> None:
    """Refuse what is no override, before Hydra does it with less to say.

    Raises:
        DerivaMLConfigurationError: it says what was probably meant.
    """
    for text in overrides:
        group, _, value = text.lstrip("+").partition("=")
        if group in groups() and value.startswith("[{"):
            raise DerivaMLConfigurationError(
                f"{group!r} is a group: choose one of its entries ({', '.join(groups()[group])}), or store another one in configs."
            )
        if "=" not in text and not text.startswith("~"):
            near = [
                f"{'+' if group in ADDED else ''}{group}={text}"
                for group, names in groups().items()
                if group and text in names
            ]
            hint = f" Did you mean {' or '.join(near)}?" if near else " --list-configs shows the menu."
            raise DerivaMLConfigurationError(f"{text!r} is no override: overrides are written key=value.{hint}")
