"""`sluice apply FILE.toml`: declare things, see what changed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from getpass import getuser
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from gateway.cli.common import (
    EXIT_USAGE,
    CommandFailed,
    ask_daemon,
    common_options,
    load_config,
    offline_in_flight,
    offline_store,
)

if TYPE_CHECKING:
    from store.apply import Action, Change

MARKS: dict["Action", str] = {"added": "+", "changed": "~", "removed": "-", "unchanged": "="}
SHOWN_OF_A_KIND_MAX = 20  # of ten thousand words, a count says more than a list


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.option("--verbose", is_flag=True, help="List everything, unchanged entries too.")
@common_options
def apply(file: str, dry_run: bool, verbose: bool, config: str | None, data: str | None) -> None:
    """Declare carriers, routes, groups, users, accounts, API keys, numbers, words and blacklists.

    All of FILE or nothing; applying it again changes nothing. What FILE does not name stays as it is:
    write `remove = true` in an entry to remove it. Works while the gateway runs and while it does not.
    """
    from gateway.control_store import apply_tables, tables_of, webhook_rules
    from store.apply import Change
    from store.document import DocumentError, load_document

    settings = load_config(config, data).config
    try:
        document = load_document(file)
    except DocumentError as error:
        raise CommandFailed(str(error), exit_code=EXIT_USAGE) from error
    tables = tables_of(document)
    answer = ask_daemon(settings.store.data, "apply", tables=tables, source=file, dry_run=dry_run)
    if answer is None:
        with offline_store(settings.store.data) as store:
            changes = apply_tables(
                store,
                tables,
                source=file,
                who=f"cli:{getuser()}",
                home_country=settings.smpp.home_country,
                rules=webhook_rules(settings.webhooks),
                in_flight=offline_in_flight(settings, store) if document.of("user") else {},
                dry_run=dry_run,
            )
    else:
        changes = msgspec.convert(answer, list[Change])
    for line in report(changes, verbose=verbose):
        click.echo(line)
    if dry_run:
        click.echo("Nothing was changed: this was a dry run.")


def report(changes: Iterable["Change"], *, verbose: bool) -> Iterator[str]:
    """What changed, a line a thing and a line a field, and the counts."""
    changes = list(changes)
    counts = Counter(change.action for change in changes)
    of_a_kind = Counter((change.table, change.action) for change in changes)
    for change in changes:
        if not verbose and (
            change.action == "unchanged" or of_a_kind[change.table, change.action] > SHOWN_OF_A_KIND_MAX
        ):
            continue
        yield f"{MARKS[change.action]} {change.table} {change.name}"
        for key, old, new in change.fields:
            yield (
                f"    {key}: {_shown(new)}"
                if change.action == "added"
                else (f"    {key}: {_shown(old)} → {_shown(new)}")
            )
    if not verbose:
        for (table, action), count in of_a_kind.items():
            if action != "unchanged" and count > SHOWN_OF_A_KIND_MAX:
                yield f"{MARKS[action]} {table}: {count} {action}"
    yield ", ".join(f"{counts[action]} {action}" for action in MARKS) + "."


def _shown(value: Any) -> str:
    return value if value == "•••" else msgspec.json.encode(value).decode()
