"""`sluice serve`: the daemon."""

from pathlib import Path

import rich_click as click

from gateway.cli.common import common_options, failures, load_config


@click.command()
@common_options
def serve(config: str | None, data: str | None) -> int:
    """Run the gateway until SIGTERM or SIGINT, then drain (smpp.drain_s) and exit.

    Logs one line for each listener with its address. Only one gateway runs on a data directory.
    """
    loaded = load_config(config, data)
    from gateway.daemon import run_serve

    with failures():
        return run_serve(loaded.config, Path(loaded.config.store.data))
