"""Hydra's own command line and composition, driven from here; what it finds wrong becomes one sentence with a way out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import click
from hydra import compose, initialize, version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.multiruns import list_multirun_configs
from deriva_ml.launch.nearest import keys_of, nearest_names, suggestion
from deriva_ml.launch.registration import groups
from deriva_ml.settings import find_home

VERSION_BASE = "1.3"
OUTPUT = "hydra-config"
_OUR_FLAGS = ("--host", "--catalog", "--list-configs", "--continue", "--metric", "--allow-dirty", "--json")
_EXTRAS = {
    "launcher/joblib": "sweep",
    "launcher/submitit_local": "sweep",
    "launcher/submitit_slurm": "sweep",
    "sweeper/optuna": "optuna",
}  # which extra of this distribution brings a plugin of Hydra's
_AMBIGUOUS = "Ambiguous value for argument"


class Task(Protocol):
    """What Hydra calls for each job, and what first looks at its configuration."""

    def __call__(self, config: DictConfig) -> Any: ...

    def check(self, config: DictConfig) -> None: ...


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return Hydra's reading of the arguments; overrides may stand before, between and behind flags.

    Raises:
        click.UsageError: neither deriva-ml nor Hydra has such a flag.
    """
    read, unknown = get_args_parser().parse_known_intermixed_args(list(arguments))
    if unknown:
        flags = [flag for action in get_args_parser()._actions for flag in action.option_strings]
        near = get_close_matches(unknown[0], [*flags, *_OUR_FLAGS], n=2)
        hint = f" Did you mean {' or '.join(near)}?" if near else " --help and --hydra-help list them."
        raise click.UsageError(f"No such option: {unknown[0]}.{hint}")
    return read


def overrides_in(config_name: str, arguments: Sequence[str]) -> list[Override]:
    """Return the overrides among the arguments, as Hydra understands them.

    Raises:
        DerivaMLConfigurationError: one of them is none.
    """
    overrides = list(parse(arguments).overrides)
    with explained(config_name, overrides):
        return OverridesParser.create().parse_overrides(overrides)


def is_look(arguments: argparse.Namespace) -> bool:
    """Return whether the arguments ask to see something instead of running."""
    flags = ("help", "hydra_help", "info", "cfg", "shell_completion")
    return any(getattr(arguments, flag, None) for flag in flags)


def main(task: Task, config_name: str, arguments: Sequence[str]) -> None:
    """Let Hydra do what ``arguments`` say with ``task``, which checks each configuration before Hydra acts on it.

    Raises:
        DerivaMLConfigurationError: the configuration cannot be composed; the message names the closest right override.
    """
    version.setbase(VERSION_BASE)
    read = parse(arguments)
    overrides = list(read.overrides)
    with _errors_pass(), _checked(task.check), explained(read.config_name or config_name, overrides):
        _run_hydra(
            args=read, args_parser=get_args_parser(), task_function=task, config_path=None, config_name=config_name
        )


@contextmanager
def _checked(check: Callable[[DictConfig], None]) -> Iterator[None]:
    """Check each configuration when it is composed: callbacks, logging and plugins of Hydra come out of it at once."""
    load = ConfigLoaderImpl.load_configuration

    def load_configuration(*given: Any, **named: Any) -> DictConfig:
        config = load(*given, **named)
        check(config)
        return config

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


@contextmanager
def _errors_pass() -> Iterator[None]:
    """Let Hydra raise instead of printing and exiting."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def composition(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Return the composed configuration, Hydra's part included; what a sweep varies stays at its default.

    Raises:
        DerivaMLConfigurationError: as :func:`main`.
    """
    with explained(config_name, overrides):
        return _composed(config_name, fixed(overrides))


