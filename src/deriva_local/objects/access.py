"""Who may do what with an object or namespace, as Hatrac shows it: everything is the owner's.

A law: values in, values out.
"""

from __future__ import annotations

from typing import Literal

from deriva_local.wire.errors import bad_request

ACCESSES: dict[Literal["namespace", "object", "version"], tuple[str, ...]] = {
    "namespace": ("owner", "create", "read", "subtree-owner", "subtree-create", "subtree-update", "subtree-read"),
    "object": ("owner", "update", "read", "subtree-owner", "subtree-read"),
    "version": ("owner", "read"),
}


def acls(kind: Literal["namespace", "object", "version"], owner: str) -> dict[str, list[str]]:
    """Return every access list of a resource: its owner has it, the other lists are empty."""
    return {access: [owner] if access == "owner" and owner else [] for access in ACCESSES[kind]}


def acl(kind: Literal["namespace", "object", "version"], owner: str, access: str) -> list[str]:
    """Return one access list.

    Raises:
        Refusal: 400 this kind of resource has no such access.
    """
    if access not in ACCESSES[kind]:
        raise bad_request(f"A {kind} has no access {access!r}; it has {', '.join(ACCESSES[kind])}.")
    return acls(kind, owner)[access]
