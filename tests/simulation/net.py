"""A network in memory: listeners, connections, and everything that goes wrong with them.

A connection is two pipes. What is sent travels for a lane's latency, waits where the reader's buffer is full, may
arrive in pieces. A lane is the way between the gateway and one peer; its faults hit every connection on it:

    cut     both ends break, what is under way is lost
    hole    octets vanish and nobody is told, for ever (a dead host, a forgetful NAT)
    stall   nothing moves and nothing is lost until it is over
    cut_after   the connection breaks inside what is sent next
"""

import random
from collections import deque

import msgspec
import trio
from trio.lowlevel import ParkingLot

CAPACITY_OCTETS = 16_384
CLIENT_CONNECT_S = 10.0
CONNECT_TIMEOUT_S = 3600.0  # how long a connect into a hole waits unless its caller gives up


class Lane:
    """The way between the gateway and one peer."""

    def __init__(self, name: str, address: str, rng: random.Random) -> None:
        self.name = name
        self.address = address
        self.rng = rng
        self.latency_s = 0.002
        self.jitter = 1.0
        self.capacity = CAPACITY_OCTETS
        self.fragment = 0.0  # share of reads that give only a piece
        self.reset_on_close = 0.0  # share of closings at which the peer loses what it has not read yet
        self.stalled_until = 0.0
        self.hole_until = 0.0
        self.disturbed_until = 0.0  # when the last fault here is over: checks of timing look away until then
        self.connections: list[Connection] = []

    def delay(self) -> float:
        return self.latency_s * (1 + self.jitter * self.rng.random())

    def open_connections(self) -> list["Connection"]:
        self.connections = [c for c in self.connections if not c.over]
        return self.connections

    def disturb(self, seconds: float) -> None:
        self.disturbed_until = max(self.disturbed_until, trio.current_time() + seconds)

    def cut(self) -> None:
        self.disturb(0.0)
        for connection in self.open_connections():
            connection.cut()

    def cut_after(self, octets: int) -> None:
        self.disturb(0.0)
        for connection in self.open_connections():
            connection.halves[0].cut_after = connection.halves[1].cut_after = octets

    def hole(self, seconds: float) -> None:
        """Connections of now are dead without a sign; new ones are not made until it is over."""
        self.disturb(seconds)
        self.hole_until = max(self.hole_until, trio.current_time() + seconds)
        for connection in self.open_connections():
            connection.hole()

    def stall(self, seconds: float) -> None:
        self.disturb(seconds)
        self.stalled_until = max(self.stalled_until, trio.current_time() + seconds)


class Chunk(msgspec.Struct, gc=False):
    """Octets under way: when they arrive, when whoever sent them began to."""

    at: float
    sent_at: float
    data: bytes


class Half:
    """One direction of a connection."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.chunks: deque[Chunk] = deque()
        self.octets = 0
        self.ended = False  # the writer said it has no more
        self.broken = False
        self.dead = False  # a hole: nothing arrives, nothing is answered
        self.deaf = False  # the reader has closed
        self.cut_after: int | None = None
        self.last_at = 0.0
        self.blocked_at = -1e9  # when a writer last found no room
        self.readers = ParkingLot()
        self.writers = ParkingLot()

    def wake(self) -> None:
        self.readers.unpark_all()
        self.writers.unpark_all()

    def put(self, data: bytes, sent_at: float) -> None:
        at = self.last_at = max(self.last_at, trio.current_time() + self.lane.delay())
        self.octets += len(data)
        if not self.dead:
            self.chunks.append(Chunk(at, sent_at, data))
            self.readers.unpark_all()


class Connection:
    """Two halves and what happens to both."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.halves = (Half(lane), Half(lane))
        self.over = False
        self.forgotten = False  # one host has started anew and knows nothing of this connection

    def cut(self) -> None:
        self.over = True
        for half in self.halves:
            half.broken = True
            half.chunks.clear()
            half.wake()

    def hole(self) -> None:
        for half in self.halves:
            half.dead = True
            half.chunks.clear()


class SimStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, connection: Connection, side: int, peer: str) -> None:
        self.connection = connection
        self.peer = peer
        self._out = connection.halves[side]
        self._in = connection.halves[1 - side]
        self._closed = False
        self._severed = False
        self.sent_at = 0.0  # when the peer began to send what was read last

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        out = self._out
        left = bytes(data)
        sent_at = trio.current_time()
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            if out.broken or out.ended or self._severed:
                raise trio.BrokenResourceError
            if not left:
                return
            if out.deaf or self.connection.forgotten:
                # The first octets to a closed end come back as a reset: the next sending notices.
                self.connection.cut()
                return
            room = out.lane.capacity - out.octets
            if room <= 0:
                out.blocked_at = trio.current_time()
                await out.writers.park()
                continue
            if out.cut_after is not None:
                if len(left) > out.cut_after:
                    out.put(left[: out.cut_after], sent_at)
                    self._break_later()
                    return
                out.cut_after -= len(left)
            out.put(left[:room], sent_at)
            left = left[room:]

    def _break_later(self) -> None:
        """What was sent arrives, and then both ends learn that the connection is gone."""
        self._out.ended = self._out.broken = True
        self._in.broken = True
        self._in.chunks.clear()
        self._in.wake()
        self._out.wake()

    @property
    def blocked_at(self) -> float:
        """When the peer last had to wait for room: what it sends then comes in one go."""
        return self._in.blocked_at

    @property
    def closed(self) -> bool:
        return self._closed

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self._out.ended = True
        self._out.wake()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        half, lane = self._in, self._in.lane
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            if self._severed:
                raise trio.BrokenResourceError
            now = trio.current_time()
            if half.chunks:
                at = max(half.chunks[0].at, lane.stalled_until)
                if at > now:
                    await trio.sleep_until(at)
                    continue
                return self._read(half, max_bytes or 65_536)
            if half.broken:
                raise trio.BrokenResourceError
            if half.ended and not half.dead:
                return b""
            await half.readers.park()

    def _read(self, half: Half, most: int) -> bytes:
        chunk = half.chunks[0]
        self.sent_at = chunk.sent_at
        data = chunk.data[:most]
        rng = half.lane.rng
        if half.lane.fragment and rng.random() < half.lane.fragment:
            data = data[: rng.randint(1, len(data))]
        if len(data) == len(chunk.data):
            half.chunks.popleft()
        else:
            chunk.data = chunk.data[len(data) :]
            chunk.at = trio.current_time() + half.lane.delay()
        half.octets -= len(data)
        half.writers.unpark_all()
        return data

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            if not self._severed:
                self.close_quietly()
        await trio.lowlevel.checkpoint()

    def close_quietly(self) -> None:
        """What the kernel does with the socket of a process that is gone."""
        out, lane = self._out, self._out.lane
        unread = bool(self._in.chunks)
        out.ended = True
        if unread and lane.reset_on_close and lane.rng.random() < lane.reset_on_close:
            out.chunks.clear()
            out.broken = True
        self._in.deaf = True
        self._in.chunks.clear()
        self.connection.over = self.connection.over or out.deaf
        out.wake()
        self._in.wake()

    def sever(self, *, silent: bool) -> None:
        """The process at this end is gone; `silent`: its machine too, so that the peer hears nothing."""
        if self._closed or self._severed:
            return
        if silent:
            self.connection.hole()
        else:
            self.close_quietly()
        self._severed = True


class SimListener(trio.abc.Listener[SimStream]):
    def __init__(self, network: "Network", address: str) -> None:
        self._network = network
        self._address = address
        self.backlog: deque[SimStream] = deque()
        self.arrived = ParkingLot()
        self.closed = False

    async def accept(self) -> SimStream:
        await trio.lowlevel.checkpoint()
        while not self.backlog:
            if self.closed:
                raise trio.ClosedResourceError
            await self.arrived.park()
        return self.backlog.popleft()

    async def aclose(self) -> None:
        self.close_quietly()
        await trio.lowlevel.checkpoint()

    def close_quietly(self) -> None:
        if not self.closed:
            self.closed = True
            self._network.listeners.pop(self._address, None)
            self.arrived.unpark_all()
            for stream in self.backlog:
                stream.close_quietly()
            self.backlog.clear()


class Network:
    """All lanes and listeners of a world."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.listeners: dict[str, SimListener] = {}
        self._ports = 40_000

    def listen(self, address: str) -> SimListener:
        if address in self.listeners:
            raise OSError(98, f"address {address} in use")
        listener = self.listeners[address] = SimListener(self, address)
        return listener

    async def connect(self, lane: Lane, address: str, *, from_gateway: bool) -> SimStream:
        """Connect over a lane; refused where nobody listens, silent for as long as there is a hole."""
        await trio.sleep(lane.delay())
        while lane.hole_until > trio.current_time():
            await trio.sleep(CONNECT_TIMEOUT_S)
        if lane.stalled_until > trio.current_time():
            await trio.sleep_until(lane.stalled_until)
        listener = self.listeners.get(address)
        if listener is None:
            raise ConnectionRefusedError(111, f"nobody listens at {address}")
        connection = Connection(lane)
        lane.connections.append(connection)
        self._ports += 1
        # A peer is known to the gateway by its lane's address, whichever of them connected.
        near = SimStream(connection, 0, address if from_gateway else "gateway:2775")
        far = SimStream(connection, 1, f"{lane.address}:{self._ports}")
        listener.backlog.append(far)
        listener.arrived.unpark_all()
        return near

    async def try_to_connect(self, lane: Lane, address: str) -> SimStream | None:
        """Connect to the gateway, or None when it refuses or does not answer in time."""
        with trio.move_on_after(CLIENT_CONNECT_S):
            try:
                return await self.connect(lane, address, from_gateway=False)
            except OSError:
                pass
        return None
