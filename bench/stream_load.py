"""The load client of the WebSocket stream: submits with a window and checks every ack, or reads the whole log.

Frames are prebuilt and patched, masked with zeros, which leaves them as they are; what comes is read by its
frame heads and a few slices. One thread, no event loop: some 5 µs a message.

    python -m bench.stream_load --port 8080 --key sk_… --messages 50000
    python -m bench.stream_load --port 8080 --key sk_… --messages 50000 --read
"""

import selectors
import socket
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec

from bench.corpus import DESTINATION_PREFIX
from gateway.sim.figures import Percentiles, percentiles
from gateway.sim.options import help_, parse
from gateway.sim.texts import texts

NUMBER_DIGITS = 9
TEXTS = 1024
RECEIVE_OCTETS = 262_144
SEEN_EVERY = 250  # events, of a window of 1,000
LATENCY_EVERY = 16  # one ack in so many is timed


class StreamLoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A load client of /v1/stream."""

    port: Annotated[int, help_("where the gateway's HTTP API listens, on 127.0.0.1")] = 8080
    key: Annotated[str, help_("API key")] = ""
    messages: Annotated[int, help_("how many messages in all")] = 10_000
    connections: Annotated[int, help_("WebSockets; reading takes one")] = 4
    window: Annotated[int, help_("unanswered submits on each")] = 500
    read: Annotated[bool, help_("read so many final events of the log from its beginning instead")] = False
    first: Annotated[int, help_("number of the first destination")] = 0
    patience_s: Annotated[float, help_("give up when nothing has come for so long")] = 30.0


class StreamReport(msgspec.Struct):
    """What a run found. Rates and CPU count between `steady_from` and `steady_to`, 10 to 90 % of the answers."""

    messages: int
    refused: int
    doubled: int  # acks with an id, or final events of a message, that had come before
    per_s: float
    latency_ms: Percentiles
    steady_from: float  # CLOCK_MONOTONIC
    steady_to: float
    steady_messages: int


class _Link:
    """One WebSocket behind its handshake."""

    def __init__(self, options: StreamLoadOptions, query: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", options.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            f"GET /v1/stream{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {options.key}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sms.v1+json\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(RECEIVE_OCTETS)
            if not data:
                break
            head += data
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"The gateway did not switch protocols: {head[:200]!r}")
        self.rest = head.partition(b"\r\n\r\n")[2]
        self.unanswered = 0

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Payloads of the whole text frames that have come; pings are answered."""
        data = self.rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if start > end or end - start < length:
                break
            opcode = data[at] & 15
            at = start + length
            if opcode == 1:
                yield data[start:at]
            elif opcode == 9:
                self.socket.sendall(frame(data[start:at], 10))
            elif opcode == 8:
                raise ConnectionError(f"The gateway closed: {data[start:at]!r}")
        self.rest = data[at:]


def frame(payload: bytes, opcode: int = 1) -> bytes:
    length = len(payload)
    if length < 126:
        return b"%c%c\0\0\0\0%b" % (0x80 | opcode, 0x80 | length, payload)
    return b"%c\xfe%b\0\0\0\0%b" % (0x80 | opcode, length.to_bytes(2, "big"), payload)


