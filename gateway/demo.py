"""`sluice demo`: the real daemon, a simulated carrier, a small organisation and its traffic, on one screen.

Everything listens on loopback and on ports that the system picks; Ctrl-C drains and ends it.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.control_store import apply_tables
from gateway.daemon import Daemon, first_of, open_daemon, serve_extras, stop_signals, until_signal
from gateway.settings import Config
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.status import Status, status_report
from store.files import StoreError, make_data_directory

RATE = 20.0  # messages a second: enough to see, little enough to read
ROUND_MESSAGES = 600  # of one lap of the progress line
TELL_PERIOD_S = 10.0
SCREEN_PERIOD_S = 0.5
PASSWORD = "demo"  # noqa: S105 - a demonstration's account on loopback, no secret
KEY = "gw_live_00000000000000000000000000_of-the-demonstration"  # from this machine only

CARRIER_ENTRY: dict[str, Any] = {
    "name": "simulated",
    "host": "127.0.0.1",
    "system_id": "sluice",
    "password": PASSWORD,
    "binds": 2,
    "window": 50,
}
DOCUMENT: dict[str, Any] = {
    "route": [{"prefix": "", "carriers": ["simulated"]}],
    "group": [
        {"path": "总公司", "granted": "unlimited", "review": "trust"},
        {"path": "总公司/福建分公司", "granted": 10_000_000},
    ],
    "user": [
        {"login": "acme", "group": "总公司/福建分公司", "limit": 5_000_000},
        {"login": "bank", "group": "总公司/福建分公司", "limit": 1_000_000},
    ],
    "account": [
        {"user": "acme", "system_id": "acme", "password": PASSWORD, "allow": ["127.0.0.0/8"]},
        {"user": "bank", "system_id": "bank", "password": PASSWORD, "priority": 2},
    ],
    "api_key": [{"user": "acme", "key": KEY, "allow": ["127.0.0.0/8"]}],
    "word": [{"text": "中奖", "action": "mask"}, {"text": "赌博", "action": "reject"}],
    "blacklist": [{"scope": "global", "numbers": ["8613900000007"]}],
}

# A carrier as they are: most messages arrive, some do not, a few are refused for now.
CARRIER = Behaviour(
    response_latency_s=0.015,
    response_jitter_s=0.010,
    receipts_delay_s=1.5,
    states={"DELIVRD": 0.94, "UNDELIV": 0.04, "EXPIRED": 0.02},
)


def run(config: Config, data: Path) -> int:
    """Run until Ctrl-C; 0, or 1 with the reason on standard error."""
    status = 0
    try:
        trio.run(_demo, _on_loopback(config), data)
    except* StoreError as group:
        print(first_of(group), file=sys.stderr)  # noqa: T201
        status = 1
    return status


def _on_loopback(config: Config) -> Config:
    """Ports that the system picks, unless somebody chose some."""
    replace = msgspec.structs.replace
    plain = Config()
    smpp, http, console = config.smpp, config.http, config.console
    if smpp.listen == plain.smpp.listen:
        smpp = replace(smpp, listen="127.0.0.1:0")
    if http.listen == plain.http.listen:
        http = replace(http, listen="127.0.0.1:0")
    if console.listen == plain.console.listen:
        console = replace(console, listen="127.0.0.1:0")
    return replace(config, smpp=smpp, http=http, console=console)


async def _demo(config: Config, data: Path) -> None:
    make_data_directory(data)
    console = Console()
    # Events show in the table; a log line would tear it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with stop_signals() as signals:
        await _perform(config, data, console, signals)
    console.print(
        f"Stopped. Its data stays in {data}; look at a message with: sluice message ID --data {data}"
    )


async def _perform(config: Config, data: Path, console: Console, signals: AsyncIterator[int]) -> None:
    async with (
        SimCarrier(CARRIER, seed=1, system_id="sluice", password=PASSWORD) as carrier,
        open_daemon(config, data) as daemon,
    ):
        document = DOCUMENT | {"carrier": [CARRIER_ENTRY | {"port": carrier.port}]}
        await trio.to_thread.run_sync(
            lambda: apply_tables(
                daemon.configuration,
                document,
                source="demo",
                who="demo",
                home_country=config.smpp.home_country,
                in_flight={},
            )
        )
        await daemon.reload()
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.run)
            await nursery.start(serve_extras, daemon)
            traffic = trio.CancelScope()
            nursery.start_soon(_traffic, daemon, traffic)
            nursery.start_soon(_screen, console, daemon, carrier, traffic)
            await until_signal(signals)
            traffic.cancel()
            console.print("Stopping: unbinding from carrier and customers …")
            daemon.drain()
            await daemon.ended.wait()
            nursery.cancel_scope.cancel()


async def _traffic(daemon: Daemon, scope: trio.CancelScope) -> None:
    """Two customers: a bulk sender in Chinese, a bank in English, lap after lap."""
    host, port = daemon.addresses["smpp"]
    lap = 0
    with scope:
        while True:
            async with trio.open_nursery() as nursery:
                for system_id, text, share, first in (
                    ("acme", "zh", 0.8, 8613900000000),
                    ("bank", "en", 0.2, 8613700000000),
                ):
                    options = EsmeOptions(
                        host=host,
                        port=port,
                        system_id=system_id,
                        password=PASSWORD,
                        messages=int(ROUND_MESSAGES * share),
                        rate=RATE * share,
                        text=text,
                        destination=str(first + lap * ROUND_MESSAGES),
                        characters=0 if lap % 2 else 90,
                        seed=lap,
                    )
                    nursery.start_soon(_lap, options)
            lap += 1


async def _lap(options: EsmeOptions) -> None:
    async with SimEsme(options) as esme:
        await esme.run()


async def _screen(console: Console, daemon: Daemon, carrier: SimCarrier, traffic: trio.CancelScope) -> None:
    if not console.is_terminal:
        await _tell(console, daemon, carrier, traffic)
        return
    progress = Progress(
        TextColumn("lap {task.fields[lap]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("messages"),
        TimeElapsedColumn(),
        console=console,
    )
    task = progress.add_task("", total=ROUND_MESSAGES, lap=1)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while not traffic.cancel_called:
            status = status_report(daemon)
            accepted = sum(account.accepted for account in status.accounts)
            lap, done = divmod(accepted, ROUND_MESSAGES)
            progress.update(task, completed=done, lap=lap + 1)
            header = _header(status, carrier.port, daemon.console_setup_url)
            live.update(Group(*header, _accounts(status), _carriers(status), progress))
            await trio.sleep(SCREEN_PERIOD_S)


async def _tell(console: Console, daemon: Daemon, carrier: SimCarrier, traffic: trio.CancelScope) -> None:
    """For a pipe or a file, where a picture that is drawn anew would come at the very end: a line now and then."""
    for line in _header(status_report(daemon), carrier.port, daemon.console_setup_url):
        console.print(line, soft_wrap=True)
    while not traffic.cancel_called:
        await trio.sleep(TELL_PERIOD_S)
        status = status_report(daemon)
        accepted = sum(account.accepted for account in status.accounts)
        sent, receipts = (sum(getattr(one, name) for one in status.carriers) for name in ("sent", "receipts"))
        console.print(f"accepted {accepted:,}   sent {sent:,}   receipts {receipts:,}", soft_wrap=True)


def _header(status: Status, carrier_port: int, console_url: str) -> list[str]:
    listeners = "   ".join(f"{name} {address}" for name, address in status.listeners.items())
    lines = [
        f"[bold]Sluice demo[/]   {listeners}   simulated carrier 127.0.0.1:{carrier_port}",
        f"bind as [bold]acme[/] or [bold]bank[/], password [bold]{PASSWORD}[/]   "
        f"committed {status.committed_parts:,} parts in {status.commit_rounds:,} rounds, "
        f"last {status.commit_ms:.1f} ms   parked receipts {status.parked_receipts}   Ctrl-C ends it",
    ]
    if "http" in status.listeners:
        http = f"http://{status.listeners['http']}"
        lines.append(f"metrics: {http}/metrics   the API for people: {http}/v1/reference")
        lines.append(
            f"""send: curl -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' """
            f"""-d '{{"to":"8613712345678","text":"您好"}}' {http}/v1/messages"""
        )
    if console_url:
        lines.append(f"console, to make its first administrator: {console_url}")
    return lines


