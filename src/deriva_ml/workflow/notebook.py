"""A notebook's code without its outputs, so that running it again does not look like changing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deriva_ml.workflow.git import GitUnknown, content_checksum

_SECONDS = 60


def notebook_checksum(path: Path) -> str:
    """Return the blob checksum of the notebook ``path`` as nbstripout leaves it.

    Raises:
        GitUnknown: nbstripout cannot read it.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nbstripout", "-t", str(path)], capture_output=True, timeout=_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        raise GitUnknown(
            f"nbstripout cannot read {path}: {error.stderr.decode(errors='replace').strip()[-500:]}"
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitUnknown(f"nbstripout could not be run on {path}: {error}") from error
    return content_checksum(done.stdout)
