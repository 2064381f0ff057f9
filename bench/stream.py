"""The WebSocket stream: submits with a window on a few connections, then the whole log of events read back.

The daemon as it ships with a carrier that takes everything, so that what was submitted is relayed and its receipt
matched at the same time. Every id is checked: one ack and one final event a message.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.case import BenchOptions, Outcome, Target
from bench.http_api import KEY, delivered, http_port, stop
from bench.lifecycle import RUN_S, SMALL_NUMBERS, SMALL_WORDS, Setup, module, start_all
from bench.machine import scratch_root
from bench.processes import Child, Children, per_message_us
from bench.stream_load import StreamReport

CONNECTIONS, WINDOW = 4, 500
MESSAGES, SMALL_MESSAGES = 200_000, 2_000

TARGETS = {
    "submits_per_s": Target(15_000, 20_000),
    "events_per_s": Target(5_000, 15_000),
    "lost": Target(0, 0, least=False),
}


def run(options: BenchOptions) -> Outcome:
    """Submit, wait for the receipts, read the log."""
    if options.small:
        options = msgspec.structs.replace(
            options, words=min(options.words, SMALL_WORDS), numbers=min(options.numbers, SMALL_NUMBERS)
        )
    count = options.messages or (SMALL_MESSAGES if options.small else MESSAGES)
    directory = Path(tempfile.mkdtemp(prefix="sluice-stream-", dir=scratch_root()))
    problems: list[str] = []
    figures: dict[str, float] = {}
    try:
        with Children(directory) as children:
            setup = start_all(children, options, api_key=KEY)
            port = http_port(setup.daemon)
            report, client = _load(children, "submits", port, count)
            figures |= _figures("submits", setup, client, report)
            problems += _problems("submits", report, count)
            lost = report.messages - delivered(directory / "data", report.messages)
            report, client = _load(children, "events", port, count, "--read")
            figures |= _figures("events", setup, client, report)
            problems += _problems("events", report, count)
            figures["lost"] = lost + count - report.messages
            figures["rss_mib"] = setup.daemon.rss_max_mib()
            stop(setup.daemon, problems)
    finally:
        if options.keep:
            sys.stderr.write(f"Logs and data are kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    parameters = {name: getattr(options, name) for name in ("binds", "words", "numbers")}
    parameters |= {"messages": count, "connections": CONNECTIONS, "window": WINDOW}
    return Outcome(figures, parameters, problems)


def _load(children: Children, name: str, port: int, count: int, *more: str) -> tuple[StreamReport, Child]:
    client = children.start(
        f"client-{name}",
        module(
            "bench.stream_load", "--port", port, "--key", KEY, "--messages", count,
            "--connections", CONNECTIONS, "--window", WINDOW, *more,
        ),
    )  # fmt: skip
    output = client.wait_end(RUN_S).strip().splitlines()
    return msgspec.json.decode(output[-1], type=StreamReport), client


def _figures(name: str, setup: Setup, client: Child, report: StreamReport) -> dict[str, float]:
    begin, end, messages = report.steady_from, report.steady_to, report.steady_messages
    figures = {
        f"{name}_per_s": report.per_s,
        f"{name}_daemon_cpu_us": per_message_us(setup.daemon.used_between(begin, end), messages)["cpu_us"],
        f"{name}_client_cpu_us": per_message_us(client.used_between(begin, end), messages)["cpu_us"],
    }
    if report.latency_ms.p99:
        figures |= {f"{name}_p50_ms": report.latency_ms.p50, f"{name}_p99_ms": report.latency_ms.p99}
    return figures


def _problems(name: str, report: StreamReport, count: int) -> list[str]:
    found = []
    if report.refused:
        found.append(f"{name}: {report.refused} were refused.")
    if report.doubled:
        found.append(f"{name}: {report.doubled} came twice.")
    if report.messages != count:
        found.append(f"{name}: {report.messages} of {count} came.")
    return found
