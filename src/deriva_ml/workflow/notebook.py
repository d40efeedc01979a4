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
    command = [
        sys.executable,
        "-P",
        "-m",
        "nbstripout",
        "-t",
    ]  # -P: a module beside the notebook is none of nbstripout's
    try:
        with path.open("rb") as notebook:  # given by name it would be opened for writing
            done = subprocess.run(
                command, stdin=notebook, cwd=path.parent, capture_output=True, timeout=_SECONDS, check=True
            )
    except subprocess.CalledProcessError as error:
        raise GitUnknown(
            f"nbstripout cannot read {path}: {error.stderr.decode(errors='replace').strip()[-500:]}"
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitUnknown(f"nbstripout could not be run on {path}: {error}") from error
    return content_checksum(done.stdout)
