"""`sluice webhooks`: endpoints and how they are; a test; dead letters; posting a range again."""

from typing import Any

import rich_click as click

from gateway.cli.common import CommandFailed, common_options, load_config, need_daemon


@click.group()
def webhooks() -> None:
    """Look after webhooks of a running gateway. `sluice apply` and /v1/webhooks declare them."""


@webhooks.command(name="list")
@common_options
def list_all(config: str | None, data: str | None) -> None:
    """List endpoints: account, name, condition, what waits, what is dead, where they lead."""
    settings = load_config(config, data).config
    found = need_daemon(settings.store.data, "webhooks.list")
    for row in found:
        click.echo(
            f"{row['account']}  {row['name']}  {row['condition']}  delivered {row['delivered']}"
            f"  waiting {row['waiting']}  dead {row['dead_letters']}  {row['url']}"
            + (f"  last error: {row['last_error']}" if row["last_error"] else "")
        )
    if not found:
        click.echo("There are no webhooks. Declare one with [[webhook]] in a document for `sluice apply`.")


@webhooks.command()
@click.argument("account")
@click.argument("name")
@common_options
def test(account: str, name: str, config: str | None, data: str | None) -> None:
    """Post a test event to endpoint NAME of ACCOUNT, and say what its receiver answered."""
    settings = load_config(config, data).config
    result = need_daemon(settings.store.data, "webhooks.test", account=account, name=name)
    took_ms = round(result["took_s"] * 1000)
    if result["verdict"] != "taken":
        raise CommandFailed(f"Not taken, after {took_ms} ms. {result['text']}")
    click.echo(f"Taken with status {result['status']} after {took_ms} ms.")


@webhooks.command()
@click.argument("account")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@common_options
def dead(account: str, name: str, limit: int, config: str | None, data: str | None) -> None:
    """List dead letters of endpoint NAME of ACCOUNT, newest first; they are kept 30 days."""
    settings = load_config(config, data).config
    found = need_daemon(settings.store.data, "webhooks.dead", account=account, name=name, limit=limit)
    for row in found:
        click.echo(
            f"{row['at']}  {row['kind']}  {row['events']} events, {row['first']} to {row['last']}"
            f"  {row['attempts']} attempts: {row['error']}"
        )
    click.echo(f"{len(found)} dead letters." if len(found) < limit else f"{limit} shown; --limit shows more.")


@webhooks.command()
@click.argument("account")
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="All events of the range, not only dead letters.")
@click.option("--since", metavar="TIME", help="RFC 3339 with offset.")
@click.option("--until", metavar="TIME", help="RFC 3339 with offset.")
@click.option("--first", type=click.IntRange(0), help="Lowest seq.")
@click.option("--last", type=click.IntRange(0), help="Highest seq.")
@common_options
def replay(
    account: str,
    name: str,
    everything: bool,
    since: str | None,
    until: str | None,
    first: int | None,
    last: int | None,
    config: str | None,
    data: str | None,
) -> None:
    """Post dead letters (or, with --all, every event) of a range again to endpoint NAME of ACCOUNT."""
    settings = load_config(config, data).config
    bounds: dict[str, Any] = {"since": since, "until": until, "first": first, "last": last}
    asked = {key: value for key, value in bounds.items() if value is not None}
    asked["dead_letters"] = not everything
    told = need_daemon(settings.store.data, "webhooks.replay", account=account, name=name, range=asked)
    click.echo(
        f"{told['events']} events in {told['deliveries']} deliveries will be posted, up to seq {told['through']}."
    )
