"""Submit only: codec and session alone, nothing stored, no receipts. What the protocol itself costs."""

import tempfile
from pathlib import Path

import msgspec

from bench.case import BenchOptions, Outcome, Target
from bench.lifecycle import LISTEN_S, RUN_S, module, problems_of
from bench.processes import Children, per_message_us
from bench.tally import Report

MESSAGES, SMALL_MESSAGES = 600_000, 5_000

TARGETS = {"submits_per_s": Target(60_000, 100_000)}


def run(options: BenchOptions) -> Outcome:
    """The load client against `bench.echo`, each in its own process."""
    messages = options.messages or (SMALL_MESSAGES if options.small else MESSAGES)
    if options.seconds_s:
        messages = 10**8
    with (
        tempfile.TemporaryDirectory(prefix="sluice-submit-") as directory,
        Children(Path(directory)) as children,
    ):
        echo = children.start("echo", module("bench.echo"))
        port = echo.wait_event(LISTEN_S, event="listening", name="echo")["address"].rpartition(":")[2]
        client = children.start(
            "client",
            module(
                "bench.load", "--port", port, "--no-receipts", "--messages", messages, "--rate", options.rate,
                "--binds", options.binds, "--window", options.window, "--text", options.text,
                "--stop-after", options.seconds_s,
            ),
        )  # fmt: skip
        report = msgspec.json.decode(client.wait_end(RUN_S).strip().splitlines()[-1], type=Report)
        begin, end, steady = report.steady_from, report.steady_to, report.steady_messages
        server = per_message_us(echo.used_between(begin, end), steady)
        figures = {
            "submits_per_s": report.accepted_per_s,
            "server_cpu_us": server["cpu_us"],
            "server_cpu_user_us": server["cpu_user_us"],
            "server_cpu_system_us": server["cpu_system_us"],
            "client_cpu_us": per_message_us(client.used_between(begin, end), steady)["cpu_us"],
            "accept_p50_ms": report.accept_ms.p50,
            "accept_p99_ms": report.accept_ms.p99,
        }
    parameters = {name: getattr(options, name) for name in ("binds", "window", "rate", "text")}
    return Outcome(figures, parameters | {"messages": report.sent}, problems_of(report, "submit only"))
