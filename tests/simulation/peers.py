"""One end of an SMPP connection in the simulation: a session on a stream, its clock, its writer.

Carriers and customers subclass it. What happens later is put into the world's agenda, so one task serves all
delays.
"""

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from gateway.smpp.session import Session
from gateway.smpp.session_values import Received
from tests.simulation.net import SimStream

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK_S = 0.5


class Agenda:
    """What is to happen when; calls run one after another in one task."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._sooner = trio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self._number += 1
        at = trio.current_time() + seconds
        heapq.heappush(self._heap, (at, self._number, call))
        if self._heap[0][0] == at:
            self._sooner.set()

    async def run(self) -> None:
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                heapq.heappop(self._heap)[2]()
            self._sooner = trio.Event()
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else float("inf")):
                await self._sooner.wait()


class Peer:
    """A connection with its session, until either side ends it."""

    def __init__(self, world: "World", actor: str, stream: SimStream, session: Session) -> None:
        self.world = world
        self.actor = actor
        self.stream = stream
        self.session = session
        self.over = False
        self.paused_until = 0.0  # reads nothing until then
        self.because = ""
        self._wake = trio.Event()
        self._scope = trio.CancelScope()

    # -- for subclasses ---------------------------------------------------------------------------

    def received(self, received: Received) -> None:
        """What one read gave."""

    def expired(self, tokens: list[object]) -> None:
        """Requests of ours that were not answered in time."""

    def ended(self, tokens: list[object]) -> None:
        """The connection is over; these requests of ours were unanswered."""

    # -- running ----------------------------------------------------------------------------------

    async def run(self) -> None:
        self.world.agenda.after(TICK_S, self._tick)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self.over = True
            self.ended(self.session.close())
            await trio.aclose_forcefully(self.stream)

    async def _read(self) -> None:
        while True:
            if self.paused_until > trio.current_time():
                await trio.sleep_until(self.paused_until)
            try:
                data = await self.stream.receive_some(65_536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.because = self.because or "broken"
                return
            if not data:
                self.because = self.because or "closed by the gateway"
                return
            self.received(self.session.receive(data, trio.current_time()))
            self.flush()
            if self.session.closing and not self.session.requests_in_hand:
                self.because = self.because or self.session.closing
                await self._last_words()
                return

    async def _last_words(self) -> None:
        with trio.move_on_after(2.0):
            while self.session.out:
                await trio.sleep(0.05)
            await trio.sleep(0.01)

    async def _write(self) -> None:
        while True:
            while self.session.out:
                try:
                    await self.stream.send_all(self.session.take_output())
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.end("broken while writing")
                    return
            self._wake = trio.Event()
            await self._wake.wait()

    def flush(self) -> None:
        if self.session.out:
            self._wake.set()

    def end(self, because: str) -> None:
        """Hang up without a word."""
        self.because = self.because or because
        self._scope.cancel()

    def _tick(self) -> None:
        if self.over:
            return
        now = trio.current_time()
        if now >= self.session.next_tick_at():
            tick = self.session.tick(now)
            if tick.expired:
                self.expired(tick.expired)
            if tick.closing:
                self.end(tick.closing)
            self.flush()
        self.world.agenda.after(TICK_S, self._tick)
