"""Whether every content of a store is there, and is what it was when it came."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_local.objects.content import hashed
from deriva_local.objects.names import url_of
from deriva_local.objects.rows import Version
from deriva_local.objects.store import Objects


def problem_of(objects: Objects, version: Version, *, read: bool = True) -> str | None:
    """Return what is wrong with a content; None for nothing, and for one that was deleted meanwhile.

    Without ``read`` only its name and length are looked at.
    """
    path, name = objects.content(version), url_of(version.name, version.version)
    if path.is_symlink() or not path.is_file():
        return f"The content of {name} is not there: {path} is missing." if objects.has(version) else None
    length = path.stat().st_size
    if length != version.length:
        return f"The content of {name} is damaged: {path} has {length} bytes, not {version.length}."
    if not read:
        return None
    differences = version.checksums.differences(hashed(path))
    return f"The content of {name} is damaged: {path}. {' '.join(differences)}" if differences else None


def problems(objects: Objects, *, read: bool = True) -> Iterator[str | None]:
    """Look at every content, one after the other; yield what is wrong with it, None for nothing."""
    for version in objects.all_versions():
        yield problem_of(objects, version, read=read)
