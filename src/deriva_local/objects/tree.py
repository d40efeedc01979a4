"""Names and versions looked up and made inside a transaction, for somebody who may."""

from __future__ import annotations

import apsw

from deriva_local.objects import rows
from deriva_local.objects.access import Right, Standing, lends
from deriva_local.objects.names import url_of
from deriva_local.objects.rows import Name, Version
from deriva_local.objects.uploads import Job
from deriva_local.service.messages import Client
from deriva_local.wire.errors import conflict, not_found, unauthorized


def alive(db: apsw.Connection, name: str) -> Name:
    """Return the namespace or object of this name.

    Raises:
        Refusal: 404 there is none, or it was deleted.
    """
    found = rows.find(db, name)
    if found is None or found.deleted:
        raise not_found(f"There is no {url_of(name)}.")
    return found


def namespace(db: apsw.Connection, name: str) -> Name:
    """Return the namespace of this name.

    Raises:
        Refusal: 404 there is none, 409 it is an object.
    """
    found = alive(db, name)
    if found.kind != "namespace":
        raise conflict(f"{url_of(name)} is an object: nothing can lie in it.")
    return found


# -------------------------------------------------------------------------------------------------------------- rights


def require(db: apsw.Connection, found: Name, right: Right, client: Client | None) -> None:
    """Let somebody pass who has ``right`` to a namespace or object.

    Raises:
        Refusal: 401, 403.
    """
    if client is None or not client.is_store_owner:
        Standing(found.acls, rows.above(db, found.parent)).require(right, client, url_of(found.name))


def require_version(db: apsw.Connection, version: Version, right: Right, client: Client | None) -> None:
    """Let somebody pass who has ``right`` to a version.

    Raises:
        Refusal: 401, 403.
    """
    if client is None or not client.is_store_owner:
        lists = rows.above(db, alive(db, version.name).id)
        Standing(version.acls, lists).require(right, client, url_of(version.name, version.version))


def require_all_below(db: apsw.Connection, top: Name, client: Client | None) -> None:
    """Let somebody pass who owns a name, all names below it and all their versions.

    Raises:
        Refusal: 401, 403 for the first thing that belongs to somebody else.
    """
    require(db, top, "owner", client)
    if client is None or client.is_store_owner or lends("owner", client.roles, top.acls, *rows.above(db, top.parent)):
        return
    lent: dict[int, bool] = {}
    for found in rows.below(db, top.id):
        lent[found.id] = lent.get(found.parent or 0, False) or lends("owner", client.roles, found.acls)
        if not lent[found.id]:
            Standing(found.acls).require("owner", client, url_of(found.name))
            for version in rows.versions_of(db, found.id):
                Standing(version.acls).require("owner", client, url_of(found.name, version.version))


# --------------------------------------------------------------------------------------------------------- make names


def id_of(client: Client | None) -> str:
    """Return who will own what is made.

    Raises:
        Refusal: 401 for nobody.
    """
    if client is None:
        raise unauthorized("Nobody is logged in.")
    return client.id


def let_write(db: apsw.Connection, name: str, client: Client | None, *, parents: bool) -> Name | None:
    """Return the object of this name, to which somebody may add a version; None where it is still to be made, by
    somebody who may.

    Raises:
        Refusal: 401, 403, 404 the namespace above is missing, 409 the name is a namespace or was deleted.
    """
    found = rows.find(db, name)
    if found is None:
        _where_to_make(db, name, client, parents=parents)
        return None
    if found.deleted:
        raise conflict(f"{url_of(name)} was deleted: a name is given once.")
    if found.kind == "namespace":
        raise conflict(f"{url_of(name)} is a namespace.")
    require(db, found, "update", client)
    return found


def object_to_write(db: apsw.Connection, name: str, client: Client | None, *, parents: bool) -> Name:
    """Return the object of this name, made if need be.

    Raises:
        Refusal: as :func:`let_write`.
    """
    return let_write(db, name, client, parents=parents) or make(db, name, "object", client, parents=parents)


def make(db: apsw.Connection, name: str, kind: rows.Kind, client: Client | None, *, parents: bool) -> Name:
    """Record a new name, and with ``parents`` the namespaces above it that are missing.

    Raises:
        Refusal: 401, 403, 404 the namespace above is missing.
    """
    inside, missing = _where_to_make(db, name, client, parents=parents)
    while missing:
        inside = rows.add_name(db, missing.pop(), inside.id, "namespace", id_of(client))
    return rows.add_name(db, name, inside.id, kind, id_of(client))


def _where_to_make(db: apsw.Connection, name: str, client: Client | None, *, parents: bool) -> tuple[Name, list[str]]:
    """Return the nearest namespace that there is, and the names of those that are missing, the nearest last."""
    missing: list[str] = []
    above = name.rpartition("/")[0]
    while parents and rows.find(db, above) is None:
        missing.append(above)
        above = above.rpartition("/")[0]
    inside = namespace(db, above)
    require(db, inside, "create", client)
    return inside, missing


# ------------------------------------------------------------------------------------------------------------ versions


def version(db: apsw.Connection, found: Name, wanted: str | None) -> Version:
    """Return that version of an object, the current one for None, wherever it is by now.

    Raises:
        Refusal: 404 there is no such version, 409 there is none at all, or it was renamed and is gone.
    """
    if wanted is not None:
        return rows.version(db, found.id, wanted) or _forwarded(db, found, wanted)
    own = rows.current(db, found.id)
    if own is not None:
        return own
    left = rows.forwards(db, found.id)
    if not left:
        raise conflict(f"{url_of(found.name)} has no content yet.")
    return _forwarded(db, found, left[0])


def _forwarded(db: apsw.Connection, found: Name, wanted: str) -> Version:
    if wanted not in rows.forwards(db, found.id):
        raise not_found(f"There is no {url_of(found.name, wanted)}.")
    moved = rows.wherever(db, wanted)
    if moved is None:
        raise conflict(f"{url_of(found.name, wanted)} was renamed, and deleted under its new name.")
    return moved


# ---------------------------------------------------------------------------------------------------------------- jobs


def job(db: apsw.Connection, found: Name, wanted: str, client: Client | None) -> Job:
    """Return an unfinished upload that somebody began, or that goes to an object of theirs.

    Raises:
        Refusal: 401, 403, 404 it is not there: never begun, finished, or cancelled.
    """
    begun = rows.job(db, found.id, wanted)
    if begun is None:
        raise not_found(f"{url_of(found.name)} has no unfinished upload {wanted}.")
    if client is None or begun.owner not in client.roles:
        require(db, found, "owner", client)
    return begun


def jobs(db: apsw.Connection, found: Name, client: Client | None) -> list[str]:
    """Return the unfinished uploads of an object that somebody may see: all for its owner, else their own.

    Raises:
        Refusal: 401, 403 for somebody who may not write to the object.
    """
    require(db, found, "update", client)
    begun = rows.jobs(db, found.id)
    standing = Standing(found.acls, rows.above(db, found.parent))
    if client is None or client.is_store_owner or standing.gives("owner", client.roles):
        return [job for job, _ in begun]
    return [job for job, owner in begun if owner in client.roles]
