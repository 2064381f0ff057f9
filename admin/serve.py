"""Hypercorn, under trio, in the daemon's own nursery tree: a fault in it costs pages, never messages."""

from functools import partial
from typing import Any

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import wrap_app
from litestar import Litestar

from admin.connections import BodyInTime, ConnectionLimits, Door

log = structlog.get_logger("console")

HEAD_OCTETS_MAX = 16_384
KEEP_ALIVE_S = 30  # from one answer to the next whole head: a slow one is as good as none
RESTART_S = 1.0


class Connection(TCPServer):
    """Hypercorn's connection, which would keep its place until the keep-alive is over though the client has gone."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


async def serve_console(
    app: Litestar,
    listen: str,
    limits: ConnectionLimits | None = None,
    *,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; starts with the (host, port) that it really listens on.

    Raises OSError when it cannot listen at the start. What breaks the server later is logged, and it begins
    again at the same address.
    """
    config = Config()
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEAD_OCTETS_MAX
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.read_timeout = (
        None  # a stream of events is silent for long; bodies are held to a pace of their own
    )
    config.alpn_protocols = ["http/1.1"]
    host, _, port = listen.rpartition(":")
    first = await _open(host.strip("[]"), int(port))
    address = first.socket.getsockname()[:2]
    task_status.started(address)
    waiting: trio.SocketListener | None = first
    while True:
        try:
            listener, waiting = waiting or await _open(*address), None
            await _serve(app, config, Door(listener, limits or ConnectionLimits()))
        except Exception as error:
            log.error("the console's server failed and begins again", error=type(error).__name__)
        await trio.sleep(RESTART_S)


async def _serve(app: Litestar, config: Config, door: Door) -> None:
    """Hypercorn's connections behind our own listener: its `serve` takes nothing but sockets."""
    wrapped = wrap_app(BodyInTime(app), config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
    context = WorkerContext(None)
    state: Any = LifespanState({})
    async with trio.open_nursery() as connections:
        await trio.serve_listeners(
            partial(Connection, wrapped, config, context, ConnectionState(state)),
            [door],
            handler_nursery=connections,
        )


async def _open(host: str, port: int) -> trio.SocketListener:
    (listener, *others) = await trio.open_tcp_listeners(port, host=host or None)
    for other in others:
        await other.aclose()
    return listener
