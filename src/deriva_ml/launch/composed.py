"""What Hydra says of the run that it is in: choices, overrides, folder, number of the job."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

_ABOUT_THE_RUN = ("description=", "dry_run=", "deriva_ml.", "deriva_ml=", "hydra.", "hydra/")


@dataclass(frozen=True, slots=True)
class Composed:
    """How the configuration of a run came about. ``job`` is the number of a sweep's job, None outside sweeps."""

    choices: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    folder: Path | None = None
    job: int | None = None

    def described(self, description: str, job: int | None = None) -> str:
        """Return a description with what was overridden, and the number of the job.

        Example:
            >>> Composed(overrides=("model_config.lr=0.1", "dry_run=true")).described("digits", job=2)
            'digits [overrides: model_config.lr=0.1] [Job 2]'
        """
        shown = shown_overrides(self.overrides)
        parts = [
            description,
            f"[overrides: {', '.join(shown)}]" if shown else "",
            f"[Job {job}]" if job is not None else "",
        ]
        return " ".join(part for part in parts if part)


def shown_overrides(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that say what is computed; not those that say where and whether it is recorded."""
    return [text for text in overrides if not text.lstrip("+~").startswith(_ABOUT_THE_RUN)]


def begun_with(overrides: Iterable[str], added: Container[str]) -> list[str]:
    """Return the overrides that a sweep's job had from the beginning, without those that ``--continue`` added.

    Example:
        >>> begun_with(["lr=0.1", "epochs=3"], {"epochs=3"})
        ['lr=0.1']
    """
    return [text for text in shown_overrides(overrides) if text not in added]


def composed() -> Composed:
    """Return what Hydra says of the present run; nothing outside Hydra."""
    if not HydraConfig.initialized():
        return Composed()
    hydra: Any = HydraConfig.get()
    return Composed(
        choices=choices_of(hydra),
        overrides=tuple(hydra.overrides.task),
        folder=Path(hydra.runtime.output_dir),
        job=OmegaConf.select(hydra, "job.num", throw_on_missing=False),
    )


def reset_multirun_state() -> None:
    """Forget the run or the sweep's job that Hydra left behind in this process: the next run is one of its own."""
    HydraConfig.instance().cfg = None
    GlobalHydra.instance().clear()


def choices_of(hydra: Any) -> dict[str, str]:
    """Return the chosen entry of each group; Hydra's own groups are left out."""
    choices = OmegaConf.to_container(hydra.runtime.choices, resolve=True)
    assert isinstance(choices, dict)
    return {
        str(group): str(name)
        for group, name in choices.items()
        if not str(group).startswith("hydra/") and name is not None
    }


def as_list(values: Any) -> list[Any]:
    """Return the elements of a configured list; those that Hydra left as configurations become plain values."""
    if values is None:
        return []
    listed: Sequence[Any] = (
        [values] if isinstance(values, str | DictConfig) or not hasattr(values, "__iter__") else list(values)
    )
    return [plain(value) for value in listed]


def plain(value: Any) -> Any:
    """Return a configuration as plain mappings and lists; anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if isinstance(value, DictConfig | ListConfig) else value
