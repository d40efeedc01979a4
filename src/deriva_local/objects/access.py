"""Who may do what with a namespace, an object or a version: by its own access lists, and by what is lent from above.

A law: values in, values out. ``owner`` gives every right to the resource itself. A ``subtree-`` list gives its right
to the resource and to everything below it. Nobody without a name ever changes anything, whatever a list says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deriva_local.service.messages import Client
from deriva_local.wire.errors import bad_request, forbidden, unauthorized

Kind: TypeAlias = Literal["namespace", "object", "version"]
Right: TypeAlias = Literal["owner", "create", "update", "read"]
Acls: TypeAlias = Mapping[str, tuple[str, ...]]
"""The access lists that a resource has of its own; one that is missing is empty."""

ACCESSES: Mapping[Kind, tuple[str, ...]] = {
    "namespace": ("owner", "create", "read", "subtree-owner", "subtree-create", "subtree-update", "subtree-read"),
    "object": ("owner", "update", "read", "subtree-owner", "subtree-read"),
    "version": ("owner", "read"),
}

EVERYBODY = frozenset({"*"})

_DOING = {"owner": "change", "create": "make anything in", "update": "add a version to", "read": "read"}


@dataclass(frozen=True, slots=True)
class Standing:
    """A resource that somebody wants something of: its own lists, and the lists of what it lies in, nearest first."""

    own: Acls
    above: tuple[Acls, ...] = ()

    def gives(self, right: Right, roles: frozenset[str]) -> bool:
        """Say whether one of these roles has ``right``.

        Example:
            >>> Standing({"owner": ("me",)}, ({"subtree-read": ("*",)},)).gives("read", frozenset({"you", "*"}))
            True
        """
        if any(roles.intersection(self.own.get(name, ())) for name in ("owner", right)):
            return True
        return lends(right, roles, self.own, *self.above)

    def require(self, right: Right, client: Client | None, what: str) -> None:
        """Let somebody pass who has ``right`` to ``what``. The owner of the store always does.

        Raises:
            Refusal: 401 nobody is logged in, 403 somebody else is.
        """
        if client is None:
            if right != "read" or not self.gives(right, EVERYBODY):
                raise unauthorized(f"Nobody is logged in; not everybody may {_DOING[right]} {what}.")
        elif not client.is_store_owner and not self.gives(right, client.roles):
            raise forbidden(f"{client.display_name} may not {_DOING[right]} {what}.")


def lends(right: Right, roles: frozenset[str], *lists: Acls) -> bool:
    """Say whether a subtree list among these gives ``right``."""
    names = ("subtree-owner", f"subtree-{right}")
    return any(roles.intersection(acls.get(name, ())) for acls in lists for name in names)


def shown(kind: Kind, acls: Acls) -> dict[str, list[str]]:
    """Return every access list that such a resource has, the empty ones too."""
    return {access: list(acls.get(access, ())) for access in ACCESSES[kind]}


def checked_access(kind: Kind, access: str) -> str:
    """Return the name of an access list that such a resource has.

    Raises:
        Refusal: 400 it has none of that name.
    """
    if access not in ACCESSES[kind]:
        article = "An" if kind == "object" else "A"
        raise bad_request(f"{article} {kind} has no access {access!r}; it has {', '.join(ACCESSES[kind])}.")
    return access


def with_list(acls: Acls, access: str, roles: tuple[str, ...]) -> Acls:
    """Return the lists with one of them replaced; a role counts once.

    Example:
        >>> with_list({"owner": ("me",)}, "read", ("*", "*"))
        {'owner': ('me',), 'read': ('*',)}
    """
    return {**acls, access: tuple(dict.fromkeys(roles))}