class StreamLoad:
    """`submit` and `read` block until everything has come. They raise ConnectionError, TimeoutError."""

    def __init__(self, options: StreamLoadOptions) -> None:
        self._options = options
        self._texts = texts(TEXTS, "zh", seed=1)
        self._ids: set[bytes] = set()
        self._marks: list[tuple[float, int]] = []
        self._latencies: list[float] = []
        self._sent_at: dict[int, float] = {}
        self._made = 0
        self._refused = 0
        self._doubled = 0
        self._answered = 0

    def submit(self) -> StreamReport:
        """Submit everything, each connection's window full all the time."""
        options = self._options
        links = [_Link(options, "") for _ in range(options.connections)]
        for link in links:
            link.socket.sendall(frame(b'{"op":"window","n":0}'))
            self._fill(link)
        for link, payloads in self._received(links):
            for payload in payloads:
                link.unanswered -= 1
                self._answered += 1
                self._ack(payload)
            self._marks.append((time.monotonic(), self._answered))
            self._fill(link)
            if self._answered >= options.messages:
                break
        return self._report()

    def read(self) -> StreamReport:
        """Read final events from the beginning of the log."""
        options = self._options
        [link] = links = [_Link(options, "?after=0")]
        told = 0
        for _, payloads in self._received(links):
            for payload in payloads:
                told += 1
                if b'"final":true' in payload:
                    at = payload.find(b'"data":{"id":"') + 14
                    self._note(payload[at : payload.find(b'"', at)])
                if told % SEEN_EVERY == 0:
                    at = payload.find(b'"seq":') + 6
                    link.socket.sendall(
                        frame(b'{"op":"seen","seq":%b}' % payload[at : payload.find(b",", at)])
                    )
            self._answered = len(self._ids)
            self._marks.append((time.monotonic(), self._answered))
            if self._answered >= options.messages:
                break
        return self._report()

    def _received(self, links: list[_Link]) -> Iterator[tuple[_Link, list[bytes]]]:
        selector = selectors.DefaultSelector()
        for link in links:
            selector.register(link.socket, selectors.EVENT_READ, link)
        while True:
            ready = selector.select(self._options.patience_s)
            if not ready:
                raise TimeoutError(
                    f"Nothing for {self._options.patience_s:g} s, after {self._answered} answers."
                )
            for key, _ in ready:
                open_link: _Link = key.data
                data = open_link.socket.recv(RECEIVE_OCTETS)
                if not data:
                    raise ConnectionError(f"The gateway closed a connection after {self._answered} answers.")
                yield open_link, list(open_link.frames(data))

    def _fill(self, link: _Link) -> None:
        """As many submits as the window has room for, in one write."""
        count = min(self._options.window - link.unanswered, self._options.messages - self._made)
        if count <= 0:
            return
        now = time.monotonic()
        made = []
        for number in range(self._made, self._made + count):
            if number % LATENCY_EVERY == 0:
                self._sent_at[number] = now
            text = self._texts[number % TEXTS]
            to = f"{DESTINATION_PREFIX}{self._options.first + number:0{NUMBER_DIGITS}}"
            made.append(frame(f'{{"op":"submit","ref":"{number}","to":"{to}","text":"{text}"}}'.encode()))
        self._made += count
        link.unanswered += count
        link.socket.sendall(b"".join(made))

    def _ack(self, payload: bytes) -> None:
        if not payload.startswith(b'{"op":"ack","ref":"'):
            self._refused += 1
            return
        end = payload.find(b'"', 19)
        sent_at = self._sent_at.pop(int(payload[19:end]), None)
        if sent_at is not None:
            self._latencies.append(time.monotonic() - sent_at)
        self._note(payload[end + 8 : payload.find(b'"', end + 8)])

    def _note(self, message_id: bytes) -> None:
        self._doubled += message_id in self._ids
        self._ids.add(message_id)

    def _report(self) -> StreamReport:
        marks = self._marks
        low, high = marks[len(marks) // 10], marks[len(marks) * 9 // 10]
        steady = high[1] - low[1]
        return StreamReport(
            messages=len(self._ids),
            refused=self._refused,
            doubled=self._doubled,
            per_s=round(steady / max(high[0] - low[0], 1e-9)),
            latency_ms=percentiles(self._latencies or [0.0]),
            steady_from=low[0],
            steady_to=high[0],
            steady_messages=steady,
        )


def main(arguments: list[str]) -> None:
    """Run, and print the report as one JSON line."""
    options = parse(StreamLoadOptions, "python -m bench.stream_load", arguments)
    load = StreamLoad(options)
    try:
        report = load.read() if options.read else load.submit()
    except (ConnectionError, TimeoutError) as error:
        sys.exit(str(error))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
