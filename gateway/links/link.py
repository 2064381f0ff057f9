"""One stream with its SMPP session: a reader, a writer, and a clock that is asked from outside.

Everybody appends to the session's output; only the writer sends. A write that does not end in time drops the
link, for nobody can know how much of it arrived. Whatever way a link ends, `session.close()` hands back every
unanswered request, and the subclass puts it where it belongs.
"""

import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog
import trio

from gateway.ports import Clock
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received
from store.port import StoreFailed

log = structlog.get_logger("link")

READ_OCTETS = 65_536  # about 350 submit_sm; larger reads only move work from one pass to the next
WRITE_OCTETS = 262_144  # one write's worth: a slow peer must take this much within the write timeout
GOODBYE_S = 2.0  # time for the last answers and the unbind when a link is being ended
ENQUIRE_ANSWER_S = 10.0  # for a sign of life after an enquire_link; asked twice
POLL_S = 0.02


class LinkLimits(msgspec.Struct, frozen=True):
    write_timeout_s: float = 30.0
    output_octets_max: int = 4 * 1024 * 1024  # unwritten at once; then we do not read what asks for more


class Clocked(Protocol):
    """What the ticker asks of every link."""

    @property
    def next_tick_at(self) -> float: ...

    def tick(self, now: float) -> None: ...


