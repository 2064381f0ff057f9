"""`sluice send`: submit one message through the running daemon."""

import rich_click as click

from gateway.cli.common import common_options, load_config, need_daemon


@click.command()
@click.option(
    "--account", required=True, metavar="SYSTEM_ID", help="The account to send as; its rules apply."
)
@click.option("--to", required=True, metavar="NUMBER", help="Destination, with country code.")
@click.option("--text", required=True, help="What to say; long texts are split.")
@click.option("--sender", default="", help="Source address; by default the account's.")
@click.option("--receipt/--no-receipt", default=True, help="Ask for a delivery receipt.")
@common_options
def send(
    account: str, to: str, text: str, sender: str, receipt: bool, config: str | None, data: str | None
) -> None:
    """Submit one message as an account would, and print its message id.

    It passes the same checks as any other: quota, words, blacklists, routes. A refusal says which.
    """
    directory = load_config(config, data).config.store.data
    answer = need_daemon(directory, "send", account=account, to=to, text=text, sender=sender, receipt=receipt)
    click.echo(answer["id"])
