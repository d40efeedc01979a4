"""What Hydra calls for each job, in this process or in a worker's: check the configuration, then run and follow it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra_zen import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from deriva_ml.errors import DerivaMLBusyError, DerivaMLConfigurationError
from deriva_ml.execution import liveness
from deriva_ml.launch import safety
from deriva_ml.launch.code import launched, lies_in
from deriva_ml.launch.composed import Composed, begun_with, composed, shown_overrides
from deriva_ml.launch.failures import UserCodeError, users_code
from deriva_ml.launch.job import Job, following, read_job
from deriva_ml.launch.nearest import keys_of, nearest_keys
from deriva_ml.launch.run import run_model
from deriva_ml.names import DRY_RUN_RID

_PATIENCE = 1.0


@dataclass(frozen=True)
class Task:
    """The task function; it travels to workers, so it is a value. ``folder`` takes the facts of a sweep's jobs;
    with ``keeps_values`` what they return is recorded among their metrics, because the sweeper asks for it. ``added`` are
    the overrides that ``--continue`` added.
    """

    roots: tuple[str, ...]
    stored: frozenset[str]
    parent: str | None = None
    folder: Path | None = None
    keeps_values: bool = False
    added: frozenset[str] = frozenset()

    def __call__(self, config: DictConfig) -> Any:
        """Run the job of ``config``; in a sweep one that is committed already gives its value again."""
        how = composed()
        with self._alone(how):
            known = self._known(how)
            return self._run(config, self._job(how)) if known is None else known.value

    def _run(self, config: DictConfig, job: Job) -> Any:
        with users_code(_failed(job), UserCodeError), following(job), job:
            self.check(config)
            _refuse_unknown_keys(config)
            with launched(config):
                value = call_of(config)()
            if job.number is None:
                _say(job)
            return value
        return None  # sweepers that optimise take what is no number for a failed trial

    @contextmanager
    def _alone(self, how: Composed) -> Iterator[None]:
        """Hold a sweep's job: a copy of it that an interrupted sweep left in a cluster's queue waits, and then finds it done."""
        if self.folder is None:
            yield
            return
        while True:
            try:
                lock = liveness.take(self.folder / f"{how.job}.lock", f"Job {how.job}")
            except DerivaMLBusyError:
                time.sleep(_PATIENCE)
                continue
            break
        try:
            yield
        finally:
            lock.release()

    def check(self, config: DictConfig) -> None:
        """Refuse a configuration that would call what it should not.

        Raises:
            DerivaMLConfigurationError: it names what, and where.
        """
        content = OmegaConf.to_container(config, resolve=False)
        safety.check(content, self.stored, lambda name: lies_in(name, self.roots))

    def _job(self, how: Composed) -> Job:
        overrides = tuple(shown_overrides(how.overrides))
        if self.folder is None:
            return Job(overrides)
        return Job(overrides, how.job, self.parent, self.folder / f"{how.job}.json", keeps_value=self.keeps_values)

    def _known(self, how: Composed) -> Job | None:
        """Return the job of an interrupted sweep that is committed already."""
        file = None if self.folder is None else self.folder / f"{how.job}.json"
        if file is None or not file.exists():
            return None
        job = read_job(file)
        valued = job.value is not None or not self.keeps_values
        return job if valued and job.is_done(begun_with(how.overrides, self.added)) else None


def _refuse_unknown_keys(config: DictConfig) -> None:
    """Refuse what ``+key=value`` added beside the arguments of ``run_model``.

    Raises:
        DerivaMLConfigurationError: it names the keys that are most alike.
    """
    known = signature(run_model).parameters
    if config.get("_target_") != f"{run_model.__module__}.{run_model.__qualname__}":
        return
    for key in config:
        if not str(key).startswith("_") and key not in known:
            near = nearest_keys(str(key), keys_of(OmegaConf.to_container(config, resolve=False)))
            hint = " or ".join(text for text in near if text != key) or ", ".join(known)
            raise DerivaMLConfigurationError(f"No run takes {key!r}: did you mean {hint}?")


def call_of(config: DictConfig) -> Callable[[], Any]:
    """Return the configured call with its arguments made: what it raises is then the users', not Hydra's."""
    content = config.copy()
    with open_dict(content):
        content["_zen_partial" if "_zen_target" in content else "_partial_"] = True
    call: Callable[[], Any] = instantiate(content)
    return call


class _failed:
    """The beginning of the message about a failed run; which execution it is shows only later."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __str__(self) -> str:
        return f"Execution {self._job.rid} is {self._job.status}" if self._job.rid else "The run failed"


def _say(job: Job) -> None:
    if job.rid:
        note = ". A dry run: nothing was written to the catalog." if job.rid == DRY_RUN_RID else ""
        print(f"Execution {job.rid}: {job.status}{note}")


def stored_targets() -> frozenset[str]:
    """Return every name that the configurations in Hydra's store would call: Python code of the project put them there."""
    Plugins.instance()  # launchers and sweepers that are installed store their own configurations
    return frozenset(name for node in _nodes(ConfigStore.instance().repo) for _, name in safety.targets(node))


def _nodes(tree: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in tree.values():
        if isinstance(value, dict):
            found += _nodes(value)
        elif isinstance(value.node, DictConfig | ListConfig):
            found.append(OmegaConf.to_container(value.node, resolve=False))
    return found
