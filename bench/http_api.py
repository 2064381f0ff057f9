"""The HTTP API: single messages, batches and one very long body, each message durable before its 202.

The daemon as it ships with a carrier that takes everything, so that what was posted is relayed and its receipt
matched at the same time. Single messages twice: by our own client, which checks every id, and by wrk, which
somebody else wrote. The long body goes to a daemon of its own, for its memory.
"""

import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.case import BenchOptions, Outcome, Target
from bench.corpus import DESTINATION_PREFIX
from bench.http_load import HttpReport
from bench.lifecycle import LISTEN_S, RUN_S, SMALL_NUMBERS, SMALL_WORDS, Setup, module, start_all
from bench.machine import scratch_root
from bench.processes import BenchFailed, Child, Children, per_message_us

CONNECTIONS = 32
REQUESTS, SMALL_REQUESTS = 80_000, 600
BATCH_ROWS, BATCHES, SMALL_BATCHES = 1_000, 400, 3
BATCH_CONNECTIONS = 4
ROWS, SMALL_ROWS = 1_000_000, 2_000
WRK_S = 10
FINISH_S = 120.0
KEY = "gw_live_0123456789bench0123456789_0123456789abcdef"

TARGETS = {
    "messages_per_s": Target(8_000, 12_000),
    "messages_p99_ms": Target(50, 25, least=False),
    "wrk_messages_per_s": Target(8_000, 12_000),
    "wrk_p99_ms": Target(50, 25, least=False),
    "batches_per_s": Target(20_000, 30_000),
    "lost": Target(0, 0, least=False),
    "ndjson_rss_mib": Target(200, 150, least=False),
}

# A destination and a text of 40 characters for each request; wrk wants its script in Lua.
WRK_SCRIPT = """\
local number = tonumber(os.getenv("FIRST"))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
local text = string.rep("短信网关测试，", 6)
request = function()
  number = number + 1
  return wrk.format(nil, "/v1/messages", nil, string.format('{"to":"%s%09d","text":"%s"}', "PREFIX", number, text))
end
"""


