"""Jupyter kernels: which one a notebook runs in, and making one of the present environment."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.notebook_file import kernel_of, read_notebook

DEFAULT = "python3"


def language_of(kernel: str) -> str:
    """Return the programming language of an installed kernel."""
    return str(KernelSpecManager().get_kernel_spec(kernel).language or "python")


def kernel_for(notebook: Path, named: str | None = None) -> str:
    """Return the kernel to run a notebook in: the one named, the notebook's own if it is installed, this environment's.

    Raises:
        DerivaMLConfigurationError: there is none, or the notebook cannot be read.
    """
    known = KernelSpecManager().find_kernel_specs()
    if named is not None:
        return _required(named, known)
    own = kernel_of(read_notebook(notebook))
    return own if own in known else _required(DEFAULT, known)


def _required(name: str, known: dict[str, str]) -> str:
    if name in known:
        return name
    listed = ", ".join(sorted(known)) or "none"
    raise DerivaMLConfigurationError(
        f"No Jupyter kernel is named {name!r} (installed: {listed}). `pip install 'deriva-ml[notebook]'` brings this "
        "environment's, `deriva-ml-install-kernel` gives it a name of its own."
    )


def install_kernel(*, local: bool = False, name: str | None = None) -> tuple[str, Path]:
    """Install a kernel that runs this environment, for the user or with ``local`` in it; return its name and folder.

    Raises:
        DerivaMLConfigurationError: ipykernel is missing, or the folder cannot be written.
    """
    try:
        from ipykernel.kernelspec import install
    except ImportError as error:
        raise DerivaMLConfigurationError("Kernels need ipykernel: `pip install 'deriva-ml[notebook]'`.") from error
    shown = name or project_name()
    kernel = normalised(shown)
    try:
        folder = install(
            user=not local,
            prefix=sys.prefix if local else None,
            kernel_name=kernel,
            display_name=f"Python ({shown})",
        )
    except OSError as error:
        raise DerivaMLConfigurationError(f"The kernel {kernel} cannot be installed: {error}") from error
    return kernel, Path(folder)


def normalised(name: str) -> str:
    """Return a distribution's name as kernels are named.

    Example:
        >>> normalised("My_Project.Name")
        'my-project-name'
    """
    return re.sub(r"[-_.]+", "-", name).strip("-").lower()


def project_name() -> str:
    """Return the name of the project here, else that of the environment."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        try:
            content = tomllib.loads((folder / "pyproject.toml").read_text())
        except (OSError, ValueError):
            continue
        if name := content.get("project", {}).get("name"):
            return str(name)
    return Path(os.environ.get("VIRTUAL_ENV") or sys.prefix).name
