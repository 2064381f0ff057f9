"""`sluice backup DEST`: a consistent copy, while the daemon runs or not."""

from pathlib import Path

import rich_click as click

from gateway.cli.common import ask_daemon, common_options, load_config, offline_store, offline_traffic


@click.command()
@click.argument("dest", type=click.Path(file_okay=False))
@common_options
def backup(dest: str, config: str | None, data: str | None) -> None:
    """Copy config.db, api.db and every day file into DEST, which must be empty or not exist.

    Each file is a consistent copy. The key of carriers' passwords (secrets.key) is not copied: keep it
    elsewhere, so that who finds a backup finds no password.
    """
    from gateway.control_traffic import copy_files

    loaded = load_config(config, data)
    destination = Path(dest).absolute()
    files = ask_daemon(loaded.config.store.data, "backup", dest=str(destination))
    if files is None:
        with offline_store(loaded.config.store.data) as store, offline_traffic(loaded.config) as traffic:
            files = copy_files(Path(loaded.config.store.data), store, traffic, destination)
    for file in files:
        click.echo(file)