def run(options: BenchOptions) -> Outcome:
    """Singles, singles by wrk, batches, then a body of a million rows into a daemon without much else."""
    if options.small:
        options = msgspec.structs.replace(
            options, words=min(options.words, SMALL_WORDS), numbers=min(options.numbers, SMALL_NUMBERS)
        )
    directory = Path(tempfile.mkdtemp(prefix="sluice-http-", dir=scratch_root()))
    problems: list[str] = []
    figures: dict[str, float] = {}
    try:
        with Children(directory) as children:
            setup = start_all(children, options, api_key=KEY)
            port = http_port(setup.daemon)
            requests = options.messages or (SMALL_REQUESTS if options.small else REQUESTS)
            accepted = 0
            for name, count, batch, connections in (
                ("messages", requests, 1, CONNECTIONS),
                ("batches", SMALL_BATCHES if options.small else BATCHES, BATCH_ROWS, BATCH_CONNECTIONS),
            ):
                first = 100_000_000 * batch % 999_000_000
                report, client = _load(children, name, port, count, batch, connections, first)
                accepted += report.messages
                figures |= _figures(name, setup, client, report)
                problems += _problems(name, report)
                if name == "messages":
                    taken = _wrk(directory, port, figures, seconds=1 if options.small else WRK_S)
                    accepted += taken
            figures["rss_mib"] = setup.daemon.rss_max_mib()
            figures["lost"] = accepted - delivered(directory / "data", accepted)
            if figures["lost"] > 0:
                problems.append(f"{figures['lost']} accepted messages have no receipt.")
            stop(setup.daemon, problems)
        long_body = directory / "long"
        long_body.mkdir()
        with Children(long_body) as children:
            setup = start_all(
                children, msgspec.structs.replace(options, words=100, numbers=1000), api_key=KEY
            )
            rows = SMALL_ROWS if options.small else ROWS
            figures |= _ndjson(long_body, setup, rows, problems)
            stop(setup.daemon, problems)
    finally:
        if options.keep:
            sys.stderr.write(f"Logs and data are kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    parameters = {name: getattr(options, name) for name in ("binds", "window", "words", "numbers")}
    return Outcome(
        figures,
        parameters | {"requests": requests, "connections": CONNECTIONS, "batch": BATCH_ROWS, "rows": rows},
        problems,
    )


def http_port(daemon: Child) -> int:
    event = daemon.wait_event(LISTEN_S, event="listening", name="http")
    return int(event["address"].rpartition(":")[2])


def _load(
    children: Children, name: str, port: int, requests: int, batch: int, connections: int, first: int
) -> tuple[HttpReport, Child]:
    client = children.start(
        f"client-{name}",
        module(
            "bench.http_load", "--port", port, "--key", KEY, "--requests", requests, "--batch", batch,
            "--connections", connections, "--first", first,
        ),
    )  # fmt: skip
    output = client.wait_end(RUN_S).strip().splitlines()
    return msgspec.json.decode(output[-1], type=HttpReport), client


def _figures(name: str, setup: Setup, client: Child, report: HttpReport) -> dict[str, float]:
    begin, end = report.steady_from, report.steady_to
    daemon = per_message_us(setup.daemon.used_between(begin, end), report.steady_messages)
    return {
        f"{name}_per_s": report.per_s,
        f"{name}_p50_ms": report.latency_ms.p50,
        f"{name}_p99_ms": report.latency_ms.p99,
        f"{name}_daemon_cpu_us": daemon["cpu_us"],
        f"{name}_client_cpu_us": per_message_us(client.used_between(begin, end), report.steady_messages)[
            "cpu_us"
        ],
    }


def _problems(name: str, report: HttpReport) -> list[str]:
    found = [f"{name}: {count} were refused with {status}." for status, count in report.refused.items()]
    if report.doubled_ids:
        found.append(f"{name}: {report.doubled_ids} ids were given twice.")
    return found


def _wrk(directory: Path, port: int, figures: dict[str, float], *, seconds: int) -> int:
    """Let wrk post for some seconds; how many it says were taken. Nothing where there is no wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.stderr.write("wrk is not installed (Debian: apt-get install wrk); its figures are left out.\n")
        return 0
    script = directory / "post.lua"
    script.write_text(WRK_SCRIPT.replace("PREFIX", DESTINATION_PREFIX), encoding="utf-8")
    done = subprocess.run(
        [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=False, timeout=seconds + 60,
        env={"KEY": KEY, "FIRST": "700000000"},
    )  # fmt: skip
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", done.stdout)
    if done.returncode or not (requests and rate and p99) or "Non-2xx" in done.stdout:
        raise BenchFailed(f"wrk did not find what it wanted:\n{done.stdout}{done.stderr}")
    figures["wrk_messages_per_s"] = float(rate[1])
    figures["wrk_p99_ms"] = float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return int(requests[1])


def delivered(data: Path, wanted: int) -> int:
    """Parts with a final state, once there are as many as wanted or no more come."""
    deadline, count = time.monotonic() + FINISH_S, 0
    while time.monotonic() < deadline:
        count = 0
        for file in sorted((data / "days").glob("????-??-??.db")):
            connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
            count += connection.execute("SELECT count(*) FROM outcome").fetchone()[0]
            connection.close()
        if count >= wanted:
            break
        time.sleep(0.5)
    return min(count, wanted)


def _ndjson(directory: Path, setup: Setup, rows: int, problems: list[str]) -> dict[str, float]:
    """One body of so many rows, sent by curl, whose answer counts them."""
    body = directory / "rows.ndjson"
    with body.open("w", encoding="utf-8") as lines:
        lines.write('{"defaults":{"text":"您的订单已发货，请注意查收。"}}\n')
        lines.writelines(f'{{"to":"{DESTINATION_PREFIX}{number:09}"}}\n' for number in range(rows))
    before = time.monotonic()
    idle_mib = setup.daemon.rss_max_mib()
    done = subprocess.run(
        ["curl", "-sS", "-T", str(body), "-X", "POST", "-H", "Content-Type: application/x-ndjson",
         "-H", "Expect:", "-H", f"Authorization: Bearer {KEY}",
         f"http://127.0.0.1:{http_port(setup.daemon)}/v1/batches"],
        capture_output=True, check=False, timeout=RUN_S,
    )  # fmt: skip
    took_s = time.monotonic() - before
    if done.returncode:
        raise BenchFailed(f"curl could not post the long body: {done.stderr.decode()}")
    accepted = done.stdout.rstrip().rpartition(b"\n")[2]
    found = re.search(rb'"accepted":\s*(\d+)', accepted)
    if found is None or int(found[1]) != rows:
        problems.append(f"Of {rows} rows of one body the answer says: {accepted[:300].decode()}")
    return {
        "ndjson_rows_per_s": round(rows / took_s),
        "ndjson_rss_mib": setup.daemon.rss_max_mib(before),
        "ndjson_idle_rss_mib": idle_mib,
    }


def stop(daemon: Child, problems: list[str]) -> None:
    code = daemon.stop()
    if code != 0:
        problems.append(f"The daemon ended with code {code}:\n{daemon.tail()}")
