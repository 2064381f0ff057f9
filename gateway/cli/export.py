"""`sluice export`: everything declared, as a document for `sluice apply`."""

from getpass import getuser

import rich_click as click

from gateway.cli.common import ask_daemon, common_options, load_config, offline_store


@click.command()
@click.option("--secrets", is_flag=True, help="Also write carriers' passwords, in clear.")
@common_options
def export(secrets: bool, config: str | None, data: str | None) -> None:
    """Print carriers, routes, groups, users, accounts, API keys, words and lists as TOML.

    `sluice apply` takes it back unchanged. Passwords of accounts and API keys come as hashes only.
    """
    directory = load_config(config, data).config.store.data
    pieces = ask_daemon(directory, "export", secrets=secrets)
    if pieces is not None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    with offline_store(directory) as store:
        store.record(f"cli:{getuser()}", "export", "config.db", secrets=secrets)
        for piece in store.export(secrets=secrets):
            click.echo(piece, nl=False)
