"""A real daemon on a temporary directory with its HTTP side, a simulated carrier, and clients of the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from gateway.api.front import HttpFront
from gateway.api.openapi import is_struct
from gateway.api.operations import OPERATIONS, statuses_of
from gateway.config import Config
from gateway.control_store import apply_tables, webhook_rules
from gateway.daemon import Daemon, open_daemon
from gateway.http.problems import Problem
from gateway.settings import WebhookSettings
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from tests.gateway.http_client import Client, Reply, request

KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_secret-of-acme"
OTHER_KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_secret-of-other"
TEST_KEY = "gw_test_0123456789ABCDEFGHJKMNPQRS_secret-of-acme"
TO = "+8613800138000"

DOCUMENT: dict[str, Any] = {
    "route": [{"prefix": "86", "carriers": ["carrier"]}],
    "group": [{"path": "root", "granted": "unlimited", "review": "trust"}],
    "user": [
        {"login": "acme", "group": "root", "limit": 1_000_000},
        {"login": "other", "group": "root", "limit": 100},
    ],
    "account": [
        {"user": "acme", "system_id": "api:acme", "default_sender": "1069"},
        {"user": "acme", "system_id": "esme", "password": "password"},
    ],
    "api_key": [
        {"user": "acme", "key": KEY},
        {"user": "other", "key": OTHER_KEY},
        {"user": "acme", "key": TEST_KEY},
    ],
    "number": [{"address": "1069*", "account": "api:acme"}],
    "word": [{"text": "敏感", "action": "mask"}, {"text": "赌博", "action": "reject"}],
    "blacklist": [{"scope": "global", "numbers": ["8613900000007"]}],
}


def config(**http: Any) -> Config:
    return msgspec.convert(
        {
            "store": {"ballast_mib": 0, "disk_low_mib": 0, "disk_critical_mib": 0},
            "smpp": {"listen": "", "home_country": "86"},
            "http": {"listen": "127.0.0.1:0", **http},
            "console": {"listen": ""},
        },
        Config,
    )


class World:
    def __init__(self, daemon: Daemon, front: HttpFront, port: int) -> None:
        self.daemon = daemon
        self.core = daemon.core
        self.front = front
        self.port = port
        self.clients: list[Client] = []

    async def connect(self, key: str = KEY) -> "Api":
        """A keep-alive connection that shows this key."""
        client = Client(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.clients.append(client)
        return Api(client, key)

    async def apply(self, tables: dict[str, Any]) -> None:
        """`sluice apply` while the daemon runs."""
        await apply(self.daemon, tables)


async def bound(world: World) -> None:
    """Wait until the carrier is up."""
    with trio.fail_after(5):
        while not any(carrier.up for carrier in world.core.carriers.values()):
            await trio.sleep(0.01)


async def apply(daemon: Daemon, tables: dict[str, Any]) -> None:
    await trio.to_thread.run_sync(
        lambda: apply_tables(
            daemon.configuration,
            tables,
            source="test",
            who="test",
            home_country="86",
            in_flight={},
            rules=webhook_rules(daemon.config.webhooks),
        )
    )
    await daemon.reload()


def check_answer(method: str, path: str, reply: Reply) -> None:
    """Every answer in these tests is one that the operation's description promises: status and fields."""
    template = template_of(path.partition("?")[0])
    operation = OPERATIONS.get(f"{method} {template}")
    if operation is None:
        return
    if reply.status != operation.status:
        codes = statuses_of(operation).get(reply.status)
        assert codes is not None, f"{method} {template} does not document {reply.status}"
        problem = msgspec.json.decode(reply.body, type=Problem)
        assert problem.code in codes, f"{method} {template} does not document {problem.code}"
        assert problem.status == reply.status
    elif is_struct(operation.answer):
        told = msgspec.json.decode(reply.body, type=operation.answer)
        # Nothing is in the answer that its type does not know.
        assert msgspec.json.decode(msgspec.json.encode(told)) == reply.json


def template_of(path: str) -> str:
    steps = path.split("/")
    if len(steps) > 3 and steps[2] in ("messages", "batches", "webhooks"):
        steps[3] = "{id}"
    return "/".join(steps)


class Api:
    def __init__(self, client: Client, key: str) -> None:
        self.client = client
        self.key = key

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        reply = await self.client.ask(method, path, body, Authorization=f"Bearer {self.key}", **headers)
        check_answer(method, path, reply)
        return reply

    async def post(self, path: str, body: Any, **headers: str) -> Reply:
        return await self.ask("POST", path, body, **headers)

    async def get(self, path: str) -> Any:
        """The JSON behind a path that must answer 200."""
        reply = await self.ask("GET", path)
        assert reply.status == 200, reply
        return reply.json

    async def send(self, **message: Any) -> Any:
        """The JSON of a message that must be accepted."""
        reply = await self.post("/v1/messages", {"to": TO, "text": "您好", **message})
        assert reply.status == 202, reply.body
        return reply.json

    async def until(self, path: str, **wanted: Any) -> Any:
        """Asks until the JSON has these values; at most 5 seconds."""
        with trio.fail_after(5):
            while True:
                found = await self.get(path)
                if all(found[name] == value for name, value in wanted.items()):
                    return found
                await trio.sleep(0.01)

    def octets(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        return request(method, path, body, Authorization=f"Bearer {self.key}", **headers)


@asynccontextmanager
async def running(
    data: Path,
    *,
    document: dict[str, Any] = DOCUMENT,
    http: dict[str, Any] | None = None,
    webhooks: dict[str, Any] | None = None,
) -> AsyncIterator[World]:
    """The daemon without a carrier: messages are accepted and wait."""
    settings = msgspec.structs.replace(
        config(**(http or {})), webhooks=msgspec.convert(webhooks or {}, WebhookSettings)
    )
    async with open_daemon(settings, data) as daemon, trio.open_nursery() as nursery:
        tables = {"carrier": [{"name": "carrier", "host": "127.0.0.1", "port": 1}], **document}
        await apply(daemon, tables)
        await nursery.start(daemon.run)
        assert daemon.front is not None
        world = World(daemon, daemon.front, daemon.addresses.get("http", ("", 0))[1])
        try:
            yield world
        finally:
            for client in world.clients:
                await trio.aclose_forcefully(client.stream)
            daemon.drain()
            with trio.move_on_after(2):
                await daemon.ended.wait()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def delivering(
    data: Path, behaviour: Behaviour | None = None, **options: Any
) -> AsyncIterator[tuple[World, SimCarrier]]:
    """The same with a simulated carrier that takes and delivers."""
    async with SimCarrier(behaviour, system_id="sluice") as carrier, running(data, **options) as world:
        await world.apply(
            {
                "carrier": [
                    {
                        "name": "carrier",
                        "host": "127.0.0.1",
                        "port": carrier.port,
                        "system_id": "sluice",
                        "password": "password",
                    }
                ]
            }
        )
        yield world, carrier
