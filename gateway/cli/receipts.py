"""`sluice receipts`: what carriers report that matches no message, and how they write their ids."""

from datetime import UTC, datetime

import msgspec
import rich_click as click

from gateway.cli.common import ask_daemon, common_options, load_config, offline_store, offline_traffic


@click.group()
def receipts() -> None:
    """Look at receipts that match no message, and at how carriers write message ids."""


@receipts.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)
@common_options
def parked(limit: int, config: str | None, data: str | None) -> None:
    """List receipts that match no message yet, oldest first: kept receipts.park_hours and tried again.

    Many of one carrier mean that its ids look different in responses and receipts: see message_id of
    [[carrier]].
    """
    from gateway.control_traffic import ParkedReport, parked_report

    loaded = load_config(config, data)
    answer = ask_daemon(loaded.config.store.data, "receipts.parked", limit=limit)
    if answer is not None:
        report = msgspec.convert(answer, list[ParkedReport])
    else:
        with offline_store(loaded.config.store.data) as store, offline_traffic(loaded.config) as traffic:
            report = parked_report(traffic, store.directory(), limit)
    for row in report:
        at = datetime.fromtimestamp(row.received_at / 1000, UTC)
        click.echo(
            f"{at:%Y-%m-%d %H:%M:%S}  {row.carrier}  id {row.smsc_message_id or '(none)'}"
            f"  to {row.dest or '(unreadable)'}  {row.message_state}: {row.reason}"
        )
    click.echo(f"{len(report)} parked." if len(report) < limit else f"{limit} shown; --limit shows more.")


@receipts.command()
@common_options
def habits(config: str | None, data: str | None) -> None:
    """Show how each carrier writes its message ids in receipts, as learned from the pairs that matched.

    The rule is what receipts are looked up by; the counts are pairs seen: same, other case, leading zeros,
    hexadecimal answered and decimal reported, the reverse, and neither.
    """
    from gateway.smpp.message_ids import HabitLearner

    loaded = load_config(config, data)
    answer = ask_daemon(loaded.config.store.data, "receipts.habits")
    if answer is None:
        with offline_store(loaded.config.store.data) as store:
            names = {carrier.id: carrier.name for carrier in store.directory().carriers.values()}
            saved = store.habits()
        answer = {
            name: msgspec.to_builtins(HabitLearner.from_dict(saved.get(carrier, {})).habit())
            for carrier, name in names.items()
        }
    for name, habit in sorted(answer.items()):
        learned = "learned" if habit["learnt"] else "as configured"
        padding = f", padded to {habit['padded_to']}" if habit["padded_to"] else ""
        click.echo(
            f"{name}  rule {habit['rule']} ({learned})  same {habit['same']}  case {habit['case']}"
            f"  zeros {habit['zeros']}{padding}  hex-dec {habit['hex_dec']}  dec-hex {habit['dec_hex']}"
            f"  other {habit['other']}"
        )
    if not answer:
        click.echo("There are no carriers yet.")
