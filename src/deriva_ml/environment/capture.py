"""The environment of a run: Python, packages, machine, GPU, and the environment variables that may be named.

What cannot be found out is named in ``problems``; capturing never fails.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deriva_ml.environment.host import host_name
from deriva_ml.environment.redact import redact_arguments, redact_environment

_DIST_INFO = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist-info|egg-info)$")

_SEPARATORS = re.compile(r"[-_.]+")
"""All one in the name of a distribution."""


def snapshot() -> dict[str, Any]:
    """Return the environment as a JSON document; ``problems`` lists what could not be found out, and why."""
    problems: list[str] = []
    return {
        "python": {
            "version": sys.version,
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "imports": dict(packages()),
        "os": _system(),
        "sys": _interpreter(),
        "sys_path": list(sys.path),
        "site": {"prefix": sys.prefix, "base_prefix": sys.base_prefix, "user_site": bool(site.ENABLE_USER_SITE)},
        "platform": dict(_machine()),
        "gpu": _gpus(problems),
        "problems": problems,
    }


@functools.cache
def _machine() -> tuple[tuple[str, Any], ...]:
    about = platform.uname()
    return (
        ("system", about.system),
        ("release", about.release),
        ("version", about.version),
        ("machine", about.machine),
        ("processor", _processor()),
        ("cpu_count", os.cpu_count()),
        ("memory_bytes", _memory()),
        ("node", host_name()),
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        )
        return next(names, platform.machine())
    return platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _system() -> dict[str, Any]:
    return {"name": os.name, "cwd": _cwd(), "environ": redact_environment(os.environ)}


def _cwd() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def _interpreter() -> dict[str, Any]:
    return {
        "argv": redact_arguments(sys.argv),
        "orig_argv": redact_arguments(sys.orig_argv),
        "flags": {
            name: getattr(sys.flags, name)
            for name in ("debug", "optimize", "no_site", "hash_randomization", "utf8_mode", "safe_path")
        },
        "byteorder": sys.byteorder,
        "maxsize": sys.maxsize,
    }


def packages() -> tuple[tuple[str, str], ...]:
    """Return every installed distribution and its version, as the names of their folders say; asked once per ``sys.path``."""
    return _packages(tuple(dict.fromkeys(sys.path)))


@functools.cache
def _packages(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for folder in path:
        for name, version in _distributions(folder or "."):
            found.setdefault(name, version)
    return tuple(sorted(found.items()))


def _distributions(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone, a thousand times faster to match than paths
    except OSError:
        return
    for name in names:
        parts = _DIST_INFO.match(name)
        if parts:
            yield _SEPARATORS.sub("-", parts["name"]).lower(), parts["version"]


def _gpus(problems: list[str]) -> dict[str, Any]:
    devices, problem = _nvidia()
    if problem:
        problems.append(problem)
    return {
        "available": bool(devices),
        "source": "nvidia-smi" if devices else None,
        "count": len(devices),
        "devices": [dict(zip(("name", "memory_total", "driver_version"), device, strict=False)) for device in devices],
        "torch": _torch(),
    }


@functools.cache
def _nvidia() -> tuple[tuple[tuple[str, ...], ...], str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), ""
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"GPUs are not known: nvidia-smi failed ({error})."
    return tuple(
        tuple(part.strip() for part in line.split(",")) for line in asked.stdout.splitlines() if line.strip()
    ), ""


def _torch() -> dict[str, Any] | None:
    """Return what torch says of itself where the run has loaded it; it is never loaded for this."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    versions = getattr(torch, "version", None)
    return {
        "version": str(getattr(torch, "__version__", "")),
        "cuda": getattr(versions, "cuda", None),
        "hip": getattr(versions, "hip", None),
    }
