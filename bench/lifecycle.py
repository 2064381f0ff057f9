"""The whole lifecycle: accepted, committed, relayed, receipt matched, committed, delivered.

Three processes on one machine: the daemon as it ships, the simulated carrier's fast path, the load client.
The daemon has 10,000 words and a million blacklisted numbers to look at for every message, and its store is
on disk.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.case import BenchOptions, Outcome, Target
from bench.corpus import words, write_blacklist
from bench.machine import cache_directory, scratch_root
from bench.processes import BenchFailed, Child, Children, per_message_us
from bench.tally import Report

# Latency means something at a rate that the gateway can hold; at full speed it is the window's length.
LATENCY_RATE = 5_000
MESSAGES, LATENCY_MESSAGES = 300_000, 50_000
SMALL_MESSAGES, SMALL_WORDS, SMALL_NUMBERS = 2_000, 100, 1_000
APPLY_S, LISTEN_S, BIND_S, RUN_S = 300.0, 120.0, 60.0, 900.0

TARGETS = {
    "lifecycle_per_s": Target(20_000, 30_000),
    "daemon_cpu_us": Target(50, 40, least=False),
    "rss_mib": Target(250, 200, least=False),
    "lost": Target(0, 0, least=False),
    "duplicates": Target(0, 0, least=False),
    "unmatched": Target(0, 0, least=False),
    "accept_p99_ms_at_5000": Target(25, 10, least=False),
}

SETTINGS = """\
[smpp]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[receipts]
window = {window}
[log]
format = "json"
"""

DOCUMENT = """\
[[carrier]]
name = "bench"
host = "127.0.0.1"
port = {port}
system_id = "carrier"
password = "password"
bind = "transceiver"
binds = {binds}
window = {window}

[[route]]
prefix = ""
carriers = ["bench"]

[[group]]
path = "bench"
granted = "unlimited"
review = "trust"

[[user]]
login = "bench"
group = "bench"
limit = 1000000000

[[account]]
user = "bench"
system_id = "bench"
password = "secret"
binds = {binds}
window = {window}

[[blacklist]]
scope = "global"
numbers_file = "{numbers_file}"
"""


class Setup(msgspec.Struct, frozen=True):
    """The daemon under load and what is around it, all running."""

    daemon: Child
    carrier: Child
    port: int


def module(name: str, *arguments: object) -> list[str]:
    """The command of one of our programs in this interpreter."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def write_document(directory: Path, options: BenchOptions, carrier_port: int, *, api_key: str = "") -> Path:
    """What `sluice apply` reads for this benchmark; the long number list is built once and kept."""
    count, numbers = options.words, options.numbers
    numbers_file = cache_directory() / f"blacklist-{numbers}.txt"
    write_blacklist(numbers_file, numbers)
    document = DOCUMENT.format(
        port=carrier_port, binds=options.binds, window=options.window, numbers_file=numbers_file
    )
    listed = "".join(f'\n[[word]]\ntext = "{word}"\n' for word in words(count))
    key = f'\n[[api_key]]\nuser = "bench"\nkey = "{api_key}"\n' if api_key else ""
    path = directory / "bench.toml"
    path.write_text(document + listed + key, encoding="utf-8")
    return path


def start_all(children: Children, options: BenchOptions, *, api_key: str = "") -> Setup:
    """Carrier, then the daemon with its configuration applied; returns once the carrier has its binds.

    Raises:
      BenchFailed: one of them did not come up; the text says which and shows its log.
    """
    directory = children.directory
    carrier = children.start(
        "carrier",
        module(
            "gateway.sim", "carrier", "--port", 0, "--fast", "--report", 0,
            "--receipts-delay", options.receipts_delay_s,
        ),
    )  # fmt: skip
    listening = carrier.wait_event(LISTEN_S, event="listening", name="carrier")
    carrier_port = int(listening["address"].rpartition(":")[2])
    data, settings = directory / "data", directory / "sluice.toml"
    settings.write_text(SETTINGS.format(window=options.window))
    document = write_document(directory, options, carrier_port, api_key=api_key)
    common = ("--config", settings, "--data", data)
    children.start("apply", module("gateway", "apply", document, *common)).wait_end(APPLY_S)
    daemon = children.start("daemon", module("gateway", "serve", *common))
    listening = daemon.wait_event(LISTEN_S, event="listening", name="smpp")
    carrier.wait_event(BIND_S, event="bound", binds=str(options.binds))
    return Setup(daemon, carrier, int(listening["address"].rpartition(":")[2]))


