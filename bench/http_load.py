"""The HTTP load client: keep-alive connections with one request each on its way, every id checked.

Requests are prebuilt and patched in place, answers are read by their head's content-length, one thread, no event
loop: it costs some 10 µs a request, so that what is measured is the daemon.

    python -m bench.http_load --port 8080 --key sk_… --requests 50000
"""

import selectors
import socket
import sys
import time
from typing import Annotated, Any

import msgspec

from bench.corpus import DESTINATION_PREFIX
from gateway.sim.figures import Percentiles, percentiles
from gateway.sim.options import help_, parse
from gateway.sim.texts import texts

NUMBER_DIGITS = 9
TEXTS = 1024
RECEIVE_OCTETS = 65_536


class HttpLoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A load client of the HTTP API."""

    port: Annotated[int, help_("where the gateway's HTTP API listens, on 127.0.0.1")] = 8080
    key: Annotated[str, help_("API key")] = ""
    requests: Annotated[int, help_("how many requests in all")] = 10_000
    connections: Annotated[int, help_("keep-alive connections")] = 32
    batch: Annotated[int, help_("messages a request: 1 posts to /v1/messages, more to /v1/batches")] = 1
    first: Annotated[int, help_("number of the first destination")] = 0
    patience_s: Annotated[float, help_("give up when nothing has come for so long")] = 30.0


class HttpReport(msgspec.Struct):
    """What a run found. Rates and CPU count between `steady_from` and `steady_to`, 10 to 90 % of the requests."""

    requests: int
    messages: int
    refused: dict[int, int]  # HTTP status or, for rows of a batch, 0
    doubled_ids: int
    per_s: float  # messages a second, of the steady part
    latency_ms: Percentiles
    steady_from: float  # CLOCK_MONOTONIC
    steady_to: float
    steady_messages: int


class _Post:
    """One kind of request, whose destinations are patched in place."""

    def __init__(self, options: HttpLoadOptions) -> None:
        self._batch = options.batch
        self._texts = texts(TEXTS, "zh", seed=1)
        path = "/v1/messages" if options.batch == 1 else "/v1/batches"
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {options.key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def make(self, number: int) -> bytes:
        """The request for destinations number, number + 1, …"""
        if self._batch == 1:
            body = self._row(number)
        else:
            rows = b",".join(self._row(number + at) for at in range(self._batch))
            body = b'{"messages":[' + rows + b"]}"
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def _row(self, number: int) -> bytes:
        text = self._texts[number % TEXTS]
        return f'{{"to":"{DESTINATION_PREFIX}{number:0{NUMBER_DIGITS}}","text":"{text}"}}'.encode()


class _Accepted(msgspec.Struct):
    """What is read of an answer to a batch."""

    accepted: int
    rejected: list[Any] = []


_accepted = msgspec.json.Decoder(_Accepted)


class HttpLoad:
    """`run` blocks until every request is answered. Raises ConnectionError, TimeoutError."""

    def __init__(self, options: HttpLoadOptions) -> None:
        self._options = options
        self._post = _Post(options)
        self._made = 0
        self._ids: set[bytes] = set()
        self._messages = 0
        self._refused: dict[int, int] = {}
        self._doubled = 0
        self._latencies: list[float] = []
        self._marks: list[tuple[float, int]] = []

    def run(self) -> HttpReport:
        options = self._options
        selector = selectors.DefaultSelector()
        rests: dict[socket.socket, bytes] = {}
        sent_at: dict[socket.socket, float] = {}
        for _ in range(min(options.connections, options.requests)):
            connection = socket.create_connection(("127.0.0.1", options.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, connection)
            rests[connection] = b""
            sent_at[connection] = time.monotonic()
            connection.sendall(self._next())
        answered = 0
        while answered < options.requests:
            ready = selector.select(options.patience_s)
            if not ready:
                raise TimeoutError(f"No answer for {options.patience_s:g} s, after {answered} requests.")
            for key, _ in ready:
                link: socket.socket = key.data
                data = link.recv(RECEIVE_OCTETS)
                if not data:
                    raise ConnectionError(f"The gateway closed a connection after {answered} requests.")
                data = rests[link] + data
                whole = self._whole(data)
                if not whole:
                    rests[link] = data
                    continue
                rests[link] = data[whole:]
                now = time.monotonic()
                self._latencies.append(now - sent_at[link])
                self._count(data[:whole])
                answered += 1
                self._marks.append((now, self._messages))
                if self._made < options.requests:
                    sent_at[link] = now
                    link.sendall(self._next())
        for connection in rests:
            connection.close()
        return self._report()

    def _next(self) -> bytes:
        request = self._post.make(self._options.first + self._made * self._options.batch)
        self._made += 1
        return request

    @staticmethod
    def _whole(data: bytes) -> int:
        """Octets of the answer at the beginning of `data`; 0 while it is not whole."""
        head = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ", 0, head)
        if head < 0:
            return 0
        if at < 0:
            raise ConnectionError("An answer came without content-length.")
        length = int(data[at + 16 : data.find(b"\r\n", at)])
        return head + 4 + length if len(data) >= head + 4 + length else 0

    def _count(self, answer: bytes) -> None:
        status = int(answer[9:12])
        if status != 202:
            self._refused[status] = self._refused.get(status, 0) + 1
            return
        if self._options.batch > 1:
            body = _accepted.decode(answer[answer.find(b"\r\n\r\n") + 4 :])
            self._messages += body.accepted
            if body.rejected:
                self._refused[0] = self._refused.get(0, 0) + len(body.rejected)
            return
        at = answer.find(b"/v1/messages/")
        message_id = answer[at : answer.find(b"\r\n", at)]
        self._doubled += message_id in self._ids
        self._ids.add(message_id)
        self._messages += 1

    def _report(self) -> HttpReport:
        marks = self._marks
        low, high = marks[len(marks) // 10], marks[len(marks) * 9 // 10]
        steady = high[1] - low[1]
        return HttpReport(
            requests=self._made,
            messages=self._messages,
            refused=self._refused,
            doubled_ids=self._doubled,
            per_s=round(steady / max(high[0] - low[0], 1e-9)),
            latency_ms=percentiles(self._latencies),
            steady_from=low[0],
            steady_to=high[0],
            steady_messages=steady,
        )


def main(arguments: list[str]) -> None:
    """Run, and print the report as one JSON line."""
    options = parse(HttpLoadOptions, "python -m bench.http_load", arguments)
    try:
        report = HttpLoad(options).run()
    except (ConnectionError, TimeoutError) as error:
        sys.exit(str(error))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
