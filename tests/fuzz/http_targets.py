"""What no octets of a client may do to the HTTP side: the request parser, bodies into shapes, query strings, ids."""

import contextlib
import json
from collections.abc import Coroutine
from functools import cache
from typing import Any

import msgspec

from gateway.api import ids
from gateway.api.batches import Items
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.parameters import NEWEST, Parameters
from gateway.api.shapes import BatchIn, Content, DefaultsLine, MessageIn
from gateway.api.streamed import LINE_OCTETS_MAX, Lines
from gateway.http.limits import HttpLimits, Proxies
from gateway.http.messages import BodyBroken, Request, Response
from gateway.http.parser import Incoming, RequestParser
from gateway.http.routes import Route, Router
from gateway.smpp.segments import CannotSplit, segment
from gateway.smpp.text import alphabet_of
from gateway.smpp.udh import payload_of
from tests.gateway.core_world import World

from .reader import Reader, pieces

LIMITS = HttpLimits(header_octets_max=512, body_octets_max=256)
PROXIES = Proxies(("127.0.0.0/8", "::1"))


def _never(request: Request) -> Response:
    raise AssertionError("no handler runs here")


ROUTER = Router(
    [
        Route("GET", "/", _never),
        Route("POST", "/a", _never),
        Route("POST", "/small", _never, body_octets_max=4),
        Route("POST", "/stream", _never, streams_body=True, body_octets_max=64),
        Route("GET", "/things/{id}", _never),
    ]
)


class _Seen:
    """What one connection read, piece by piece, as the server would."""

    def __init__(self, octets: bytes, size: int) -> None:
        self.requests: list[list[Any]] = []
        self.streams: list[tuple[Incoming, bytearray]] = []
        self.reserved = 0
        parser = RequestParser(
            LIMITS,
            peer=lambda forwarded: PROXIES.client("127.0.0.1", forwarded),
            admit=ROUTER.find,
            reserve=self._reserve,
            next_id=lambda: b"id",
        )
        for piece in pieces(octets, size):
            parser.feed(piece)
            self._take(parser)
            if parser.fault is not None:
                break
        self._take(parser)
        self.fault = parser.fault
        self.unfinished = parser.in_message
        assert parser.reserved == self.reserved

    def _reserve(self, octets: int) -> bool:
        self.reserved += octets
        assert self.reserved < 100_000
        return True

    def _take(self, parser: RequestParser) -> None:
        while parser.ready:
            ready, parser.ready = parser.ready, []
            for request in ready:
                refusal = request.refusal.status if request.refusal is not None else 0
                body: Any = request.body
                if request.stream is not None:
                    body = bytearray()
                    self.streams.append((request.stream, body))
                self.requests.append(
                    [
                        request.method,
                        request.target,
                        request.path,
                        request.query,
                        request.version,
                        request.headers,
                        request.peer,
                        request.params,
                        request.keep_alive,
                        refusal,
                        body,
                    ]
                )
                repr(request)
                assert len(request.body) <= LIMITS.body_octets_max
                if request.upgrade and parser.fault is None and request.stream is None:
                    parser.decline_upgrade()
        for stream, body in self.streams:
            body += stream.take()
            assert len(body) <= 64


def http(octets: bytes) -> None:
    """Any cut of the octets gives the same requests; nothing is kept beyond its bound."""
    reader = Reader(octets)
    size = reader.choice((1, 2, 3, 7, 16, 64))
    stream = reader.rest()
    whole, cut = _Seen(stream, 0), _Seen(stream, size)
    shorter, longer = sorted((whole.requests, cut.requests), key=len)
    if whole.fault is None and cut.fault is None:
        assert whole.requests == cut.requests, (whole.requests, cut.requests)
        assert whole.unfinished == cut.unfinished
    else:
        # A bound may be noticed a piece earlier or later; what both saw whole is the same.
        for one, other in list(zip(shorter, longer, strict=False))[:-1]:
            assert one == other, (one, other)


MESSAGE = msgspec.json.Decoder(MessageIn)
BATCH = msgspec.json.Decoder(BatchIn)
DEFAULTS = msgspec.json.Decoder(DefaultsLine)


@cache
def _core() -> Any:
    return World()


def _items(defaults: Content) -> Items:
    """What makes the messages of a batch ready, as the routes have it."""
    return Items(_core(), _core().account, defaults, 1)


def _segment(one: Any) -> None:
    """A message that was taken can be cut, or it is said why not."""
    assert one.destination_addr
    assert 0 <= one.data_coding <= 255
    with contextlib.suppress(CannotSplit):
        segment(payload_of(one), alphabet_of(one.data_coding), udh_indicator=bool(one.esm_class), ref=1)


