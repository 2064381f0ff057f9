"""One HTTP connection: read, answer everything that came with one read, send once.

Pipelined requests are answered in their order. Handlers run one after the other; those that return `Later` wait
together, so that one commit serves them all. Whatever goes wrong in a handler is a 500 for that request.

A single request that waits for a commit, as most do, is answered by whoever resolves it, while this connection's task
waits for the next one already: to wake the task for it would cost a tenth of the request (measured 2026-11).
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog
import trio

from gateway.http.limits import (
    LINGER_OCTETS,
    LINGER_S,
    OUTPUT_OCTETS,
    STREAM_OCTETS_PER_S_MIN,
)
from gateway.http.messages import Answer, BodyBroken, Later, Request, Response, Takeover, all_resolved
from gateway.http.parser import Incoming, RequestParser
from gateway.http.problems import PROBLEMS, problem
from gateway.http.wire import wire_of

if TYPE_CHECKING:
    from gateway.http.server import HttpServer

log = structlog.get_logger("http")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NEVER = float("inf")
RETRY_SOON = [(b"retry-after", b"1")]
_ANSWERS = (Response, Later, Takeover)


class _Gone(Exception):
    """The client closed or broke the connection; there is nobody to answer."""


class Connection:
    def __init__(self, server: "HttpServer", stream: trio.abc.Stream, address: str) -> None:
        self.server = server
        self.stream = stream
        self.wire = wire_of(stream)
        self.address = address
        self.deadline = NEVER  # the server's sweep ends the connection when it has come
        self.idle = True  # between requests: may be closed without loss
        self.scope = trio.CancelScope()
        self.parser = RequestParser(
            server.limits,
            peer=lambda forwarded_for: server.proxies.client(address, forwarded_for),
            admit=server.admit,
            reserve=server.reserve,
            next_id=server.next_id,
            heads=server.heads,
        )
        self._out = bytearray()
        self._begun_at = NEVER  # when the request that is being read began
        self._expired = False
        self._lost = False
        self._midway = False  # an answer has begun and is not whole: nothing else may be written
        self._owed: Later | None = None  # the answer that is on its way without this connection's task
        self._unpaid: tuple[Request, Response] | None = None  # the same, and it needs this task after all
        self._over = False

    def expire(self) -> None:
        """Its time is up."""
        self._expired = True
        self.scope.cancel()

    # -- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until either side ends it, or a time is up."""
        try:
            with self.scope:
                await self._serve()
            while self._unpaid is not None and not self._expired:
                (request, response), self._unpaid = self._unpaid, None
                self.scope = trio.CancelScope()
                with self.scope:
                    if await self._pay(request, response):
                        await self._serve()
            if self._expired and self.parser.in_message:
                await self._say_too_slow()
        except _Gone:
            pass
        finally:
            self._over = True
            self.server.release(self.parser.reserved)

    async def _serve(self) -> None:
        parser, clock = self.parser, self.server.clock
        self.deadline = clock.now() + self.server.limits.header_timeout_s
        while True:
            if not parser.ready and parser.fault is None:
                await self._read()
            if parser.ready or parser.fault is not None:
                self.deadline = NEVER
                if self._owed is not None:
                    await all_resolved((self._owed,))
                if not await self._answer_all():
                    return
                self._begun_at = NEVER
                self._set_deadline()
            elif parser.in_message:
                self._set_deadline()
            if parser.wants_continue:
                if self._owed is not None:
                    await all_resolved((self._owed,))
                await self._continue()

    def _set_deadline(self) -> None:
        """By what the connection is waiting for; an answer that it is owed takes as long as it takes."""
        parser, limits = self.parser, self.server.limits
        if not parser.in_message:
            self.deadline = self.server.clock.now() + limits.keep_alive_s
        else:
            if self._begun_at == NEVER:
                self._begun_at = self.server.clock.now()
            allowed_s = limits.header_timeout_s if parser.in_head else limits.request_timeout_s
            self.deadline = self._begun_at + allowed_s
        if self._owed is not None:
            self.deadline = NEVER

    async def _read(self) -> None:
        self.idle = not self.parser.in_message and self._owed is None
        if self.idle and self.server.draining:
            raise _Gone
        try:
            data = await self.wire.receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            raise _Gone from None
        if not data:
            if self._owed is not None:  # it has nothing more to ask, but may still listen
                await all_resolved((self._owed,))
            raise _Gone
        self.idle = False
        self.parser.feed(data)

    async def _continue(self) -> None:
        self.parser.wants_continue = False
        self._out += CONTINUE
        await self._send()

    # -- answering --------------------------------------------------------------------------------

    async def _answer_all(self) -> bool:
        """Answer what is ready, in order. False when the connection is over."""
        parser = self.parser
        self.server.writer.tick()
        while parser.ready:
            requests, parser.ready = parser.ready, []
            if len(requests) == 1 and requests[0].plain:
                if not await self._answer_one(requests[0]):
                    return False
            elif not await self._answer(requests):
                return False
        fault = parser.fault
        if fault is not None:
            if fault.code:
                headers = RETRY_SOON if PROBLEMS[fault.code].retryable else None
                response = problem(
                    fault.code, fault.detail, request_id=self.server.next_id(), headers=headers
                )
                self.server.count(None, response.status)
                self._write(None, response, keep=False)
            await self._send()
            await self._linger()
            return False
        await self._send()
        if self._owed is None:
            self._release()
        return True

    def _release(self) -> None:
        """Give back the memory of bodies that nobody needs any more."""
        parser = self.parser
        if parser.reserved and parser.current is None:
            self.server.release(parser.reserved)
            parser.reserved = 0

    async def _answer_one(self, request: Request) -> bool:
        """The short way of what most clients do: one request, one answer."""
        answer = self._call(request)
        if type(answer) is Later:
            if answer.response is None:
                if self.wire.direct and not self._out and request.keep_alive and not self.server.draining:
                    self._owe(request, answer)
                    return True
                await all_resolved((answer,))
            assert answer.response is not None
            return await self._put(request, answer.response)
        if type(answer) is Response:
            return await self._put(request, answer)
        return await self._answer([request], answer)

    def _owe(self, request: Request, answer: Later) -> None:
        """Let the answer be sent as soon as it is there."""
        self._owed = Later()

        def pay(response: Response) -> None:
            if self._over:
                return
            try:
                if self._send_at_once(request, response):
                    self._paid(response)
                    return
                self._unpaid = request, response
            except Exception:
                log.exception("an answer failed", request=repr(request))
            self.scope.cancel()  # `run` sees to it

        answer.then = pay

    def _send_at_once(self, request: Request, response: Response) -> bool:
        """Whether the answer went out whole, as small ones do; what the kernel did not take is in `_out`."""
        server = self.server
        if response.close or response.stream is not None or server.draining:
            return False
        server.writer.tick()
        server.count(request.route, response.status)
        self._write(request, response, keep=True)
        try:
            sent = self.wire.send_now(self._out)
        except OSError:
            sent = len(self._out)  # nobody is there; the next read says so
        del self._out[:sent]
        return not self._out

    async def _pay(self, request: Request, response: Response) -> bool:
        """Send an answer that ends the connection, or for which the kernel had no room; False when it is over."""
        going_on = True
        if not self._out:
            going_on = await self._put(request, response)
        await self._send()
        self._paid(response)
        return going_on

    def _paid(self, response: Response) -> None:
        owed, self._owed = self._owed, None
        assert owed is not None
        self._release()
        self.idle = not self.parser.in_message
        self._set_deadline()
        owed.resolve(response)

    async def _answer(
        self, requests: list[Request], called: Answer | Awaitable[Answer] | None = None
    ) -> bool:
        """False when the last answer of the connection was sent.

        `called` is what the handler of a single request gave already.
        """
        waiting: list[tuple[Request, Response | Later]] = []
        for request in requests:
            if request.refusal is not None:
                answer: Answer = request.refusal
            elif request.stream is not None:
                if not await self._flush(waiting):
                    return False
                answer = await self._run_streamed(request)
            else:
                given = self._call(request) if called is None else called
                if isinstance(given, _ANSWERS):
                    answer = given
                else:
                    # It waits for something of its own: what came before it is answered first.
                    if not await self._flush(waiting):
                        return False
                    answer = await self._wait_for(request, given)
            if type(answer) is Takeover:
                if await self._flush(waiting):
                    await self._hand_over(request, answer)
                return False
            waiting.append((request, answer))  # type: ignore[arg-type]
            if request.upgrade:
                self.parser.decline_upgrade()
        return await self._flush(waiting)

    def _call(self, request: Request) -> Answer | Awaitable[Answer]:
        assert request.route is not None
        try:
            return request.route.handler(request)
        except Exception:
            return self._broken(request)

    async def _wait_for(self, request: Request, called: Awaitable[Answer]) -> Answer:
        try:
            return await called
        except Exception:
            return self._broken(request)

    def _broken(self, request: Request) -> Response:
        log.exception("a request failed", request=repr(request))
        return problem(
            "internal", "Something broke here; the log has the cause under this request id.", request
        )

    async def _run_streamed(self, request: Request) -> Answer:
        incoming: Incoming = request.stream
        request.stream = _Body(self, incoming)
        try:
            answer = await self._wait_for_streamed(request)
        except BodyBroken as broken:
            if self._lost:
                raise _Gone from None
            code = next(kind.code for kind in PROBLEMS.values() if kind.status == broken.status)
            answer = problem(code, broken.detail, request, close=True)
        self.deadline = NEVER
        if self._lost:
            raise _Gone
        if not incoming.whole and isinstance(answer, Response):
            answer.close = True  # nobody wants the rest of its body
        return answer

    async def _wait_for_streamed(self, request: Request) -> Answer:
        called = self._call(request)
        if isinstance(called, Response | Takeover):
            return called
        if isinstance(called, Later):
            await all_resolved([called])
            assert called.response is not None
            return called.response
        try:
            return await called
        except BodyBroken:
            raise
        except Exception:
            return self._broken(request)

    async def read_body(self, incoming: Incoming) -> bytes:
        """The next piece of a streamed body; see `BodyStream.receive`."""
        while not (piece := incoming.take()) and not incoming.whole:
            fault = self.parser.fault
            if fault is not None:
                raise BodyBroken(PROBLEMS[fault.code].status if fault.code else 400, fault.detail)
            if self.parser.wants_continue:
                await self._continue()
            limits = self.server.limits
            if self._begun_at == NEVER:
                self._begun_at = self.server.clock.now()
            self.deadline = (
                self._begun_at + limits.request_timeout_s + self.parser.body_octets / STREAM_OCTETS_PER_S_MIN
            )
            try:
                await self._read()
            except _Gone:
                # The handler may have something to finish; nobody will read its answer.
                self._lost = True
                raise BodyBroken(400, "The connection ended before the body did.") from None
            self.deadline = NEVER
        return piece

    async def _flush(self, waiting: list[tuple[Request, Response | Later]]) -> bool:
        """Write the answers as they are resolved; False when one of them ends the connection."""
        laters = [answer for _, answer in waiting if type(answer) is Later]
        if laters:
            await all_resolved(laters)
        for request, answer in waiting:
            response = answer.response if type(answer) is Later else answer
            assert isinstance(response, Response)
            if not await self._put(request, response):
                return False
        waiting.clear()
        return True

    async def _put(self, request: Request, response: Response) -> bool:
        """Write one answer, and send when there is much; False when it ends the connection."""
        keep = request.keep_alive and not response.close and not self.server.draining
        self.server.count(request.route, response.status)
        if response.stream is not None and request.method != "HEAD":
            await self._send_stream(request, response, keep=keep)
            keep = keep and request.version == "1.1"
        else:
            self._write(request, response, keep=keep)
        if keep:
            if len(self._out) > OUTPUT_OCTETS:
                await self._send()
            return True
        await self._send()
        if request.keep_alive:  # the client may have sent more
            await self._linger()
        return False

    def _write(self, request: Request | None, response: Response, *, keep: bool) -> None:
        body = response.body
        old = request is not None and request.version == "1.0"
        request_id = request.request_id if request is not None else self.server.next_id()
        length = len(body) if response.stream is None else -1
        self._out += self.server.writer.head(response, request_id, length=length, keep=keep, old=old)
        if body and (request is None or request.method != "HEAD"):
            self._out += body

    async def _send_stream(self, request: Request, response: Response, *, keep: bool) -> None:
        """A body of unknown length, in chunks; to HTTP/1.0 it ends with the connection."""
        old = request.version == "1.0"
        self._out += self.server.writer.head(
            response, request.request_id, length=-1, keep=keep and not old, old=old
        )
        assert response.stream is not None
        self._midway = True
        await self._send()
        self._midway = True
        try:
            async for piece in response.stream:
                if piece:
                    self._out += piece if old else b"%x\r\n%b\r\n" % (len(piece), piece)
                    await self._send()
                    await trio.lowlevel.checkpoint()
                    self._midway = True
        finally:
            close = getattr(response.stream, "close", None)
            if close is not None:
                close()
        self._midway = False
        if not old:
            self._out += b"0\r\n\r\n"

    async def _send(self) -> None:
        """Send what is written, in slices, each of which must be taken in time."""
        out = self._out
        if not out:
            return
        self._out = bytearray()
        wire, clock, timeout = self.wire, self.server.clock, self.server.limits.write_timeout_s
        try:
            sent = wire.send_now(out)
            if sent == len(out):
                return
            self._midway = True
            rest = memoryview(out)
            for at in range(sent, len(out), OUTPUT_OCTETS):
                self.deadline = clock.now() + timeout
                await wire.send(rest[at : at + OUTPUT_OCTETS])
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            raise _Gone from None
        self._midway = False
        self.deadline = NEVER

    # -- the end ----------------------------------------------------------------------------------

    async def _hand_over(self, request: Request, takeover: Takeover) -> None:
        self.server.count(request.route, 101)
        await self._send()
        self.idle = False
        self.deadline = NEVER
        try:
            await takeover.run(self.stream, self.parser.behind_upgrade)
        except Exception:
            log.exception("a connection of another protocol failed", request=repr(request))

    async def _say_too_slow(self) -> None:
        """408, if the client still listens."""
        if self._midway:
            return
        self._out.clear()
        limits = self.server.limits
        allowed_s = limits.header_timeout_s if self.parser.in_head else limits.request_timeout_s
        response = problem(
            "request-timeout",
            f"The request was not whole after {allowed_s:g} s.",
            request_id=self.server.next_id(),
        )
        self.server.count(None, response.status)
        with trio.move_on_after(LINGER_S):
            self.server.writer.tick()
            self._write(None, response, keep=False)
            await self._send()
            await self._linger()

    async def _linger(self) -> None:
        """Say that no more comes and read on for a moment: closing at once could destroy the answer on its
        way, for octets that nobody read make the kernel send a reset."""
        if not isinstance(self.stream, trio.abc.HalfCloseableStream):
            return
        octets = 0
        with trio.move_on_after(LINGER_S):
            try:
                await self.stream.send_eof()
                while octets < LINGER_OCTETS and (data := await self.wire.receive()):
                    octets += len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                return


class _Body:
    """`Request.stream` for handlers."""

    __slots__ = ("_connection", "_incoming")

    def __init__(self, connection: Connection, incoming: Incoming) -> None:
        self._connection = connection
        self._incoming = incoming

    async def receive(self) -> bytes:
        return await self._connection.read_body(self._incoming)
