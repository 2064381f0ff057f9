"""`sluice demo`: everything at once, to look at."""

from pathlib import Path

import rich_click as click

from gateway.cli.common import common_options, failures, load_config

DATA = "demo-data"


@click.command()
@common_options
def demo(config: str | None, data: str | None) -> int:
    """Run the gateway with a simulated carrier, a small organisation and traffic, until Ctrl-C.

    Its data goes to demo-data in the working directory, unless --data names another place.
    """
    loaded = load_config(config, data or DATA)
    from gateway.demo import run

    with failures():
        return run(loaded.config, Path(loaded.config.store.data))
