"""`sluice admin create LOGIN`: the first administrator, made on the machine itself."""

import sys
from getpass import getuser

import rich_click as click

from gateway.cli.common import (
    EXIT_USAGE,
    CommandFailed,
    ask_daemon,
    common_options,
    load_config,
    offline_store,
)

PASSWORD_CHARACTERS_MIN = 8  # OWASP ASVS 5.0, 6.2.1; 15 and more is advised


@click.group()
def admin() -> None:
    """Make administrators."""


@admin.command()
@click.argument("login")
@click.option(
    "--group", metavar="PATH", help="Their group; by default the first root group, made if need be."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@common_options
def create(login: str, group: str | None, password_stdin: bool, config: str | None, data: str | None) -> None:
    """Make LOGIN an administrator, or give the administrator LOGIN a new password.

    An administrator of a root group is a system administrator. Nobody exists until this is run. Somebody who
    lost their telephone gets in again by it: it takes the second factor away, and ends their sessions.
    """
    from gateway.control_store import create_admin
    from store.secrets import hash_password

    directory = load_config(config, data).config.store.data
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise CommandFailed(
            f"The password has fewer than {PASSWORD_CHARACTERS_MIN} characters. Choose a longer one.",
            exit_code=EXIT_USAGE,
        )
    # Only the hash travels to the daemon.
    password_hash = hash_password(password)
    path = ask_daemon(directory, "admin.create", login=login, password_hash=password_hash, group=group or "")
    if path is None:
        with offline_store(directory) as store:
            path = create_admin(
                store, who=f"cli:{getuser()}", login=login, password_hash=password_hash, group=group or ""
            )
    click.echo(f"{login} is an administrator of {path}.")