def _accounts(status: Status) -> Table:
    table = Table(title="Customers", title_justify="left", expand=True)
    for name, justify in (
        ("account", "left"),
        ("binds", "right"),
        ("accepted", "right"),
        ("refused", "right"),
        ("receipts delivered", "right"),
        ("waiting", "right"),
        ("quota left", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for account in status.accounts:
        table.add_row(
            account.system_id,
            str(account.binds),
            f"{account.accepted:,}",
            f"{account.refused:,}",
            f"{account.events_delivered:,}",
            f"{account.events_waiting:,}",
            f"{account.available:,}",
        )
    return table


def _carriers(status: Status) -> Table:
    table = Table(title="Carriers", title_justify="left", expand=True)
    for name, justify in (
        ("carrier", "left"),
        ("binds", "left"),
        ("window", "right"),
        ("queued", "right"),
        ("sent", "right"),
        ("per s", "right"),
        ("no receipt yet", "right"),
        ("receipts", "right"),
        ("limited by", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name == "carrier")  # type: ignore[arg-type]
    for carrier in status.carriers:
        table.add_row(
            carrier.name,
            f"{len(carrier.binds)} bound" if carrier.binds else f"[red]down[/] {carrier.trouble}",
            " ".join(f"{bind.window_used}/{bind.window_max}" for bind in carrier.binds),
            f"{carrier.queued:,}",
            f"{carrier.sent:,}",
            f"{carrier.accepted_rate:,.0f}",
            f"{carrier.awaiting_receipt:,}",
            f"{carrier.receipts:,}",
            carrier.limited_by,
        )
    return table