def body(octets: bytes) -> None:
    """A JSON body is a message, a batch, or a problem that points at a field."""
    request = Request("POST", b"/", b"/", b"", "1.1", {}, "127.0.0.1", b"id", True)
    for decoder in (MESSAGE, BATCH, DEFAULTS):
        try:
            asked = decode(decoder, octets)
            if isinstance(asked, MessageIn):
                _segment(_items(Content()).of_message(0, asked).submit)
                continue
            make = _items(asked.defaults)
            for index, message in enumerate(getattr(asked, "messages", None) or ()):
                _segment(make.of_message(index, message).submit)
            if recipients := getattr(asked, "recipients", None):
                make.for_numbers()
                for index, to in enumerate(recipients):
                    _segment(make.of_number(index, to).submit)
        except (Invalid, Malformed) as error:
            refused = refuse(error, request)
            assert refused.status in (400, 422)
            told = json.loads(refused.body)
            assert len(refused.body) < 2_000, told


def fields(octets: bytes) -> None:
    """The same with octets that choose fields and values, so that more of them are nearly right."""
    reader = Reader(octets)
    names = ("to", "text", "from", "binary", "udh", "encoding", "data_coding", "priority", "type",
             "schedule_at", "validity", "dlr", "client_ref", "metadata", "x")  # fmt: skip
    message: dict[str, Any] = {}
    for _ in range(reader.octet() % 6):
        name = reader.choice(names)
        kind = reader.octet() % 8
        said = reader.some()
        value: Any = said.decode("utf-8", "replace")
        if kind == 1:
            value = said.hex()
        elif kind == 2:
            value = int.from_bytes(said[:8], "big", signed=True)
        elif kind == 3:
            value = {value: value}
        elif kind == 4:
            value = [value]
        elif kind == 5:
            value = bool(said)
        elif kind == 6:
            value = f"2026-11-22T12:{len(said) % 100:02d}:00Z"
        elif kind == 7:
            value = f"P{len(said)}DT{sum(said) % 1_000}M"
        message[name] = value
    message.setdefault("to", "8613800138000")
    body(json.dumps(message).encode())
    body(json.dumps({"defaults": message, "messages": [message, {"to": "1"}]}).encode())


class _Stream:
    def __init__(self, octets: bytes, size: int) -> None:
        self._pieces = pieces(octets, size)[::-1]

    async def receive(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what waits for nobody."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def lines_of(octets: bytes, size: int) -> tuple[list[bytes], bytes, bool]:
    request = Request("POST", b"/", b"/", b"", "1.1", {}, "127.0.0.1", b"id", True)
    request.stream = _Stream(octets, size)
    lines = Lines(request)
    found = []
    try:
        while line := run(lines.next()):
            found.append(line)
    except BodyBroken:
        return found, b"", True
    return found, lines.fingerprint_now(request), False


def ndjson(octets: bytes) -> None:
    """A streamed body's lines are those of the whole, however it is cut; each is a message or a problem."""
    reader = Reader(octets)
    size = reader.choice((1, 2, 7, 64))
    stretch = reader.choice((0, 0, 0, 4_000, 8_000))
    stream = reader.take(10) * stretch + reader.rest()
    whole = lines_of(stream, 65_536)
    assert whole == lines_of(stream, size * 1_000 if stretch else size)
    if not whole[2]:
        assert whole[0] == [line.strip() for line in stream.split(b"\n") if line.strip()]
    assert all(len(line) <= LINE_OCTETS_MAX for line in whole[0])
    make = _items(Content(text="x"))
    for index, line in enumerate(whole[0][:8]):
        with contextlib.suppress(Invalid, Malformed):
            _segment(make.of_message(index, decode(MESSAGE, line)).submit)


def query(octets: bytes) -> None:
    """A query string's values are within their ranges, or it is refused; an id is read as it is shown."""
    reader = Reader(octets)
    text = reader.rest()
    request = Request("GET", b"/", b"/", text, "1.1", {}, "127.0.0.1", b"id", True)
    try:
        parameters = Parameters(request, ("limit", "cursor", "since", "to"))
        assert 1 <= parameters.limit() <= 1_000
        assert 0 < parameters.cursor() <= NEWEST
        assert 0 <= parameters.since() <= NEWEST
        parameters.text("to").encode()
    except Invalid as error:
        assert json.loads(refuse(error, request).body)
    shown = text.decode("utf-8", "replace")
    for kind in (ids.MESSAGE, ids.BATCH, ids.INBOUND, ids.EVENT):
        for name in (shown, f"{kind}_{shown}"):
            number = ids.read(kind, name)
            assert 0 <= number <= NEWEST
            if number and not name.isdigit():
                assert ids.show(kind, number).partition("_")[2] == name.partition("_")[2].upper()
