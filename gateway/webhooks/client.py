"""A small HTTP/1.1 client for posting to strangers: each connection goes to an address that was checked.

It POSTs a body and reads the status, or makes another request and reads all of its answer. It follows no redirects,
reads no proxy out of the environment, keeps no cookies, and reads at most 64 KiB of an answer. The name is looked up
for each new connection, every address of it is judged, and the connection goes to one of those very addresses, so a
name server that answers differently the second time gains nothing. TLS is verified against the name.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httptools
import msgspec
import trio

from gateway.ports import Clock
from gateway.webhooks.addresses import Address, is_allowed_private, objection
from gateway.webhooks.resolver import NoAddress
from gateway.webhooks.targets import Target, UrlRules

ANSWER_OCTETS_MAX = 65_536  # of one answer, head and body; the rest is not read
BODY_WAIT_S = 1.0  # for the rest of an answer whose status is known: to keep the connection, nothing else
CONNECT_S = 5.0  # to one address, so that a second one gets its turn
RECEIVE_OCTETS = 16_384
KEEP_IDLE_S = 20.0  # shorter than what common servers keep a connection for
RETRY_AFTER_S_MAX = 86_400.0

Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
Resolve = Callable[[str, int], Awaitable[list[Address]]]


class Failed(Exception):
    """No answer. `text` is a sentence for the customer; `address_refused`: the guard forbade it."""

    def __init__(self, text: str, *, address_refused: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.address_refused = address_refused


class Answer(msgspec.Struct, frozen=True):
    """What a receiver said. `retry_after_s` is 0 where it gave none."""

    status: int
    retry_after_s: float = 0.0


class Fetched(msgspec.Struct, frozen=True):
    """A whole answer, as far as it is read."""

    status: int
    body: bytes
    content_type: str


class _Reader:
    """Reads one answer with llhttp; its body only where that is wanted."""

    def __init__(self, *, body_wanted: bool = False) -> None:
        self.status = 0
        self.known = False  # the final head is there
        self.whole = False
        self.retry_after = b""
        self.keep_alive = False
        self.octets = 0
        self.body = bytearray()
        self.content_type = b""
        if body_wanted:
            self.on_body = self.body.extend
        self.parser = httptools.HttpResponseParser(self)  # looks now for what it is to call

    def on_message_begin(self) -> None:
        self.retry_after = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self.retry_after = value
        elif name == b"content-type":
            self.content_type = value

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status >= 200 or self.status == 101:
            self.known = True

    def on_message_complete(self) -> None:
        self.whole = self.known
        self.keep_alive = self.parser.should_keep_alive()


class Connection:
    """A connection to one target, one request at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = _Reader()
        self.used = False  # a request was answered
        self.idle_since = 0.0

    async def post(self, request: bytes) -> tuple[int, bytes]:
        """Status and Retry-After of the answer. Raises Failed, OSError, trio's errors of streams."""
        reader = self._reader = _Reader()
        await self._stream.send_all(request)
        while not reader.known:
            if reader.octets >= ANSWER_OCTETS_MAX:
                raise Failed(f"The head of the answer is longer than {ANSWER_OCTETS_MAX} octets.")
            if not await self._read(reader):
                raise Failed("The connection was closed before an answer came.")
        self.used = True
        return reader.status, reader.retry_after

    async def fetch(self, request: bytes) -> Fetched:
        """The whole answer, up to ANSWER_OCTETS_MAX. Raises Failed, OSError, trio's errors of streams."""
        reader = self._reader = _Reader(body_wanted=True)
        await self._stream.send_all(request)
        while not reader.whole and reader.octets < ANSWER_OCTETS_MAX:
            if not await self._read(reader):
                if not reader.known:
                    raise Failed("The connection was closed before an answer came.")
                break
        if not reader.known:
            raise Failed(f"The head of the answer is longer than {ANSWER_OCTETS_MAX} octets.")
        self.used = True
        return Fetched(reader.status, bytes(reader.body), reader.content_type.decode("latin-1"))

    @property
    def reusable(self) -> bool:
        """Whether the last answer was read whole and the other side keeps the connection."""
        return self._reader.whole and self._reader.keep_alive and self._reader.status != 101

    async def finish(self) -> bool:
        """Read the rest of the answer; whether the connection can be used again.

        The status is known: a body that is long, slow or broken costs the connection and nothing else.
        """
        reader = self._reader
        with trio.move_on_after(BODY_WAIT_S):
            try:
                while not reader.whole and reader.octets < ANSWER_OCTETS_MAX:
                    if not await self._read(reader):
                        return False
            except (Failed, OSError, trio.BrokenResourceError):
                return False
        return self.reusable

    async def _read(self, reader: _Reader) -> bool:
        data = bytes(await self._stream.receive_some(RECEIVE_OCTETS))
        reader.octets += len(data)
        if data:
            try:
                reader.parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                reader.known = True
            except httptools.HttpParserError as error:
                if not reader.known:
                    raise Failed("The answer is not HTTP/1.1.") from error
                return False
        return bool(data)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


