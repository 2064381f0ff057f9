"""Everything behind the `[http]` listener, put together: /v1, /metrics, /healthz.

front = HttpFront(daemon)
nursery.start_soon(front.serve, listeners, links)
await front.leave(5.0)                                at drain
"""

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.api import sandbox
from gateway.api.batch_queries import BatchQueries
from gateway.api.batches import Batches
from gateway.api.dedupe import Dedupe
from gateway.api.door import Door
from gateway.api.idempotency import KEEP_MS, Idempotency
from gateway.api.keys import Keys
from gateway.api.ledger import Ledger
from gateway.api.messages import Messages
from gateway.api.openapi import document
from gateway.api.operations import OPERATIONS
from gateway.api.queries import Queries
from gateway.api.reference import reference
from gateway.api.streamed import BODY_OCTETS_MAX, Streamed
from gateway.api.webhooks import WebhookRoutes
from gateway.events.producers import produce
from gateway.events.pull import EventQueries
from gateway.events.streams import Streams
from gateway.http.limits import HttpLimits
from gateway.http.messages import HTML, TEXT, Request, Response
from gateway.http.routes import Route
from gateway.http.server import HttpServer, Listeners
from gateway.latency import Latencies
from gateway.links.guard import BindGuard
from gateway.metrics import Monitoring
from gateway.stream.endpoint import StreamEndpoint
from gateway.webhooks.service import Webhooks
from store.api_db import ApiStore
from store.ids import SECOND_BITS

if TYPE_CHECKING:
    from gateway.daemon import Daemon

log = structlog.get_logger("http")

PURGE_PERIOD_S = 600.0
MS_A_DAY = 86_400_000
VARIES = (b"vary", b"accept")
STILL = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
MESSAGE_BODY_OCTETS_MAX = 524_288  # the longest text in JSON escapes, two for each character, is 468 KB


