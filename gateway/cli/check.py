"""`sluice check`: is everything as it should be, and which value comes from where."""

from pathlib import Path

import msgspec
import rich_click as click

from gateway.cli.common import CommandFailed, ask_daemon, common_options, load_config, offline_store

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}


@click.command()
@common_options
def check(config: str | None, data: str | None) -> None:
    """Check configuration, data directory, disk, SQLite and config.db; print the merged configuration.

    Exit code 0 when nothing is wrong (warnings aside), 1 when something is, 2 for a bad configuration.
    """
    from rich.console import Console

    from gateway.checks import Finding, check_machine
    from gateway.control_store import check_store
    from store.config_db import FILE

    loaded = load_config(config, data)
    directory = loaded.config.store.data
    console = Console(soft_wrap=True, highlight=False)
    rows = [(path, msgspec.json.encode(value).decode(), source) for path, value, source in loaded.values()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for path, value, source in rows:
        click.echo(f"{path:{widths[0]}}  {value:{widths[1]}}  {source}")
    click.echo()
    findings = list(check_machine(loaded.config))
    wrong = ask_daemon(directory, "check")
    if wrong is not None:
        findings.append(Finding("ok", "The gateway is running."))
    elif (Path(directory) / FILE).exists():
        with offline_store(directory) as store:
            wrong = check_store(store)
    findings += [Finding("error", text) for text in wrong or ()]
    if wrong == []:
        findings.append(Finding("ok", "config.db is sound: pages, audit log and quota."))
    for finding in findings:
        console.print(f"[{STYLES[finding.level]}]{finding.level:>7}[/]  ", end="")
        console.print(finding.text, markup=False)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise CommandFailed(f"{errors} of these must be put right before the gateway can be trusted.")
