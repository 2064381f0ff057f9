"""The listeners of Kannel's and Jasmin's form, each with its own routes, on the one HTTP server's machinery.

legacy = LegacyFront(daemon, front)
await legacy.open(listening, links)
await legacy.leave(5.0)                               at drain
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from gateway.api.front import HttpFront
from gateway.http.limits import HttpLimits
from gateway.http.messages import Request, Response
from gateway.http.routes import Route, Router
from gateway.http.server import HttpServer
from gateway.legacy import kannel
from gateway.legacy.caller import Caller
from gateway.legacy.credentials import Credentials
from gateway.legacy.jasmin import Jasmin
from gateway.legacy.jasmin_rest import JasminRest
from gateway.legacy.kannel import Kannel
from gateway.legacy.outgoing import Outgoing
from gateway.links.guard import BindGuard
from gateway.webhooks.service import tls_context

if TYPE_CHECKING:
    from gateway.daemon import Daemon

SENDSMS = "/cgi-bin/sendsms"
NOTHING_HERE = (
    b"<html><head><title>404 - No Such Resource</title></head><body><h1>No Such Resource</h1></body></html>"
)


def nothing() -> Response:
    """What Jasmin's web servers say of a path that is not there."""
    return Response(404, NOTHING_HERE, b"text/html; charset=utf-8")


class LegacyRouter(Router):
    """Paths that are not there, and methods that a path does not take, are answered as the original answers.

    A HEAD is never a message: what only looks must not send.
    """

    def __init__(self, unknown: Callable[[], Response]) -> None:
        super().__init__()
        self._unknown = unknown

    def find(self, request: Request) -> Response | None:
        return self._unknown() if request.method == "HEAD" or super().find(request) else None


class LegacyFront:
    """What listens for applications that were written for another gateway."""

    def __init__(self, daemon: "Daemon", front: HttpFront) -> None:
        core, config = daemon.core, daemon.config
        self._daemon = daemon
        smpp = config.smpp
        guard = BindGuard(smpp.bind_failures_max, smpp.bind_ban_s)
        self.credentials = Credentials(core, guard, password_octets_max=smpp.password_octets_max)
        webhooks = front.webhooks
        self.outgoing = Outgoing(core, webhooks.rules, tls_context(config), webhooks.resolver)
        self.caller = Caller(core, front.ledger, self.outgoing.fetch)
        self.servers: dict[str, HttpServer] = {}
        self._listens = {
            "kannel": config.kannel.listen,
            "jasmin": config.jasmin.listen,
            "jasmin-rest": config.jasmin.rest_listen,
        }
        sendsms = Kannel(core, front.door, self.credentials, config.kannel).sendsms
        jasmin = Jasmin(core, front.door, self.credentials)
        rest = JasminRest(core, jasmin, self.credentials, self.caller.tell_once)
        self._add("kannel", kannel.unknown_request, [
            Route("GET", SENDSMS, sendsms),
            Route("POST", SENDSMS, sendsms),
        ])  # fmt: skip
        self._add("jasmin", nothing, [
            Route("GET", "/send", jasmin.send),
            Route("POST", "/send", jasmin.send),
            Route("GET", "/rate", jasmin.rate),
            Route("GET", "/balance", jasmin.balance),
            Route("GET", "/ping", jasmin.ping),
        ])  # fmt: skip
        self._add("jasmin-rest", nothing, rest.routes())

    def _add(self, name: str, unknown: Callable[[], Response], routes: list[Route]) -> None:
        if not self._listens[name]:
            return
        server = HttpServer([], HttpLimits.of(self._daemon.config), self._daemon.core.clock)
        server.router = LegacyRouter(unknown)
        for route in routes:
            server.router.add(route)
        self.servers[name] = server

    # -- running ----------------------------------------------------------------------------------

    async def open(self, listening: trio.Nursery, links: trio.Nursery) -> None:
        """Listen. Accepting ends with `listening`; connections, and calls, with `links`."""
        await links.start(self.caller.run)
        links.start_soon(self.outgoing.run)
        for name, server in self.servers.items():
            listeners = await self._daemon.open_listeners(name, self._listens[name])
            listening.start_soon(server.serve, listeners, links)

    async def leave(self, wait_s: float) -> None:
        """Answer what is being answered, close the rest."""
        async with trio.open_nursery() as nursery:
            for server in self.servers.values():
                nursery.start_soon(server.leave, wait_s)
        await self.caller.save()
