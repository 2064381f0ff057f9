"""Octets into requests, sans-IO: llhttp reads, this judges. Strict: what two readers could read differently is
refused and ends the connection, for behind a proxy it could smuggle a request.

llhttp refuses by itself: Content-Length beside Transfer-Encoding, twice, or no number; line folding; bare CR
or LF; NUL and other controls in a field; a space before the colon; bad chunk sizes. Refused here on top:
Transfer-Encoding other than plain `chunked` or in HTTP/1.0, no or several Host fields or one that is no host, a
URL as target whose host is another, a fragment in the target, versions other than 1.0 and 1.1, and everything
beyond its bound.
"""

import re
from collections.abc import Callable

import httptools
import msgspec

from gateway.http.heads import Head, Heads
from gateway.http.limits import (
    CHUNK_OVERHEAD_FACTOR,
    HEADERS_MAX,
    PIECE_OCTETS_MIN,
    URL_OCTETS_MAX,
    HttpLimits,
)
from gateway.http.messages import Request, Response
from gateway.http.problems import problem

# RFC 9110 section 7.2: a registered name or an address, and a port. No list, no user, no path.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


TOO_MANY_BODIES = "Too many large bodies at once. Try again in a moment."


class Fault(msgspec.Struct):
    """Why nothing more can be read from this connection."""

    code: str  # of problems.PROBLEMS
    detail: str


class _Stop(Exception):
    """Raised in a callback to stop llhttp; `RequestParser.fault` says why."""


class Incoming:
    """A streamed body as far as it is here."""

    __slots__ = ("pieces", "whole")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.whole = False

    def take(self) -> bytes:
        """What has come since the last time."""
        if not self.pieces:
            return b""
        taken = b"".join(self.pieces)
        self.pieces.clear()
        return taken