class Link(ABC):
    """Base of both kinds of link. Subclasses give `handle`, `expired` and `ended`."""

    def __init__(
        self, stream: trio.abc.Stream, session: Session, clock: Clock, limits: LinkLimits, peer: str
    ) -> None:
        self.stream = stream
        self.session = session
        self.clock = clock
        self.limits = limits
        self.peer = peer
        self.read_at = clock.now()
        self.closing: str | None = None
        self.leaving = False  # begins nothing new: what is outstanding may end, then it unbinds
        self._timed_out = False
        self._broken = False
        self._writing = False
        self._written = trio.Event()
        self._over = trio.Event()
        self._writable = trio.Event()
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._ended = False

    # -- for subclasses ---------------------------------------------------------------------------

    @abstractmethod
    async def handle(self, received: Received) -> None:
        """Requests and answers of one pass, in wire order. May wait; appends answers to the session."""

    @abstractmethod
    def started(self) -> None:
        """The loops are about to run: send what waits for this link."""

    @abstractmethod
    def expired(self, tokens: Sequence[object]) -> None:
        """Our requests whose answer did not come in time."""

    @abstractmethod
    def ended(self, tokens: Sequence[object]) -> None:
        """The link is gone; these requests of ours were unanswered."""

    # -- the loops --------------------------------------------------------------------------------

    async def run(self, received: Received | None = None) -> None:
        """Read, answer and write until either side ends it. Hands back what was unanswered, always.

        `received` is what the peer had pipelined behind its bind.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._write_loop)
                    self.started()
                    if received is not None:
                        await self._see(received)
                    await self._read_loop()
                    await self._last_words()
                    nursery.cancel_scope.cancel()
        finally:
            self._finish()
            await trio.aclose_forcefully(self.stream)

    async def _read_loop(self) -> None:
        session, clock, receive_some = self.session, self.clock, self.stream.receive_some
        while self.closing is None:
            try:
                data = await receive_some(READ_OCTETS)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                self._broken = True
                self.closing = self.closing or f"the connection broke: {reason_of(error)}"
                return
            if not data:
                self.closing = self.closing or "the peer closed the connection"
                return
            self.read_at = clock.now()
            await self._see(session.receive(bytes(data), self.read_at))
            while len(session.out) > self.limits.output_octets_max:
                # It reads slower than it asks. The write timeout ends one that does not read at all.
                self._written = trio.Event()
                await self._written.wait()

    async def _see(self, received: Received) -> None:
        if received.requests or received.answers or received.late:
            await self.handle(received)
        if received.closing:
            self.closing = received.closing
        self.flush()

    async def _write_loop(self) -> None:
        session, limits = self.session, self.limits
        self.flush()
        while True:
            await self._writable.wait()
            self._writable = trio.Event()
            while session.out:
                self._writing = True
                output = session.take_output()
                for at in range(0, len(output), WRITE_OCTETS):
                    with trio.move_on_after(limits.write_timeout_s) as scope:
                        try:
                            await self.stream.send_all(output[at : at + WRITE_OCTETS])
                        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                            self._broken = True
                            self.end(f"the connection broke while writing: {reason_of(error)}")
                            return
                    if scope.cancelled_caught:
                        reset_on_close(self.stream)
                        self.end(f"the peer did not read for {limits.write_timeout_s:g} s")
                        return
                self._writing = False
                self._written.set()

    async def _last_words(self) -> None:
        """Give what is in hand, and the writer, a moment; nobody hears answers on a broken link."""
        session = self.session
        with trio.move_on_after(GOODBYE_S):
            while not self._broken and (session.requests_in_hand or session.out or self._writing):
                self._writable.set()
                await trio.sleep(POLL_S)

    # -- for everybody ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Something was appended to the session's output."""
        if self.session.out:
            self._writable.set()

    def end(self, reason: str) -> None:
        """End the link now, from any task."""
        if self.closing is None:
            self.closing = reason
        self._scope.cancel()

    async def leave(self, wait_s: float) -> None:
        """End politely: begin nothing, let outstanding answers come, unbind, wait for its answer; bounded."""
        self.leaving = True
        await self._wait_until(lambda: not self.session.window_used, wait_s)
        self.session.unbind(self.clock.now())
        self.flush()
        await self._wait_until(lambda: False, GOODBYE_S)
        if self.closing is None:
            self.end("the peer did not answer our unbind")
        with trio.move_on_after(GOODBYE_S):
            await self._over.wait()

    async def patiently(self, patience_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for `work` for a while only: then the reader goes on, and it ends beside the reader."""
        assert self._nursery is not None
        done = trio.Event()

        async def run() -> None:
            await work()
            done.set()

        self._nursery.start_soon(run)
        with trio.move_on_after(patience_s):
            await done.wait()

    async def _wait_until(self, condition: Callable[[], bool], at_most_s: float) -> None:
        """Until `condition`, or the link ends. It looks often: what ends a link is said by many."""
        deadline = self.clock.now() + at_most_s
        while not condition() and self.closing is None and self.clock.now() < deadline:  # noqa: ASYNC110
            await trio.sleep(POLL_S)

    @property
    def next_tick_at(self) -> float:
        """When `tick` has work; asked anew each time: what is received or sent may bring it nearer."""
        return self.session.next_tick_at()

    def tick(self, now: float) -> None:
        """Timers of the session; called by the daemon's ticker when `next_tick_at` has come."""
        tick = self.session.tick(now)
        if tick.expired:
            self.expired(tick.expired)
        self.flush()
        if tick.closing and (self.closing is None or self._timed_out):
            if self._timed_out or not (self.session.out or self._writing):
                self.end(tick.closing)
            # What was queued with the end (an unbind_resp, say) has until the next tick to be written.
            self.closing = self.closing or tick.closing
            self._timed_out = True

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            self.ended(self.session.close())
        finally:
            self._over.set()


def reason_of(error: BaseException) -> str:
    """What went wrong underneath, in the system's own words."""
    while True:
        cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if cause is None:
            break
        error = cause
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def reraise_store_failure(error: BaseException) -> None:
    """Let a failing disk end the daemon, wherever it was noticed (P10); all else is contained in its link."""
    if isinstance(error, StoreFailed):
        raise error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            reraise_store_failure(inner)


def reset_on_close(stream: trio.abc.Stream) -> None:
    """Have the next close reset the connection: what is unsent goes, and the peer learns at once.

    A plain close would leave the kernel offering octets to somebody who does not read, and a peer that is
    blocked in sending would hear of it only with its next window probe, seconds later.
    """
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if isinstance(stream, trio.SocketStream):
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))


class Ticker:
    """Asks every link for its timers four times a second: one task instead of one a link."""

    PERIOD_S = 0.25

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[int, Clocked] = {}
        self._every: list[Callable[[float], None]] = []

    def add(self, link: Clocked) -> None:
        self._links[id(link)] = link

    def remove(self, link: Clocked) -> None:
        self._links.pop(id(link), None)

    def call_each_time(self, call: Callable[[float], None]) -> None:
        self._every.append(call)

    async def run(self) -> None:
        while True:
            await trio.sleep(self.PERIOD_S)
            now = self._clock.now()
            for link in list(self._links.values()):
                if now >= link.next_tick_at:
                    link.tick(now)
            for call in self._every:
                call(now)
