"""Webhooks: events a second to one fast endpoint, alone and with a dead endpoint beside it.

The daemon starts on a store that holds the receipts already, as after a night in which the receivers were away, and
posts them to a receiver on loopback that keeps a book of every event. The second run gives another account as many
events and a receiver that takes connections and never answers.
"""

import shutil
import tempfile
import time
from pathlib import Path

from bench.case import BenchOptions, Outcome, Target
from bench.commit import parts_of
from bench.lifecycle import LISTEN_S, RUN_S, module
from bench.machine import scratch_root
from bench.processes import BenchFailed, Children, per_message_us
from gateway.events.seq import seq_of
from store import webhook_rows
from store.api_db import ApiStore
from store.config_db import ConfigStore
from store.document import parse_document
from store.ids import SECOND_BITS
from store.model import NO_ERROR, Attempt, Changes, EventFor, Receipt, State
from store.model import Outcome as Ended
from store.port import StoreOptions
from store.traffic import SqliteStore

EVENTS, SMALL_EVENTS = 200_000, 2_000
RATE, ROUND = 20_000, 5_000
RECEIPTS_FROM = 1 << 19  # receipts take the upper half of a second's numbers
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = """\
[smpp]
listen = ""
[http]
listen = "127.0.0.1:0"
[console]
listen = ""
[webhooks]
allow_private = ["127.0.0.0/8"]
[log]
format = "json"
"""

TARGETS = {
    "events_per_s": Target(5_000, 10_000),
    "beside_dead_per_s": Target(5_000, 10_000),
    "lost": Target(0, 0, least=False),
}


def run(options: BenchOptions) -> Outcome:
    """Fill, start, count; twice."""
    events = options.messages or (SMALL_EVENTS if options.small else EVENTS)
    figures: dict[str, float] = {}
    problems: list[str] = []
    for name, dead in (("", False), ("beside_dead_", True)):
        directory = Path(tempfile.mkdtemp(prefix="sluice-webhooks-", dir=scratch_root()))
        try:
            found = measure(directory, events, dead=dead)
        finally:
            if not options.keep:
                shutil.rmtree(directory, ignore_errors=True)
        figures |= {name + key: value for key, value in found.items()}
    figures["lost"] = figures.pop("lost") + figures.pop("beside_dead_lost")
    if figures["lost"]:
        problems.append(f"{figures['lost']:.0f} events did not come.")
    return Outcome(figures, {"events": events}, problems)


def measure(directory: Path, events: int, *, dead: bool) -> dict[str, float]:
    """One run."""
    with Children(directory) as children:
        fast = children.start("receiver", module("bench.receiver", events))
        urls = {"fast": _url(fast)}
        if dead:
            urls["dead"] = _url(children.start("hanging", module("bench.receiver", "--hang")))
        fill(directory / "data", urls, events)
        settings = directory / "sluice.toml"
        settings.write_text(SETTINGS)
        daemon = children.start(
            "daemon", module("gateway", "serve", "--config", settings, "--data", directory / "data")
        )
        book = fast.wait_event(RUN_S, event="done")
        first_at, last_at = float(book["first_at"]), float(book["last_at"])
        time.sleep(0.2)  # one more sample
        used = per_message_us(daemon.used_between(first_at, last_at), events)
        usage = daemon.usage()
        if usage is None:
            raise BenchFailed(f"The daemon ended. The end of its log:\n{daemon.tail()}")
        return {
            "events_per_s" if not dead else "per_s": round(events / max(last_at - first_at, 0.001)),
            "daemon_cpu_us": used["cpu_us"],
            "events_a_request": round(int(book["events"]) / int(book["requests"]), 1),
            "twice": int(book["events"]) - int(book["distinct"]),
            "lost": events - int(book["distinct"]),
        }


def _url(child: "object") -> str:
    address = child.wait_event(LISTEN_S, event="listening", name="receiver")["address"]  # type: ignore[attr-defined]
    return f"http://{address}/sms"


def fill(data: Path, urls: dict[str, str], events: int) -> None:
    """A data directory with an account, an endpoint and so many unheard events for each of the URLs."""
    tables = {
        "group": [{"path": "bench", "granted": "unlimited"}],
        "user": [{"login": name, "group": "bench", "limit": 10**9} for name in urls],
        "webhook": [{"user": name, "name": name, "url": url, "secret": SECRET} for name, url in urls.items()],
    }
    with ConfigStore.open(data) as configuration:
        configuration.apply(parse_document(tables, "bench"), "bench")
        directory = configuration.directory()
    begin_s = int(time.time()) - 120 - 2 * events // RATE
    with ApiStore.open(data) as api:
        webhook_rows.save_positions(dict.fromkeys(directory.webhooks, seq_of(begin_s << SECOND_BITS)), api)
    accounts = [webhook.account for webhook in directory.webhooks.values()]
    store = SqliteStore.open(data, now_ms=begin_s * 1000, options=StoreOptions(ballast_octets=0))
    store.recover()
    for number, account in enumerate(accounts):
        for start in range(0, events, ROUND):
            at = number * events + start
            second = begin_s + at // RATE
            first = (second << SECOND_BITS) | at % RATE
            count, now_ms = min(ROUND, events - start), second * 1000
            parts = parts_of(range(first, first + count), now_ms)
            for part in parts:
                part.account = account
            store.apply(
                Changes(
                    parts=parts,
                    attempts=[
                        Attempt(p.id, 1, 1, 0, p.id & 0xFFFF, now_ms, now_ms, 0, f"{p.id:x}", None)
                        for p in parts
                    ],
                )
            )
            store.apply(
                Changes(
                    outcomes=[Ended(p.id, account, State.DELIVERED, now_ms, NO_ERROR) for p in parts],
                    receipts=[
                        Receipt(
                            p.id + RECEIPTS_FROM,
                            p.id,
                            account,
                            1,
                            0,
                            now_ms,
                            2,
                            NO_ERROR,
                            EventFor.CURSORS,
                            b"r",
                        )
                        for p in parts
                    ],
                )
            )
    while store.maintain(int(time.time() * 1000)).more:
        pass
    store.close()
