"""`sluice carriers`: how each connection is; pause it, let it go on, give it another rate, bind it anew."""

import rich_click as click

from gateway.cli.common import common_options, load_config, need_daemon


@click.group()
def carriers() -> None:
    """Look after carriers of a running gateway. `sluice apply` declares them."""


@carriers.command(name="list")
@common_options
def list_all(config: str | None, data: str | None) -> None:
    """List carriers: whether they are up, what limits them, their rate, what waits, the last error."""
    settings = load_config(config, data).config
    found = need_daemon(settings.store.data, "carriers.list")
    for row in found:
        click.echo(
            f"{row['name']}  {'up' if row['up'] else 'down'}  {len(row['binds'])} bound"
            f"  limited by {row['limited_by']}  {row['accepted_rate']:g}/s of {row['pace'] or 'any'}"
            f"  waiting {row['queued']}  throttled {row['throttled']}"
            + (f"  last error: {row['last_error']}" if row["last_error"] else "")
        )
    if not found:
        click.echo("There are no carriers. Declare one with [[carrier]] in a document for `sluice apply`.")


@carriers.command()
@click.argument("name")
@common_options
def pause(name: str, config: str | None, data: str | None) -> None:
    """Unbind carrier NAME and send it nothing until `resume`."""
    settings = load_config(config, data).config
    need_daemon(settings.store.data, "carriers.state", name=name, state="paused")
    click.echo(f"{name} is paused: what is for it waits, or takes another carrier of its route.")


@carriers.command()
@click.argument("name")
@common_options
def resume(name: str, config: str | None, data: str | None) -> None:
    """Bind carrier NAME again and go on."""
    settings = load_config(config, data).config
    need_daemon(settings.store.data, "carriers.state", name=name, state="active")
    click.echo(f"{name} goes on.")


@carriers.command()
@click.argument("name")
@click.argument("parts_per_second", type=click.IntRange(0, 1_000_000))
@common_options
def rate(name: str, parts_per_second: int, config: str | None, data: str | None) -> None:
    """Give carrier NAME another rate, in parts a second over all its binds; 0 is no limit."""
    settings = load_config(config, data).config
    told = need_daemon(settings.store.data, "carriers.rate", name=name, rate=parts_per_second)
    click.echo(f"{name}: {told['before']} → {told['rate']} parts a second.")


@carriers.command()
@click.argument("name")
@common_options
def rebind(name: str, config: str | None, data: str | None) -> None:
    """End the binds of carrier NAME politely and bind anew."""
    settings = load_config(config, data).config
    told = need_daemon(settings.store.data, "carriers.rebind", name=name)
    click.echo(f"{name} is binding anew; {told['binds']} binds end first.")
