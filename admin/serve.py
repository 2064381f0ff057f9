"""Hypercorn, under trio, in the daemon's own nursery tree: a fault in it costs pages, never messages."""

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from litestar import Litestar

log = structlog.get_logger("console")

HEAD_OCTETS_MAX = 16_384
KEEP_ALIVE_S = 30
READ_TIMEOUT_S = 30  # a request must make progress within it
RESTART_S = 1.0


async def serve_console(
    app: Litestar, listen: str, *, task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED
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
    config.read_timeout = READ_TIMEOUT_S
    config.alpn_protocols = ["http/1.1"]
    host, _, port = listen.rpartition(":")
    first = await _open(host.strip("[]"), int(port))
    address = first.getsockname()[:2]
    task_status.started(address)
    waiting: trio.socket.SocketType | None = first
    while True:
        try:
            listener, waiting = waiting or await _open(*address), None
            # Hypercorn takes the descriptor over, and closes it.
            config.bind = [f"fd://{listener.detach()}"]
            await serve(app, config, shutdown_trigger=trio.sleep_forever)  # type: ignore[arg-type]
        except Exception as error:
            log.error("the console's server failed and begins again", error=type(error).__name__)
        await trio.sleep(RESTART_S)


async def _open(host: str, port: int) -> trio.socket.SocketType:
    (listener, *others) = await trio.open_tcp_listeners(port, host=host or None)
    for other in others:
        await other.aclose()
    return listener.socket
