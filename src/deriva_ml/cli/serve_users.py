"""``deriva-ml serve user`` and ``token``: who may come in when the catalog is served."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from deriva_local.service.tokens import Tokens
from deriva_local.users.accounts import Accounts, Token, User
from deriva_ml.cli.options import emit, json_option
from deriva_ml.cli.serve import STORE_HELP, store_folder

DAY = 24 * 3600

store_option = click.option("--store", metavar="DIR", help=STORE_HELP)
password_option = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")


@click.group("user")
def user() -> None:
    """Add, list, change and remove the users of a store. Changes count at once, for a running server too."""


@user.command("add")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="A group to be a member of; give it several times for several.")
@password_option
@store_option
@click.pass_context
def add(context: click.Context, name: str, groups: tuple[str, ...], password_stdin: bool, store: str | None) -> None:
    """Add a user. Members of the group 'admin' create catalogs, and own the root of the object store.

    A user who is called as you are on this machine is you, and owns what you own.
    """
    accounts = _accounts(context, store)
    accounts.add(name, _password(password_stdin), groups)
    click.echo(f"User {_told(accounts.user(name))} is added.")


@user.command("list")
@json_option
@store_option
@click.pass_context
def list_users(context: click.Context, as_json: bool, store: str | None) -> None:
    """List the users and their groups."""
    users = _accounts(context, store).users()
    if as_json:
        emit([{"name": each.name, "groups": list(each.groups)} for each in users], True)
    else:
        click.echo("\n".join(_told(each) for each in users) or "No user yet: deriva-ml serve user add NAME.")


@user.command("remove")
@click.argument("name")
@store_option
@click.pass_context
def remove(context: click.Context, name: str, store: str | None) -> None:
    """Remove a user; sessions and tokens end at once. What the user made stays."""
    _accounts(context, store).remove(name)
    click.echo(f"User {name} is removed.")


@user.command("groups")
@click.argument("name")
@click.argument("groups", nargs=-1)
@store_option
@click.pass_context
def groups(context: click.Context, name: str, groups: tuple[str, ...], store: str | None) -> None:
    """Make a user a member of exactly these groups; of none, if none is named."""
    click.echo(f"User {_told(_accounts(context, store).set_groups(name, groups))}.")


@user.command("password")
@click.argument("name")
@password_option
@store_option
@click.pass_context
def password(context: click.Context, name: str, password_stdin: bool, store: str | None) -> None:
    """Give a user another password. Sessions end; tokens stay."""
    accounts = _accounts(context, store)
    accounts.user(name)
    accounts.set_password(name, _password(password_stdin))
    click.echo(f"User {name} has another password.")


@click.command("token")
@click.argument("name", required=False)
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is good.")
@click.option("--list", "listing", is_flag=True, help="List the tokens of NAME instead.")
@click.option("--revoke", is_flag=True, help="End all tokens of NAME instead.")
@click.option("--id", help="End only the token that --list shows with this id.")
@json_option
@store_option
@click.pass_context
def token(
    context: click.Context,
    name: str | None,
    days: int,
    listing: bool,
    revoke: bool,
    id: str | None,
    as_json: bool,
    store: str | None,
) -> None:
    """Print a bearer token: a new one of user NAME, or without a name the owner's, which stays the same.

    The owner's is the word in the store's token file; removing that file ends it.
    """
    _check_token_options(name, listing, revoke, id)
    folder = store_folder(context, store)
    if name is None:
        click.echo(Tokens(_made(folder)).create())
    elif listing:
        _list_tokens(Accounts(folder).tokens(name), name, as_json)
    elif revoke:
        ended = Accounts(folder).take_back_tokens(name, id)
        click.echo(f"{ended} token{'s' if ended != 1 else ''} of {name} ended.")
    else:
        click.echo(Accounts(folder).give(name, "token", days * DAY))


def _check_token_options(name: str | None, listing: bool, revoke: bool, id: str | None) -> None:
    if name is None and (revoke or listing):
        raise click.UsageError(
            f"--{'revoke' if revoke else 'list'} needs the NAME of a user; "
            "the owner's token ends with the store's token file."
        )
    if (id is not None and not revoke) or (listing and revoke):
        raise click.UsageError("--list shows tokens, --revoke ends them, --id says which one to end.")


def _list_tokens(tokens: list[Token], name: str, as_json: bool) -> None:
    shown = [{"id": each.id, "since": _moment(each.since), "expires": _moment(each.ends)} for each in tokens]
    if as_json:
        emit(shown, True)
    else:
        told = (f"{each['id']}  since {each['since']}, until {each['expires']}" for each in shown)
        click.echo("\n".join(told) or f"{name} has no token.")


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _accounts(context: click.Context, store: str | None) -> Accounts:
    return Accounts(_made(store_folder(context, store)))


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _told(user: User) -> str:
    return f"{user.name} ({', '.join(user.groups)})" if user.groups else user.name