class HttpFront:
    """The HTTP side of a daemon."""

    def __init__(
        self,
        daemon: "Daemon",
        *,
        latencies: Latencies | None = None,
        render: Callable[[str], str] | None = None,
    ) -> None:
        """`render` makes a page for browsers of the reference's Markdown."""
        self._render = render
        core, config = daemon.core, daemon.config
        self._core = core
        self._daemon = daemon
        self._data = daemon.data
        self.latencies = latencies or Latencies()
        self.server = HttpServer([], HttpLimits.of(config), core.clock)
        self.keys = Keys(core, BindGuard(config.smpp.bind_failures_max, config.smpp.bind_ban_s))
        self.store = ApiStore.open(daemon.data)
        self.ledger = Ledger(self.store)
        self.webhooks = Webhooks(daemon, self.ledger)
        self._working = False
        self.streams = Streams()
        self.event_queries = EventQueries(core, self.keys, self.streams)
        self.door = Door(core, self.ledger, self.latencies.http)
        admit = None if config.http.metrics_public else self.keys.needs("read")
        self.monitoring = Monitoring(daemon, self.server, latencies=self.latencies, admit=admit)
        for route in (*self.monitoring.routes(), *self._routes()):
            self.server.router.add(route)

    def _routes(self) -> list[Route]:
        core, needs = self._core, self.keys.needs
        idempotency = Idempotency(core, self.ledger, self._daemon.configuration.sealer)
        kept = idempotency.kept
        self.dedupe = dedupe = Dedupe(core, self.ledger)
        messages = Messages(core, self.door, idempotency, dedupe)
        queries = Queries(core, self.ledger)
        batches = Batches(core, self.door, self.ledger, idempotency, dedupe)
        streamed = Streamed(core, self.door, batches, idempotency)
        groups = BatchQueries(core, self.ledger, batches)
        send, read, inbound = needs("send"), needs("read"), needs("inbound")
        stream = StreamEndpoint(core, self.keys, self.streams, self.door, messages)
        hooks, manage = WebhookRoutes(self._daemon, self.webhooks), needs("webhooks")
        lines = Route("POST", "/v1/batches", streamed.post, send, BODY_OCTETS_MAX, streams_body=True)

        def admit_batch(request: Request) -> Response | None:
            kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind == b"application/x-ndjson":
                request.route = lines
            return send(request)

        small = MESSAGE_BODY_OCTETS_MAX
        routes = [
            Route("POST", "/v1/messages", messages.post, send, small),
            Route("GET", "/v1/messages", queries.messages, read),
            Route("GET", "/v1/messages/{id}", queries.message, read),
            Route("DELETE", "/v1/messages/{id}", queries.cancel, send),
            Route("POST", "/v1/estimate", kept(messages.estimate), send, small),
            Route("POST", "/v1/batches", batches.post, admit_batch),
            Route("GET", "/v1/batches/{id}", groups.batch, read),
            Route("GET", "/v1/batches/{id}/messages", groups.messages, read),
            Route("POST", "/v1/batches/{id}/cancel", kept(groups.cancel), send),
            Route("POST", "/v1/batches/{id}/pause", kept(groups.pause), send),
            Route("POST", "/v1/batches/{id}/resume", kept(groups.resume), send),
            Route("GET", "/v1/inbound", queries.inbound, inbound),
            Route("GET", "/v1/events", self.event_queries.events, needs("read", "inbound", "admin")),
            Route("GET", "/v1/stream", stream.open, needs("send", "read", "inbound", "admin")),
            Route("GET", "/v1/balance", queries.balance, read),
            Route("POST", "/v1/webhooks", kept(hooks.add), manage, small),
            Route("GET", "/v1/webhooks", hooks.list, manage),
            Route("GET", "/v1/webhooks/{id}", hooks.one, manage),
            Route("PATCH", "/v1/webhooks/{id}", hooks.change, manage, small),
            Route("DELETE", "/v1/webhooks/{id}", hooks.remove, manage),
            Route("POST", "/v1/webhooks/{id}/rotate", kept(hooks.rotate), manage, small),
            Route("POST", "/v1/webhooks/{id}/test", kept(hooks.test), manage, small),
            Route("GET", "/v1/webhooks/{id}/dead_letters", hooks.dead_letters, manage),
            Route("POST", "/v1/webhooks/{id}/replay", kept(hooks.replay), manage, small),
            Route("GET", "/v1/templates", queries.templates, send),
            Route("GET", "/v1/openapi.json", self._openapi),
            Route("GET", "/v1/reference", self._reference),
        ]
        described = [
            msgspec.structs.replace(route, document=OPERATIONS[f"{route.method} {route.template}"])
            for route in routes
        ]
        self._pages = (msgspec.json.encode(document(described)), reference(described).encode())
        return described

    def _openapi(self, request: Request) -> Response:
        return Response(200, self._pages[0])

    def _reference(self, request: Request) -> Response:
        if self._render is None or b"text/html" not in request.headers.get(b"accept", b""):
            return Response(200, self._pages[1], TEXT, [VARIES])
        return Response(200, self._render(self._pages[1].decode()).encode(), HTML, [VARIES, STILL])

    # -- running ----------------------------------------------------------------------------------

    async def serve(
        self, listeners: Listeners, nursery: trio.Nursery, tls: ssl.SSLContext | None = None
    ) -> None:
        """Accept until cancelled. Connections and what serves them live in `nursery`, until it ends."""
        if not self._working:
            self._working = True
            nursery.start_soon(self._work)
            await sandbox.recover(self._core)
        await self.server.serve(listeners, nursery, tls)

    async def _work(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.door.run)
                nursery.start_soon(self.ledger.run)
                nursery.start_soon(self.webhooks.run)
                nursery.start_soon(produce, self._daemon, self.ledger)
                nursery.start_soon(self._purge)
        finally:
            self.store.close()

    async def leave(self, wait_s: float) -> None:
        """Answer what is being answered, close the rest."""
        self.streams.leave()
        await self.server.leave(wait_s)

    async def _purge(self) -> None:
        """Forget idempotency keys after a day, references and batches with their messages."""
        while True:
            now_ms = self._core.clock.wall_ms()
            oldest_ms = now_ms - self._core.config.store.retention_days * MS_A_DAY
            before = max(0, oldest_ms // 1000) << SECOND_BITS
            while await self.ledger.write(
                lambda store, now_ms=now_ms, before=before: store.purge(  # type: ignore[misc]
                    keys_before_ms=now_ms - KEEP_MS, messages_before=before
                )
            ):
                await trio.lowlevel.checkpoint()
            await trio.sleep(PURGE_PERIOD_S)
