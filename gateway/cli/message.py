"""`sluice message ID`: one message from acceptance to its last receipt."""

import msgspec
import rich_click as click

from gateway.cli.common import ask_daemon, common_options, load_config, offline_store, offline_traffic


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--text", is_flag=True, help="Also print what it says.")
@common_options
def message(message_id: str, text: bool, config: str | None, data: str | None) -> None:
    """Print a message's whole life: parts, attempts, receipts, deliveries, with times and reasons.

    ID is the message_id that the customer was given (19 digits, or 8 characters over SMPP 3.3).
    """
    from gateway.control_traffic import LifeReport, life_report
    from gateway.life import life_lines

    loaded = load_config(config, data)
    answer = ask_daemon(loaded.config.store.data, "message", id=message_id)
    if answer is not None:
        report = msgspec.convert(answer, LifeReport, str_keys=True)
    else:
        with offline_store(loaded.config.store.data) as store, offline_traffic(loaded.config) as traffic:
            report = life_report(traffic, store.directory(), message_id, node=loaded.config.store.node)
    for line in life_lines(report, show_text=text):
        click.echo(line)
