"""Renaming: versions of one object become versions of another, and their old names lead there.

Nothing is copied. A version keeps its id wherever it goes, so that a chain of new names leads to one place at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from deriva_local.objects import rows, tree
from deriva_local.objects.names import url_of
from deriva_local.objects.rows import Name, Version
from deriva_local.service.messages import Client
from deriva_local.wire.errors import conflict


@dataclass(frozen=True, slots=True)
class Renaming:
    """What is to be called ``target``: all versions of ``source``, or those that are named.

    With ``copy_acls`` object and versions keep their access lists; without, they are the client's, as if put anew.
    """

    source: str
    target: str
    versions: tuple[str, ...] | None = None
    copy_acls: bool = False
    parents: bool = False


def rename(db: apsw.Connection, wanted: Renaming, client: Client | None) -> list[Version]:
    """Rename, inside a transaction; return the versions under their new name, oldest first.

    Raises:
        Refusal: 401 or 403 for somebody who does not own the source or may not write to the target, 404 the source
            is missing, 409 one of them is no object, a version is missing or was given a third name, or the target
            has contents of its own.
    """
    source = tree.alive(db, wanted.source)
    if source.kind != "object" or wanted.source == wanted.target:
        raise conflict(f"{url_of(wanted.source)} cannot be renamed to {url_of(wanted.target)}.")
    tree.require(db, source, "owner", client)
    moving = _to_move(db, source, wanted)
    for version in moving:
        tree.require_version(db, version, "owner", client)
    is_new = rows.find(db, wanted.target) is None
    target = tree.object_to_write(db, wanted.target, client, parents=wanted.parents)
    if not moving:
        return []
    _refuse_mixture(db, source, target)
    if is_new and wanted.copy_acls:
        rows.set_name_acls(db, target.id, source.acls)
    for version in moving:
        rows.move_version(db, version.version, source.id, target.id)
        if not wanted.copy_acls:
            rows.set_version_acls(db, version.version, rows.owned_by(tree.id_of(client)))
    return [
        version for version in rows.versions_of(db, target.id) if version.version in {each.version for each in moving}
    ]


def _to_move(db: apsw.Connection, source: Name, wanted: Renaming) -> list[Version]:
    """Return the versions that do not have the new name yet."""
    own = {version.version: version for version in rows.versions_of(db, source.id)}
    asked = wanted.versions if wanted.versions is not None else tuple(own) or tuple(rows.forwards(db, source.id))
    return [own[version] for version in asked if version in own or not _has_moved(db, source, version, wanted.target)]


def _has_moved(db: apsw.Connection, source: Name, version: str, target: str) -> bool:
    """Say that a version has the new name already.

    Raises:
        Refusal: 409 it has a third name, or is not there.
    """
    moved = rows.wherever(db, version) if version in rows.forwards(db, source.id) else None
    if moved is None or moved.name != target:
        raise conflict(f"{url_of(source.name, version)} is not there to be renamed.")
    return True


def _refuse_mixture(db: apsw.Connection, source: Name, target: Name) -> None:
    left = set(rows.forwards(db, source.id))
    if any(version.version not in left for version in rows.versions_of(db, target.id)):
        raise conflict(f"{url_of(target.name)} has contents of its own.")
