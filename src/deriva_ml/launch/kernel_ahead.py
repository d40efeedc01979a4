"""Starting the kernel of a notebook ahead: it comes up while the runner still loads what executes the notebook."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.kernel_side import TELLING_VARIABLE

_EXTENSION = "--InteractiveShellApp.extra_extensions=deriva_ml.launch.kernel_side"
_OWN_PYTHON = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
_SECONDS_TO_END = 30.0
_SECONDS_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True, slots=True)
class StartedKernel:
    """A kernel that runs. ``telling`` is the file it reads before its first cell; None where it was told all at its start."""

    manager: AsyncKernelManager
    language: str
    telling: Path | None

    @property
    def process(self) -> int:
        """The number of its process."""
        return int(getattr(self.manager.provisioner, "pid", 0) or 0)

    def tell(self, variables: Mapping[str, str]) -> None:
        """Put what has been found out since into the kernel's environment, before its first cell."""
        if self.telling is not None:
            self.telling.write_text(json.dumps(dict(variables)))


@contextmanager
def kernel_ahead(
    name: str, folder: Path, told: Mapping[str, str], told_later: Callable[[], Mapping[str, str]], telling: Path
) -> Iterator[StartedKernel]:
    """Start the kernel ``name`` in ``folder`` with ``told`` in its environment; with the block it ends.

    A kernel of this environment hears later, through ``telling``; any other is started when ``told_later`` knows its rest.

    Raises:
        DerivaMLConfigurationError: the kernel cannot be started.
    """
    manager = AsyncKernelManager(kernel_name=name, **_encrypted())
    ours = _is_ours(manager.kernel_spec)
    more = {TELLING_VARIABLE: str(telling)} if ours else told_later()
    try:
        run_sync(manager.start_kernel)(
            cwd=str(folder), env={**os.environ, **told, **more}, extra_arguments=[_EXTENSION] if ours else []
        )
    except OSError as error:
        raise DerivaMLConfigurationError(f"The kernel {name} cannot be started: {error}") from error
    try:
        yield StartedKernel(manager, _language(manager.kernel_spec), telling if ours else None)
    finally:
        run_sync(_ended)(manager)


async def _ended(manager: AsyncKernelManager) -> None:
    """Ask the kernel to end, and wait for it. (Jupyter's own way to do both interrupts it first, and it complains.)"""
    if await manager.is_alive():
        await manager.request_shutdown()
        await manager.finish_shutdown(waittime=_SECONDS_TO_END, pollinterval=_SECONDS_BETWEEN_LOOKS)
    await manager.cleanup_resources()


def _encrypted() -> dict[str, Any]:
    """Ask for an encrypted wire to the kernel, where this Jupyter knows it: other users of the machine can reach its ports."""
    return {"transport_encryption": "auto"} if AsyncKernelManager.class_traits().get("transport_encryption") else {}


def _is_ours(spec: KernelSpec | None) -> bool:
    """Return whether the kernel is IPython in this very environment."""
    command = [] if spec is None else list(spec.argv)
    return "ipykernel_launcher" in command and (command[0] == sys.executable or command[0] in _OWN_PYTHON)


def _language(spec: KernelSpec | None) -> str:
    return str(spec.language or "python") if spec is not None else "python"