class RequestParser:
    """One connection's requests.

    `feed` appends to `ready` every request that became whole, in order, and one whose body is streamed as
    soon as its head is whole. After `fault` is set nothing more comes; what is in `ready` stands.

    Args:
      admit: looks at a head before its body is read: sets `request.route`; gives a refusal or None.
      body_octets_max: how large the body of this request may be.
      reserve: asks for so many octets of memory for bodies; False when there are none left.
      next_id: a request id for a request that brings none.
      heads: what was read before, by this parser or others.
    """

    def __init__(
        self,
        limits: HttpLimits,
        *,
        peer: Callable[[bytes | None], str],
        admit: Callable[[Request], Response | None],
        reserve: Callable[[int], bool],
        next_id: Callable[[], bytes],
        heads: Heads | None = None,
    ) -> None:
        self._heads = heads if heads is not None else Heads()
        self._limits = limits
        self._peer = peer
        self._admit = admit
        self._reserve = reserve
        self._next_id = next_id
        self._llhttp = httptools.HttpRequestParser(self)
        self.ready: list[Request] = []
        self.fault: Fault | None = None
        self.behind_upgrade = b""  # octets that came behind a request for another protocol
        self.reserved = 0  # octets of bodies that `reserve` gave and nobody gave back yet
        self.in_message = False
        self.in_head = False
        self.current: Request | None = None  # its head is whole, its body not
        self.wants_continue = False  # the client waits for 100 before it sends the body
        self._url = b""
        self._names: dict[bytes, bytes] = {}
        self._count = 0
        self._octets = 0
        self._fed_in_message = 0
        self._hosts = 0
        self._host = b""  # of the request before: most are alike, and need no second look
        self._pieces: list[bytes | bytearray] = []
        self._body_octets = 0
        self._body_max = 0
        self._streamed: Incoming | None = None
        self._began = False
        self._was_last = False  # the request before ended HTTP on this connection

    def feed(self, data: bytes) -> None:
        """Read what came. At most 64 KiB at once, so that bounds are looked at often enough."""
        if self.fault:
            return
        between = not self.in_message and not self._was_last
        if between:
            found = self._heads.find(data)
            if found is not None:
                self._read_again(*found, data)
                return
        self._began = False
        ready = len(self.ready)
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.fault is None and not self._said_close():
                self.fault = Fault("invalid-request", f"This is not valid HTTP/1.1: {error}.")
        if self.in_message and self.fault is None:
            if not self._began:
                self._fed_in_message += len(data)
            self._check_unseen()
        elif between and len(self.ready) == ready + 1 and self.fault is None:
            self._remember(data, self.ready[-1])

    def _remember(self, data: bytes, request: Request) -> None:
        """`data` was one request and nothing else."""
        if request.plain and request.keep_alive and request.version == "1.1":
            headers = request.headers
            head = Head(
                request.method, request.target, request.path, request.query, headers, len(request.body)
            )
            self._heads.keep(data, head)

    def _read_again(self, head: Head, end: int, data: bytes) -> None:
        """A request whose head was read before."""
        headers = head.headers
        request = Request(
            head.method, head.target, head.path, head.query, "1.1", headers,
            self._peer(headers.get(b"x-forwarded-for")), self._next_id(), True,
        )  # fmt: skip
        refusal = request.refusal = self._admit(request)
        if refusal is None and head.length:
            if not self._reserve(head.length):
                self.fault = Fault("queue-full", TOO_MANY_BODIES)
                return
            self.reserved += head.length
            request.body = data[end:]
        self.ready.append(request)
        if refusal is not None and refusal.close:
            self.fault = Fault("", "")

    def _said_close(self) -> bool:
        """Octets behind a request that said it was the last: ignored, not answered."""
        last = self.ready[-1] if self.ready else None
        return last is not None and not last.keep_alive and not self.in_message

    def _check_unseen(self) -> None:
        """What llhttp holds back (a half field, chunk extensions) counts as well."""
        if self.in_head:
            if self._fed_in_message > self._limits.header_octets_max:
                self._head_too_large()
        elif self._fed_in_message > (
            2 * self._limits.header_octets_max + 65_536 + CHUNK_OVERHEAD_FACTOR * self._body_octets
        ):
            self.fault = Fault("invalid-request", "The body's framing is far longer than the body.")

    def _head_too_large(self) -> None:
        self.fault = Fault(
            "header-too-large",
            f"The request head has more than {self._limits.header_octets_max} octets or {HEADERS_MAX} fields.",
        )

    # -- llhttp's callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_message = self.in_head = self._began = True
        self._fed_in_message = 0
        self._url = b""
        self._names = {}
        self._count = self._octets = self._hosts = 0

    def on_url(self, piece: bytes) -> None:
        self._url += piece
        if len(self._url) > URL_OCTETS_MAX:
            self.fault = Fault("header-too-large", f"The target has more than {URL_OCTETS_MAX} octets.")
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        self._octets += len(name) + len(value) + 4
        if self._count > HEADERS_MAX or self._octets + len(self._url) > self._limits.header_octets_max:
            self._head_too_large()
            raise _Stop
        if not self.in_head:
            return  # a trailer: nothing here reads any
        name = name.lower()
        known = self._names.get(name)
        if name == b"host":
            self._hosts += 1
        self._names[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        self.in_head = False
        headers = self._names
        version = self._llhttp.get_http_version()
        method = self._llhttp.get_method().decode("ascii")
        self._check_head(version, headers)
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            path = self._path_of(path, method)
        request_id = headers.get(b"x-request-id")
        request = Request(
            method,
            self._url,
            path,
            query,
            version,
            headers,
            self._peer(headers.get(b"x-forwarded-for")),
            request_id if request_id and is_request_id(request_id) else self._next_id(),
            self._llhttp.should_keep_alive(),
        )
        self.current = request
        self._pieces = []
        self._body_octets = 0
        self._streamed = None
        length = headers.get(b"content-length")
        has_body = length is not None or b"transfer-encoding" in headers
        refusal = self._admit(request)
        expects = headers.get(b"expect")
        if refusal is None and expects is not None and expects.lower() != b"100-continue":
            refusal = problem("expectation-failed", "Only Expect: 100-continue is known.", request)
        route = request.route
        self._body_max = self._limits.body_octets_max
        if refusal is None and route is not None:
            if route.body_octets_max is not None:
                self._body_max = route.body_octets_max
            if length is not None and int(length) > self._body_max:
                refusal = too_large(request, self._body_max)
                refusal.close = True
        request.refusal = refusal
        request.upgrade = self._llhttp.should_upgrade()
        self._was_last = request.upgrade or not request.keep_alive
        if has_body and expects is not None and version == "1.1":
            if refusal is not None:
                refusal.close = True
            else:
                self.wants_continue = True
        if refusal is not None and refusal.close:
            # The rest of it is not wanted: answer now, read no further.
            self.ready.append(request)
            self.fault = Fault("", "")
            raise _Stop
        if refusal is None and route is not None and route.streams_body:
            request.stream = self._streamed = Incoming()
            self.ready.append(request)

    def _check_head(self, version: str, headers: dict[bytes, bytes]) -> None:
        if version not in ("1.1", "1.0"):
            self.fault = Fault("version", f"HTTP/{version} is not spoken here. Use HTTP/1.1.")
        elif self._hosts > 1 or (not self._hosts and version == "1.1"):
            self.fault = Fault("invalid-request", "HTTP/1.1 wants exactly one Host field.")
        elif self._hosts and headers[b"host"] != self._host and not _HOST.fullmatch(headers[b"host"]):
            self.fault = Fault("invalid-request", "The Host field is not a host name with or without a port.")
        elif b"transfer-encoding" in headers:
            if version == "1.0":
                self.fault = Fault("invalid-request", "Transfer-Encoding has no meaning in HTTP/1.0.")
            elif headers[b"transfer-encoding"].lower() != b"chunked":
                self.fault = Fault("not-implemented", "The only Transfer-Encoding known is chunked.")
        self._host = headers.get(b"host", b"")
        if b"#" in self._url and self.fault is None:
            self.fault = Fault("invalid-request", "A request target has no fragment.")
        if self.fault is not None:
            raise _Stop

    def _path_of(self, target: bytes, method: str) -> bytes:
        """The path of an absolute target (proxies send those); `*` for OPTIONS."""
        if target == b"*" and method == "OPTIONS":
            return target
        scheme, colon, rest = target.partition(b"://")
        if colon and scheme.lower() in (b"http", b"https"):
            authority, slash, path = rest.partition(b"/")
            if authority and authority.lower() == self._host.lower():
                return slash + path if slash else b"/"
        self.fault = Fault(
            "invalid-request", "The request target is neither a path nor a URL of the host in the Host field."
        )
        raise _Stop

    def on_body(self, piece: bytes) -> None:
        request = self.current
        assert request is not None
        self._body_octets += len(piece)
        if self._body_octets > self._body_max:
            if self._streamed is None:
                request.refusal = too_large(request, self._body_max)
                request.refusal.close = True
                self.ready.append(request)
            self.fault = Fault("too-large", f"The body has more than {self._body_max} octets.")
            raise _Stop
        if self._streamed is not None:
            self._streamed.pieces.append(piece)
        elif request.refusal is None:
            if not self._reserve(len(piece)):
                self.fault = Fault("queue-full", TOO_MANY_BODIES)
                raise _Stop
            self.reserved += len(piece)
            pieces = self._pieces
            if pieces and len(piece) < PIECE_OCTETS_MIN:
                # A body in chunks of two octets would keep thirty octets for each of its own.
                if type(pieces[-1]) is not bytearray:
                    pieces.append(bytearray())
                pieces[-1] += piece
            else:
                pieces.append(piece)

    def on_message_complete(self) -> None:
        request = self.current
        if request is None:
            return
        self.in_message = False
        self.wants_continue = False
        self.current = None
        if self._streamed is not None:
            self._streamed.whole = True
            return
        pieces = self._pieces
        if pieces:
            request.body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
        self.ready.append(request)

    # -- for the connection -----------------------------------------------------------------------

    @property
    def body_octets(self) -> int:
        """Octets so far of the body that is being read."""
        return self._body_octets

    def _upgraded(self, behind: bytes) -> None:
        """The client offers another protocol behind this request. A request with a body cannot be told apart
        from that protocol's octets; one without is answered by its route, which may take the offer."""
        request = self.ready[-1] if self.ready else None
        assert request is not None
        self.behind_upgrade = behind
        if b"content-length" in request.headers or b"transfer-encoding" in request.headers:
            self.ready.pop()
            self.fault = Fault("invalid-request", "A request for another protocol cannot have a body.")
        elif request.method == "CONNECT":
            self.fault = Fault("", "")  # what follows is no HTTP

    def decline_upgrade(self) -> None:
        """The route answered in HTTP: go on with HTTP."""
        behind, self.behind_upgrade = self.behind_upgrade, b""
        self._llhttp = httptools.HttpRequestParser(self)
        self._was_last = False
        if behind:
            self.feed(behind)


def too_large(request: Request, octets_max: int) -> Response:
    return problem("too-large", f"The body may have {octets_max} octets.", request)


_ID_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=+/")


def is_request_id(value: bytes) -> bool:
    """Whether a client's X-Request-Id may be echoed: 1 to 128 harmless characters."""
    return len(value) <= 128 and _ID_CHARACTERS.issuperset(value)
