"""A task of the console: a file of a million numbers uploaded, previewed, confirmed and sent.

Meanwhile another browser opens the task log again and again: its p95 says whether the console stays usable. Memory is
the daemon's, above what it had before the upload; the process that reads the file is not the daemon.
"""

import re
import shutil
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from bench.case import BenchOptions, Outcome, Target
from bench.lifecycle import LISTEN_S, SMALL_NUMBERS, SMALL_WORDS, start_all
from bench.machine import scratch_root
from bench.processes import BenchFailed, Children

RECIPIENTS, SMALL_RECIPIENTS = 1_000_000, 2_000
PREVIEW_S_MAX, RUN_S_MAX = 300.0, 1_800.0
POLL_S = 0.25
PASSWORD = "a sentence that is long enough"
BOUNDARY = "sluice-bench-boundary"

TARGETS = {
    "preview_s": Target(60, 30, least=False),
    "confirm_s": Target(2, 1, least=False),
    "memory_added_mib": Target(300, 150, least=False),
    "console_p95_ms": Target(300, 100, least=False),
    "lost": Target(0, 0, least=False),
}


class Browser:
    """Forms and pages over one connection."""

    def __init__(self, port: int, cookies: dict[str, str] | None = None) -> None:
        self._port = port
        self.cookies = cookies if cookies is not None else {}

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, str]:
        """(status, location, text)."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), "accept-language": "en"}
        if kind:
            headers["content-type"] = kind
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        connection.close()
        return answer.status, answer.getheader("location") or "", text

    def token(self, path: str) -> str:
        found = re.search(r'name="csrf" content="(\w+)"', self.ask("GET", path)[2])
        if found is None:
            raise BenchFailed(f"The console's page {path} has no form.")
        return found[1]

    def post(self, path: str, page: str, **fields: str) -> str:
        """Send a form; where it leads."""
        body = urlencode({"_csrf": self.token(page), **fields}).encode()
        status, location, text = self.ask("POST", path, body, "application/x-www-form-urlencoded")
        if status != 303:
            raise BenchFailed(f"The console answered {status} to {path}: {text[:300]}")
        return location

    def upload(self, path: str, page: str, file: bytes, **fields: str) -> str:
        """Send a form with a file; where it leads."""
        pieces = [
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in {"_csrf": self.token(page), **fields}.items()
        ]
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="numbers.csv"\r\n\r\n'
        body = b"".join((*pieces, head.encode(), file, f"\r\n--{BOUNDARY}--\r\n".encode()))
        status, location, text = self.ask("POST", path, body, f"multipart/form-data; boundary={BOUNDARY}")
        if status != 303:
            raise BenchFailed(f"The console answered {status} to the upload: {text[:300]}")
        return location


class Reader(threading.Thread):
    """Another browser that opens the task log all the time."""

    def __init__(self, port: int, cookies: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._browser = Browser(port, dict(cookies))
        self.done = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        while not self.done.wait(POLL_S):
            began = time.monotonic()
            if self._browser.ask("GET", "/sms/tasks")[0] == 200:
                self.took_ms.append((time.monotonic() - began) * 1000)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def run(options: BenchOptions) -> Outcome:
    """Upload, preview, confirm, send."""
    if options.small:
        options = msgspec.structs.replace(
            options, words=min(options.words, SMALL_WORDS), numbers=min(options.numbers, SMALL_NUMBERS)
        )
    count = options.messages or (SMALL_RECIPIENTS if options.small else RECIPIENTS)
    directory = Path(tempfile.mkdtemp(prefix="sluice-task-", dir=scratch_root()))
    try:
        with Children(directory) as children:
            setup = start_all(children, options)
            address = setup.daemon.wait_event(LISTEN_S, event="listening", name="console")["address"]
            port = int(address.rpartition(":")[2])
            event = "nobody can sign in yet: make the first administrator"
            link = setup.daemon.wait_event(LISTEN_S, event=event)["url"]
            figures, problems = _send(port, "/setup/" + link.rpartition("/")[2], count, setup.daemon)
            if setup.daemon.stop() != 0:
                problems.append(f"The daemon ended badly:\n{setup.daemon.tail()}")
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    parameters = {"recipients": count, "words": options.words, "numbers": options.numbers}
    return Outcome(figures, parameters, problems)


def _send(port: int, link: str, count: int, daemon: Any) -> tuple[dict[str, float], list[str]]:
    me = Browser(port)
    me.post(link, link, login="bencher", group="bench", password=PASSWORD, password_again=PASSWORD)
    me.post("/users/2/parts", "/me", parts=str(10 * count), way="topup")
    file = "number\n" + "".join(f"8613{n:09d}\n" for n in range(count))
    idle_octets = daemon.usage().rss_octets
    reader = Reader(port, me.cookies)
    reader.start()
    begin = time.monotonic()
    bound = me.upload(
        "/sms/send", "/me", file.encode(), name="bench", text="您好，这是一条测试短信", do="submit"
    )
    uploaded = time.monotonic()
    task = bound.split("/")[2]
    me.post(f"/tasks/{task}/file", "/me", column="0", header="yes")
    while 'action="/tasks/' + task + '/confirm"' not in me.ask("GET", f"/tasks/{task}/preview")[2]:
        if time.monotonic() - begin > PREVIEW_S_MAX:
            raise BenchFailed("The preview was never ready.")
        time.sleep(POLL_S)
    ready = time.monotonic()
    me.post(f"/tasks/{task}/confirm", "/me", count=str(count))
    confirmed = time.monotonic()
    row: dict[str, Any] = {}
    while row.get("state") != "completed" or row["sent"] < count:
        if time.monotonic() - confirmed > RUN_S_MAX:
            raise BenchFailed(f"The task was not finished in time: {row}")
        time.sleep(POLL_S)
        row = msgspec.json.decode(me.ask("GET", "/sms/tasks?format=json")[2])["rows"][0]
    finished = time.monotonic()
    while row["delivered"] < count and time.monotonic() - finished < PREVIEW_S_MAX:
        time.sleep(POLL_S)
        row = msgspec.json.decode(me.ask("GET", "/sms/tasks?format=json")[2])["rows"][0]
    reader.done.set()
    reader.join()
    lost = count - row["delivered"]
    figures = {
        "upload_s": round(uploaded - begin, 2),
        "preview_s": round(ready - begin, 2),
        "confirm_s": round(confirmed - ready, 3),
        "sent_per_s": round(count / (finished - confirmed), 1),
        "memory_added_mib": round(daemon.rss_max_mib(begin) - idle_octets / 2**20, 1),
        "console_p50_ms": reader.percentile(0.5),
        "console_p95_ms": reader.percentile(0.95),
        "console_pages": len(reader.took_ms),
        "lost": lost,
    }
    return figures, [f"{lost} messages were not delivered."] if lost else []
