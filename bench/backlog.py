"""A million messages that wait: what they cost in memory, and how soon a killed daemon accepts again.

The carrier is not there, so every accepted message stays queued. The daemon is then killed with SIGKILL and
started again on the same files; the time runs from its start to its first answered submit_sm. The load client
of the second run proves that it really accepts.
"""

import shutil
import signal
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.case import BenchOptions, Outcome, Target
from bench.lifecycle import LISTEN_S, SETTINGS, module, run_load_without_receipts, write_document
from bench.machine import scratch_root
from bench.processes import Child, Children

MESSAGES, SMALL_MESSAGES = 1_000_000, 5_000
PROBE_MESSAGES = 100
APPLY_S = 300.0

TARGETS = {
    "rss_queued_mib": Target(1024, 500, least=False),
    "restart_to_accepting_s": Target(10, 3, least=False),
    "lost": Target(0, 0, least=False),
}

# Nobody listens on the discard port of loopback: the carrier stays away.
NO_CARRIER_PORT = 9


def run(options: BenchOptions) -> Outcome:
    """Fill, kill, start again, accept; the figures of each step."""
    messages = options.messages or (SMALL_MESSAGES if options.small else MESSAGES)
    directory = Path(tempfile.mkdtemp(prefix="sluice-backlog-", dir=scratch_root()))
    try:
        with Children(directory) as children:
            settings = directory / "sluice.toml"
            settings.write_text(SETTINGS.format(window=options.window))
            document = write_document(directory, options, NO_CARRIER_PORT)
            common = ("--config", settings, "--data", directory / "data")
            children.start("apply", module("gateway", "apply", document, *common)).wait_end(APPLY_S)
            daemon = children.start("daemon", module("gateway", "serve", *common))
            began = time.monotonic()
            filled = run_load_without_receipts(
                children, "filler", _port(daemon), options, messages=messages, first=0
            )
            filled_s = time.monotonic() - began
            rss_queued = daemon.rss_max_mib()
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()

            started = time.monotonic()
            again = children.start("daemon-again", module("gateway", "serve", *common))
            port = _port(again)
            listening_s = time.monotonic() - started
            probe = run_load_without_receipts(
                children, "probe", port, options, messages=PROBE_MESSAGES, first=messages
            )
            accepting_s = time.monotonic() - started
            waiting = _queued(directory / "data")
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    accepted = filled.accepted + probe.accepted
    return Outcome(
        {
            "queued": waiting,
            "fill_per_s": round(messages / filled_s),
            "rss_queued_mib": rss_queued,
            "restart_to_listening_s": round(listening_s, 2),
            "restart_to_accepting_s": round(accepting_s, 2),
            "rss_restarted_mib": again.rss_max_mib(),
            "lost": accepted - waiting,
        },
        {"messages": messages, "words": options.words, "numbers": options.numbers},
        [f"{accepted - waiting} accepted messages are not in the store."] if accepted != waiting else [],
    )


def _port(daemon: Child) -> int:
    event = daemon.wait_event(LISTEN_S, event="listening", name="smpp")
    return int(event["address"].rpartition(":")[2])


def _queued(data: Path) -> int:
    """Parts in the day files, counted by a reader of its own."""
    count = 0
    for file in sorted((data / "days").glob("????-??-??.db")):
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        count += connection.execute("SELECT count(*) FROM part").fetchone()[0]
        connection.close()
    return count