class Client:
    """Connections to one target, for one account; the caller bounds how many requests run at once."""

    def __init__(
        self,
        account: int,
        rules: UrlRules,
        tls: ssl.SSLContext,
        resolve: Resolve,
        connect: Connect,
        clock: Clock,
    ) -> None:
        self._account = account
        self._rules = rules
        self._tls = tls
        self._resolve = resolve
        self._connect = connect
        self._now = clock.now
        self._wall_ms = clock.wall_ms
        self._idle: list[Connection] = []
        self._closed = False
        self.connections_made = 0

    async def post(
        self, target: Target, headers: list[tuple[str, str]], body: bytes, timeout_s: float
    ) -> Answer:
        """POST a body; raises Failed where no answer came in time. A status of any kind is an Answer."""
        request = head_of(target, headers, len(body)) + body
        connection: Connection | None = None
        keep, status, retry_after = False, 0, b""
        try:
            with trio.move_on_after(timeout_s):
                while not status:
                    connection = await self._take() or Connection(await self._open(target))
                    fresh = not connection.used
                    try:
                        status, retry_after = await connection.post(request)
                    except (Failed, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                        if fresh:
                            raise _failed(error) from error
                        # A kept connection that its server had closed meanwhile says nothing of the receiver.
                        await connection.close()
            if not status:
                raise Failed(f"No answer came within {timeout_s:g} s.")
            assert connection is not None
            keep = await connection.finish()
            return Answer(status, retry_after_s(retry_after, self._wall_ms() / 1000))
        finally:
            if connection is not None:
                await self._put_back(connection, keep=keep)

    async def fetch(self, target: Target, request: bytes) -> Fetched:
        """Make any request, head and body as they go out, and read its answer; the caller bounds the time.

        Raises Failed.
        """
        while True:
            connection = await self._take() or Connection(await self._open(target))
            fresh, keep = not connection.used, False
            try:
                fetched = await connection.fetch(request)
                keep = connection.reusable
                return fetched
            except (Failed, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                if fresh:
                    raise _failed(error) from error
                # A kept connection that its server had closed meanwhile says nothing of the receiver.
            finally:
                await self._put_back(connection, keep=keep)

    async def _put_back(self, connection: Connection, *, keep: bool) -> None:
        if keep and not self._closed:
            connection.idle_since = self._now()
            self._idle.append(connection)
        else:
            await connection.close()

    async def _take(self) -> Connection | None:
        now = self._now()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < KEEP_IDLE_S:
                return connection
            await connection.close()
        return None

    async def _open(self, target: Target) -> trio.abc.Stream:
        """A connection to an address of the target that may be connected to. Raises Failed."""
        try:
            addresses = await self._resolve(target.host, self._account)
        except NoAddress as error:
            raise Failed(str(error)) from error
        self.check(target, addresses)
        failure: Failed | None = None
        for address in addresses:
            try:
                with trio.fail_after(CONNECT_S):
                    stream = await self._connect(str(address), target.port)
            except (OSError, trio.TooSlowError) as error:
                failure = _failed(error)
                continue
            self.connections_made += 1
            return await self._secured(stream, target) if target.scheme == "https" else stream
        assert failure is not None
        raise failure

    def check(self, target: Target, addresses: list[Address]) -> None:
        """Raises Failed unless every one of the addresses may be connected to on this port."""
        for address in addresses:
            why = objection(address, self._rules.private)
            if why:
                raise Failed(
                    f"{target.host} leads to {address}, {why}. Only addresses of the public internet are called.",
                    address_refused=True,
                )
            if target.port not in self._rules.ports and not is_allowed_private(address, self._rules.private):
                raise Failed(f"Port {target.port} of {target.host} may not be used.", address_refused=True)

    async def _secured(self, stream: trio.abc.Stream, target: Target) -> trio.abc.Stream:
        secured = trio.SSLStream(stream, self._tls, server_hostname=target.host, https_compatible=True)
        try:
            await secured.do_handshake()
        except (OSError, trio.BrokenResourceError) as error:
            await trio.aclose_forcefully(stream)
            raise _failed(error) from error
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured

    async def close_idle(self) -> None:
        """Close connections that were kept for too long."""
        before = self._now() - KEEP_IDLE_S
        old = [one for one in self._idle if one.idle_since <= before]
        self._idle = [one for one in self._idle if one.idle_since > before]
        for connection in old:
            await connection.close()

    async def close(self) -> None:
        """Close what is kept; requests that run go on, and close their connections."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()


def head_of(target: Target, headers: list[tuple[str, str]], body_octets: int) -> bytes:
    """The head of a POST."""
    lines = [
        f"POST {target.resource} HTTP/1.1",
        f"host: {target.authority}",
        "content-type: application/json",
        f"content-length: {body_octets}",
        "user-agent: Sluice-Webhooks/1",
        "accept: */*",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def retry_after_s(value: bytes, now_s: float) -> float:
    """Seconds that a Retry-After field asks for, at most a day; nonsense asks for none.

    Args:
      now_s: UTC seconds, for the field's other form, a date.
    """
    text = value.strip().decode("latin-1")
    seconds = 0.0
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    elif text:
        with suppress(ValueError, OverflowError):
            seconds = parsedate_to_datetime(text).timestamp() - now_s
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def client_tls(authorities: str = "") -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name verified. `authorities`: a PEM file beside the system's.

    Raises OSError.
    """
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _failed(error: Exception) -> Failed:
    """Errors of the network as sentences."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Failed):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(f"The receiver's certificate is not valid: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return Failed(f"TLS failed: {cause.reason or 'the other side does not speak it'}.")
        cause = cause.__cause__
    if isinstance(error, ConnectionRefusedError):
        return Failed("The connection was refused.")
    if isinstance(error, trio.TooSlowError):
        return Failed("No connection came about in time.")
    text = getattr(error, "strerror", None)
    if isinstance(error, OSError) and error.__cause__ is not None and not text:
        text = getattr(error.__cause__, "strerror", None)
    return Failed(f"The connection failed: {text}." if text else "The connection broke off.")