def fixed(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that do not span a sweep."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [str(each.input_line) for each in parsed if not each.is_sweep_override()]


def first_job(config_name: str, overrides: Sequence[str]) -> None:
    """Compose the first job of a sweep, and look up every entry of a group that it names, before anything is recorded.

    Raises:
        DerivaMLConfigurationError: as :func:`main`.
    """
    first = fixed(overrides)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        written = [f"{override.get_key_element()}={value}" for value in _values(override)]
        _refuse_unknown_entries(config_name, override.key_or_group, written)
        first += written[:1]
    with explained(config_name, overrides):
        _composed(config_name, first)


def _values(override: Override) -> list[str]:
    """Return the values that an override lists; none of those that only a sweeper can choose."""
    listed = override.is_discrete_sweep() and override.value_type is not ValueType.GLOB_CHOICE_SWEEP
    return list(override.sweep_string_iterator()) if listed else []


def _refuse_unknown_entries(config_name: str, group: str, written: Sequence[str]) -> None:
    known = groups().get(group)
    for text in written if known else ():
        value = text.partition("=")[2]
        if value not in (*(known or ()), "null"):
            with explained(config_name, [text]):
                raise HydraException(f"Could not find '{group}/{value}'.")


def _composed(config_name: str, overrides: Sequence[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize(version_base=VERSION_BASE, config_path=None):
        return compose(config_name, overrides=list(overrides), return_hydra_config=True)


@contextmanager
def explained(config_name: str, overrides: Sequence[str]) -> Iterator[None]:
    """Translate Hydra's refusals; the closest right override is looked for among what the project offers."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise DerivaMLConfigurationError(_explanation(error, config_name, overrides)) from error


def _explanation(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    known = groups()
    if config_name not in known.get("", ()):
        near = nearest_names(config_name, known.get("", ()))
        more = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"No configuration is named {config_name!r}.{more} --list-configs shows what there is."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:1]) or type(error).__name__
    if said.startswith(_AMBIGUOUS):
        return f"{said.removeprefix(_AMBIGUOUS).strip(chr(39) + ' .')} names several values: add --multirun to run each of them, or write key=[a,b] for a list."
    unread = _unreadable(overrides)
    if unread is not None:
        return f"{unread!r} cannot be read as an override: {said}. Text with other signs than letters, digits and -_./:+% needs quotes: key='\"a, b\"'."
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None and str(error.__cause__) else ""
    told = [said if said.endswith((".", "?")) else f"{said}.", *([f"{cause}."] if cause and cause not in said else [])]
    missing = [extra for name, extra in _EXTRAS.items() if f"hydra/{name}'" in said]
    hints = [] if missing else _hints(config_name, overrides)
    return _with_hints(
        " ".join([*told, *(f"`pip install 'deriva-ml[{extra}]'` brings it." for extra in missing)]), hints
    )


def _with_hints(said: str, hints: list[tuple[str, str]]) -> str:
    if len(hints) == 1:
        return f"{said} Did you mean {hints[0][1]}?"
    return "\n".join([said, *(f"  {wrong}: did you mean {right}?" for wrong, right in hints)])


def _unreadable(overrides: Sequence[str]) -> str | None:
    """Return the first override that is none."""
    parser = OverridesParser.create()
    for text in overrides:
        try:
            parser.parse_overrides([text])
        except HydraException:
            return text
    return None


def _hints(config_name: str, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return every wrong override with what to write instead."""
    options = {group: names for group, names in groups().items() if group and group != "hydra"}
    options |= {"multirun": list_multirun_configs()}
    keys = _keys(config_name, overrides, options)
    options |= {f"hydra/{kind}": _plugins(kind) for kind in ("launcher", "sweeper")}
    asked = [text for text in overrides if not text.lstrip("+~").startswith("hydra.")]
    found = [(text, suggestion(text, options, keys)) for text in asked]
    return [(text, hint) for text, hint in found if hint]


def _plugins(kind: str) -> list[str]:
    return sorted(name.removesuffix(".yaml") for name in ConfigStore.instance().repo["hydra"].get(kind, ()))


def _keys(config_name: str, overrides: Sequence[str], options: dict[str, list[str]]) -> list[str]:
    """Return the keys that can be overridden, with the entries of groups that were chosen rightly."""
    right = [
        text for text in overrides if text.partition("=")[2] in options.get(text.partition("=")[0].lstrip("+"), ())
    ]
    for attempt in (right, []):
        try:
            content = OmegaConf.to_container(_composed(config_name, attempt), resolve=False)
        except (HydraException, OmegaConfBaseException):
            continue
        return [key for key in keys_of(content) if not key.startswith("hydra")]
    return []


def _run_folder(working_dir: Any) -> str:
    return str(find_home(working_dir) / "hydra" / datetime.now().strftime("%Y%m%d_%H%M%S_%f"))


OmegaConf.register_new_resolver("deriva_ml_run_folder", _run_folder, use_cache=True, replace=True)


def place_output(name: str, sweep: Path | None = None) -> None:
    """Put Hydra's output below the working folder, unless a configuration or an override says where.

    The places go into Hydra's own defaults and not among the overrides, which Hydra parses again for each job.
    """
    hydra = ConfigStore.instance().repo["hydra"]["config.yaml"].node
    hydra.output_subdir = OUTPUT
    hydra.job.name = name
    hydra.run.dir = "${deriva_ml_run_folder:${oc.select:deriva_ml.working_dir,null}}"
    if sweep is not None:
        hydra.sweep.dir = str(sweep).replace("${", "\\${")
