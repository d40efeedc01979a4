"""The code of a run inside a container image: what the image's build wrote into its environment.

A law: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GATE = "DERIVA_MCP_IN_DOCKER"


@dataclass(frozen=True, slots=True)
class Image:
    """An image: ``url`` is ``name@digest``; ``checksum`` is the digest, else the commit it was built from."""

    url: str | None
    checksum: str | None
    version: str | None
    commit: str | None


def image(variables: Mapping[str, str]) -> Image | None:
    """Return the image that the environment describes, None outside one.

    Example:
        >>> image({"DERIVA_MCP_IN_DOCKER": "true", "DERIVA_MCP_IMAGE_NAME": "ghcr.io/o/r", "DERIVA_MCP_IMAGE_DIGEST": "sha256:1"})
        Image(url='ghcr.io/o/r@sha256:1', checksum='sha256:1', version=None, commit=None)
    """
    if variables.get(GATE, "").strip().lower() != "true":
        return None
    name, digest, commit, version = (
        variables.get(f"DERIVA_MCP_{key}") or None for key in ("IMAGE_NAME", "IMAGE_DIGEST", "GIT_COMMIT", "VERSION")
    )
    mark = digest or commit
    url = f"{name}@{mark}" if name and mark else name
    return Image(url, mark, version, commit)
