"""A man in the middle: a TCP proxy between two ports whose faults the test controls.

    async with FaultyLink(carrier.port) as link:
        ...the gateway connects to link.port...
        link.black_hole()          # half-open: octets vanish, nobody is told
        link.heal()
        link.cut()                 # both ends see a broken connection

"up" is from whoever connected to the target, "down" is back. Without TCP: after
`FaultyLink(connect=carrier.connect)`, `await link.connect()` gives the near end of a memory stream through
the same faults.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import trio
import trio.testing

from gateway.sim.nursery import HasNursery

Connect = Callable[[], Awaitable[trio.abc.Stream]]
Direction = Literal["up", "down"]
BOTH: tuple[Direction, ...] = ("up", "down")
# Octets under way on a slow link; a full one makes the sender wait, as a real one does.
CHUNKS_UNDER_WAY_MAX = 1024
READ_OCTETS_MAX = 65_536


class FaultyLink(HasNursery):
    """One proxy, any number of connections, the same faults for all of them.

    Settings that a test may change at any time:
      delay_s: every chunk arrives this much later (order kept, bandwidth kept).
      fragment_octets: chunks arrive in pieces of this many octets; 0 as they come.
      fragment_pause_s: this long apart.
      refusing: new connections are closed at once.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", connect: Connect | None = None) -> None:
        self._connect = connect or partial(trio.open_tcp_stream, host, port)
        self._listens = connect is None
        self.port = 0
        self.delay_s = 0.0
        self.fragment_octets = 0
        self.fragment_pause_s = 0.0
        self.refusing = False
        self.octets: dict[Direction, int] = {"up": 0, "down": 0}
        self.octets_lost: dict[Direction, int] = {"up": 0, "down": 0}
        self.connections = 0
        self._holes: set[Direction] = set()
        self._stalled: set[Direction] = set()
        self._cut_at: dict[Direction, int] = {}
        self._scopes: set[trio.CancelScope] = set()
        self._changed = trio.Event()

    async def _opened(self) -> None:
        if self._listens:
            listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            self._nursery.start_soon(partial(trio.serve_listeners, self._serve, listeners))

    def cut(self) -> None:
        """Break every connection now; what is under way is lost."""
        for scope in list(self._scopes):
            scope.cancel()

    def cut_after(self, octets: int, direction: Direction) -> None:
        """Break a connection once so many more octets have passed that way: a PDU cut in its middle."""
        self._cut_at[direction] = self.octets[direction] + octets

    def black_hole(self, *directions: Direction) -> None:
        """Octets vanish without an error, both ways if none is named. `heal` ends it; nothing comes back."""
        self._holes |= set(directions or BOTH)

    def stall(self, *directions: Direction) -> None:
        """Nothing moves and nothing is lost: the sender's socket fills up. `heal` lets it flow again."""
        self._stalled |= set(directions or BOTH)

    def heal(self) -> None:
        """No holes, no stalls, no refusals. Connections that were cut stay cut."""
        self._holes.clear()
        self._stalled.clear()
        self._cut_at.clear()
        self.refusing = False
        self._changed.set()
        self._changed = trio.Event()

    async def connect(self) -> trio.abc.Stream:
        """The near end of a memory stream to the target, through this link's faults."""
        near, far = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, far)
        return near

    async def _serve(self, near: trio.abc.Stream) -> None:
        self.connections += 1
        scope = trio.CancelScope()
        self._scopes.add(scope)
        streams = [near]
        try:
            with scope:
                if self.refusing:
                    return
                far = await self._connect()
                streams.append(far)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, near, far, "up", scope)
                    nursery.start_soon(self._pump, far, near, "down", scope)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # one end broke: the other learns it by the closing below
        finally:
            self._scopes.discard(scope)
            with trio.CancelScope(shield=True):
                for stream in streams:
                    await trio.aclose_forcefully(stream)

    async def _pump(
        self, source: trio.abc.Stream, sink: trio.abc.Stream, direction: Direction, scope: trio.CancelScope
    ) -> None:
        """Read one way, and hand over with the moment of arrival to the task that writes."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](CHUNKS_UNDER_WAY_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, receive, sink, direction, scope)
            async with send:
                while True:
                    data = await source.receive_some(READ_OCTETS_MAX)
                    await send.send((trio.current_time() + self.delay_s, bytes(data)))
                    if not data:
                        return

    async def _deliver(
        self,
        chunks: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.abc.Stream,
        direction: Direction,
        scope: trio.CancelScope,
    ) -> None:
        async for due, data in chunks:
            await trio.sleep_until(due)
            while direction in self._stalled:
                await self._changed.wait()
            if direction in self._holes:
                self.octets_lost[direction] += len(data)
                continue  # a closing vanishes too: nobody is told
            if not data:
                scope.cancel()
                return
            limit = self._cut_at.get(direction)
            cuts = limit is not None and self.octets[direction] + len(data) >= limit
            if limit is not None and cuts:
                data = data[: limit - self.octets[direction]]
                del self._cut_at[direction]
            step = self.fragment_octets or len(data) or 1
            for at in range(0, len(data), step):
                await sink.send_all(data[at : at + step])
                if self.fragment_pause_s:
                    await trio.sleep(self.fragment_pause_s)
            self.octets[direction] += len(data)
            if cuts:
                scope.cancel()
                return
