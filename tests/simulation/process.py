"""The gateway's process: started, killed, drained, started again. What dies with it dies at one instant.

At a crash every port goes dead at once: whatever clean-up code still runs can neither store nor send. The kernel
closes the sockets of a killed process; the peers of a machine without power hear nothing at all.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from gateway.daemon import Daemon, recovered_daemon
from gateway.ports import Ports
from gateway.settings import Config
from store.port import StoreFailed, StoreFull
from tests.simulation.disk import Backend, DiskPort
from tests.simulation.net import Connection, SimListener, SimStream
from tests.simulation.organisation import CHEAP_HASH

if TYPE_CHECKING:
    from tests.simulation.world import World

ADDRESS = "10.0.0.1:2775"
DOWN_S = 1.5  # a supervisor's pause; longer than the second over which rates are promised


class InOrder(dict[Any, None]):
    """A set that keeps its order: the order of a set of objects is that of their addresses."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class GatewayNetwork:
    """`gateway/ports.py`'s Network for one process."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._listeners: list[SimListener] = []
        self._streams: list[SimStream] = []
        self.dead = False

    async def listen(self, host: str, port: int) -> list[Any]:
        listener = self._world.network.listen(f"{host}:{port}")
        self._listeners.append(listener)
        return [_Accepting(listener, self._streams)]

    async def connect(self, host: str, port: int) -> SimStream:
        if self.dead:
            await trio.sleep_forever()
        world = self._world
        stream = await world.network.connect(world.network.lanes[host], f"{host}:{port}", from_gateway=True)
        self._streams.append(stream)
        return stream

    def crash(self, kind: str) -> list[Connection]:
        """Connections of which only the other end is left."""
        self.dead = True
        for listener in self._listeners:
            listener.close_quietly()
        left = []
        for stream in self._streams:
            if not stream.closed:
                left.append(stream.connection)
                stream.sever(silent=kind == "power")
        return left


class _Accepting(trio.abc.Listener[SimStream]):
    def __init__(self, listener: SimListener, streams: list[SimStream]) -> None:
        self._listener = listener
        self._streams = streams

    async def accept(self) -> SimStream:
        stream = await self._listener.accept()
        self._streams.append(stream)
        return stream

    async def aclose(self) -> None:
        await self._listener.aclose()


async def inline(call: Callable[..., Any], /, *args: Any, limiter: Any = None) -> Any:
    """`Ports.off_loop` without a thread."""
    await trio.lowlevel.checkpoint()
    return call(*args)


class GatewayProcess:
    """The supervisor of the gateway and whatever process there is at the moment."""

    def __init__(self, world: "World", backend: Backend, config: Config) -> None:
        self.world = world
        self.backend = backend
        self.config = config
        self.daemon: Daemon | None = None
        self.port: DiskPort | None = None
        self.starts = 0
        self.starting = False
        self.up = trio.Event()
        self.down_s = DOWN_S
        self.crash_in_recovery = ""  # the next start is crashed as well, in this way
        self.nursery: trio.Nursery | None = None
        self._network: GatewayNetwork | None = None
        self._scope: trio.CancelScope | None = None
        self._orphans: list[Connection] = []
        self._crashed = ""

    async def run(self) -> None:
        """Start the gateway, and again whenever it is gone."""
        while True:
            with trio.CancelScope() as self._scope:
                await self._start()
            self.daemon, self.nursery, self.starting = None, None, False
            self.up = trio.Event()
            await trio.sleep(self.down_s)
            for connection in self._orphans:
                connection.forgotten = True  # the machine is back, and knows nothing of these
            self._orphans = []

    async def _start(self) -> None:
        world = self.world
        self._crashed = ""
        self.starting = True
        self.starts += 1
        self.down_s = DOWN_S
        port = self.port = DiskPort(world, self.backend, self.backend.open(world.clock.wall_ms()))
        network = self._network = GatewayNetwork(world)
        streams = world.streams(f"gateway {self.starts}")
        ports = Ports(world.clock, network, streams, port, inline)
        world.note("gateway", "starts", self.starts)
        world.truth.starts.append(trio.current_time())
        try:
            if self.crash_in_recovery:
                kind, self.crash_in_recovery = self.crash_in_recovery, ""
                world.agenda.after(0.0005, lambda: self.crash(kind, "while starting"))
            daemon = await recovered_daemon(self.config, Path("/nowhere"), ports, world.organisation)  # type: ignore[arg-type]
            daemon.server._verifier._decoy = CHEAP_HASH
            daemon.server.links, daemon.dialer.links = InOrder(), InOrder()  # type: ignore[assignment]
            daemon.ticker.PERIOD_S = world.plan.settings.tick_s  # type: ignore[misc]
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                await nursery.start(daemon.run)
                self.daemon, self.starting = daemon, False
                world.watch.started(daemon)
                self.up.set()
            self.backend.close()
            self._stop(network, "drain")
            world.note("gateway", "drained")
        except* StoreFailed:
            if not self._crashed:
                world.note("gateway", "exit 70")
                world.truth.crashes.append((trio.current_time(), "eio"))
                port.dead = True
                self._stop(network, "kill")
        except* (StoreFull, Exception) as group:
            if not self._crashed:
                text = "".join(traceback.format_exception(group))
                world.fail("I0", f"the gateway ended: {text}")

    def _stop(self, network: GatewayNetwork, kind: str) -> None:
        self._orphans += network.crash(kind) if kind != "drain" else []

    def crash(self, kind: str, where: str = "") -> None:
        """kill: the process is gone. power: the machine is."""
        if self._scope is None or self.port is None or self._network is None or self.port.dead:
            return
        self.world.note("gateway", kind, where)
        self.world.truth.crashes.append((trio.current_time(), kind))
        self.world.watch.crashed()
        self._crashed = kind
        self.port.crash(kind)
        self._stop(self._network, kind)
        self._scope.cancel()

    def drain(self) -> None:
        if self.daemon is not None:
            self.world.note("gateway", "SIGTERM")
            self.daemon.drain()

    def idle(self) -> bool:
        """Whether nothing is on its way to the disk: memory and store say the same then."""
        if self.daemon is None or self.port is None:
            return False
        committer = self.daemon.core.committer
        return not self.port.busy and not committer.committing and not committer.statistics().waiting_changes

    async def operate(self, change: Callable[[], None], then: Callable[[], None]) -> None:
        """An operator's change: acknowledged when the daemon has taken it in, or died and will.

        While the daemon starts, commands wait for its socket; while there is none they open the files.
        """
        while self.starting:
            await trio.sleep(0.1)
        change()
        daemon, nursery = self.daemon, self.nursery
        if daemon is None or nursery is None or self._crashed:
            then()
            return

        async def reload() -> None:
            try:
                await daemon.reload()
            finally:
                then()

        nursery.start_soon(reload)
        await trio.lowlevel.checkpoint()