def run_load(
    children: Children, name: str, port: int, options: BenchOptions, *, messages: int, rate: int, first: int
) -> tuple[Report, Child]:
    """One run of the load client to its end."""
    client = children.start(
        name,
        module(
            "bench.load", "--port", port, "--messages", messages, "--rate", rate, "--first", first,
            "--binds", options.binds, "--window", options.window, "--text", options.text,
            "--stop-after", options.seconds_s,
        ),
    )  # fmt: skip
    output = client.wait_end(RUN_S).strip().splitlines()
    if not output:
        raise BenchFailed("The load client ended without a report.")
    return msgspec.json.decode(output[-1], type=Report), client


def run_load_without_receipts(
    children: Children, name: str, port: int, options: BenchOptions, *, messages: int, first: int
) -> Report:
    """A load client that asks for no receipts and ends with its last answer."""
    client = children.start(
        name,
        module(
            "bench.load", "--port", port, "--messages", messages, "--first", first, "--no-receipts",
            "--binds", options.binds, "--window", options.window, "--text", options.text,
        ),
    )  # fmt: skip
    return msgspec.json.decode(client.wait_end(RUN_S).strip().splitlines()[-1], type=Report)


def problems_of(report: Report, name: str) -> list[str]:
    """Whatever makes the figures of a run worthless, as sentences."""
    found = {
        "messages were accepted and have no receipt": report.lost,
        "receipts came twice": report.duplicates,
        "receipts are for ids that were never given": report.unmatched,
        "receipts are for another destination": report.wrong_destination,
        "messages were not answered": report.unanswered,
        "messages were refused": sum(report.refused.values()),
    }
    return [f"{name}: {count} {what}." for what, count in found.items() if count]


def run(options: BenchOptions) -> Outcome:
    """Full speed, then (unless a rate was asked for) the accept latency at 5,000 messages a second."""
    if options.small:
        options = msgspec.structs.replace(
            options,
            words=min(options.words, SMALL_WORDS),
            numbers=min(options.numbers, SMALL_NUMBERS),
            messages=options.messages or SMALL_MESSAGES,
        )
    messages = options.messages or MESSAGES
    if options.seconds_s:
        messages = 10**8
    directory = Path(tempfile.mkdtemp(prefix="sluice-lifecycle-", dir=scratch_root()))
    try:
        with Children(directory) as children:
            setup = start_all(children, options)
            report, client = run_load(
                children, "client", setup.port, options, messages=messages, rate=options.rate, first=0
            )
            problems = problems_of(report, "full speed" if not options.rate else f"{options.rate}/s")
            figures = _figures(setup, client, report)
            if not options.rate and not options.small:
                paced, _client = run_load(
                    children,
                    "client-paced",
                    setup.port,
                    options,
                    messages=LATENCY_MESSAGES,
                    rate=LATENCY_RATE,
                    first=500_000_000,
                )
                problems += problems_of(paced, f"{LATENCY_RATE}/s")
                figures |= {
                    f"accept_p50_ms_at_{LATENCY_RATE}": paced.accept_ms.p50,
                    f"accept_p99_ms_at_{LATENCY_RATE}": paced.accept_ms.p99,
                    f"receipt_p99_ms_at_{LATENCY_RATE}": paced.receipt_ms.p99,
                }
            code = setup.daemon.stop()
            if code != 0:
                problems.append(f"The daemon ended with code {code}:\n{setup.daemon.tail()}")
    finally:
        if options.keep:
            sys.stderr.write(f"Logs and data are kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    parameters = {
        name: getattr(options, name)
        for name in ("binds", "window", "rate", "receipts_delay_s", "text", "words", "numbers")
    }
    return Outcome(figures, parameters | {"messages": report.sent}, problems)


def _figures(setup: Setup, client: Child, report: Report) -> dict[str, float]:
    begin, end, messages = report.steady_from, report.steady_to, report.steady_messages
    daemon = per_message_us(setup.daemon.used_between(begin, end), messages)
    return {
        "lifecycle_per_s": report.lifecycle_per_s,
        "accepted_per_s": report.accepted_per_s,
        "daemon_cpu_us": daemon["cpu_us"],
        "daemon_cpu_user_us": daemon["cpu_user_us"],
        "daemon_cpu_system_us": daemon["cpu_system_us"],
        "carrier_cpu_us": per_message_us(setup.carrier.used_between(begin, end), messages)["cpu_us"],
        "client_cpu_us": per_message_us(client.used_between(begin, end), messages)["cpu_us"],
        "rss_mib": setup.daemon.rss_max_mib(begin, end),
        "accept_p50_ms": report.accept_ms.p50,
        "accept_p99_ms": report.accept_ms.p99,
        "receipt_p50_ms": report.receipt_ms.p50,
        "receipt_p99_ms": report.receipt_ms.p99,
        "lost": report.lost,
        "duplicates": report.duplicates,
        "unmatched": report.unmatched,
        "wrong_destination": report.wrong_destination,
        "unanswered": report.unanswered,
        "refused": sum(report.refused.values()),
    }
