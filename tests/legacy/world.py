"""A real daemon with the listeners of Kannel's and Jasmin's form, a simulated carrier, and plain HTTP clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import trio

from gateway.config import Config
from gateway.daemon import Daemon, open_daemon
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from store.model import Part
from store.secrets import hash_password
from tests.api.world import apply
from tests.gateway.http_client import Client, Reply, request

TO = "8613800138000"
SECRET = hash_password("secret")  # once: argon2 is slow on purpose
DOCUMENT: dict[str, Any] = {
    "route": [{"prefix": "86", "carriers": ["carrier"]}],
    "group": [{"path": "root", "granted": "unlimited", "review": "trust"}],
    "user": [{"login": "acme", "group": "root", "limit": 1_000}],
    "account": [
        {"user": "acme", "system_id": "acme", "password_hash": SECRET, "default_sender": "1069"},
        {"user": "acme", "system_id": "bare", "password_hash": SECRET},
        {"user": "acme", "system_id": "faker", "password_hash": SECRET, "faked_sender": "4711"},
        {"user": "acme", "system_id": "off", "password_hash": SECRET, "state": "disabled"},
        {"user": "acme", "system_id": "slow", "password_hash": SECRET, "rate": 1, "default_sender": "1069"},
        {"user": "acme", "system_id": "strict", "password_hash": SECRET, "senders": ["1069"]},
    ],
    "number": [{"address": "1069*", "account": "acme"}],
    "word": [{"text": "敏感", "action": "mask"}, {"text": "赌博", "action": "reject"}],
    "blacklist": [{"scope": "global", "numbers": ["8613900000007"]}],
}


def config(**sections: Any) -> Config:
    return msgspec.convert(
        {
            "store": {"ballast_mib": 0, "disk_low_mib": 0, "disk_critical_mib": 0},
            "smpp": {"listen": "", "home_country": "86", "bind_failures_max": 1000},
            "http": {"listen": ""},
            "console": {"listen": ""},
            **sections,
            "kannel": {"listen": "127.0.0.1:0", **sections.get("kannel", {})},
            "jasmin": {"listen": "127.0.0.1:0", "rest_listen": "127.0.0.1:0", **sections.get("jasmin", {})},
        },
        Config,
    )


class World:
    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.core = daemon.core

    async def ask(self, name: str, octets: bytes) -> Reply:
        """The reply of a listener to a request, on a connection of its own."""
        async with await trio.open_tcp_stream("127.0.0.1", self.daemon.addresses[name][1]) as stream:
            client = Client(stream)
            with trio.fail_after(5):
                await client.send(octets)
                return await client.reply()

    async def sendsms(self, query: str = "", **fields: Any) -> Reply:
        """GET /cgi-bin/sendsms as acme, unless said otherwise; underscores are dashes, None leaves out."""
        given = {"username": "acme", "password": "secret", "to": TO, "text": "hello", **fields}
        encoded = urlencode({k.replace("_", "-"): v for k, v in given.items() if v is not None})
        return await self.ask("kannel", request("GET", f"/cgi-bin/sendsms?{encoded}{query}"))

    async def send(self, path: str = "/send", query: str = "", **fields: Any) -> Reply:
        """GET of Jasmin's API as acme; as above."""
        given = {"username": "acme", "password": "secret", "to": TO, "content": "hello", **fields}
        encoded = urlencode(
            {
                name if name == "custom_tlvs" else name.replace("_", "-"): value
                for name, value in given.items()
                if value is not None
            }
        )
        return await self.ask("jasmin", request("GET", f"{path}?{encoded}{query}"))

    async def apply(self, tables: dict[str, Any]) -> None:
        await apply(self.daemon, tables)

    async def parts(self) -> list[Part]:
        """All parts that are stored, oldest first."""
        parts: list[Part] = []
        for account in self.core.accounts:
            parts += await self.core.ports.store.read(lambda s, a=account: s.parts_of(a, 1 << 62, 1000))
        return sorted(parts, key=lambda part: part.id)

    async def last(self) -> Part:
        return (await self.parts())[-1]


@asynccontextmanager
async def running(
    data: Path, *, document: dict[str, Any] = DOCUMENT, **sections: Any
) -> AsyncIterator[World]:
    """The daemon without a carrier: messages are accepted and wait."""
    async with open_daemon(config(**sections), data) as daemon, trio.open_nursery() as nursery:
        await apply(daemon, {"carrier": [{"name": "carrier", "host": "127.0.0.1", "port": 1}], **document})
        await nursery.start(daemon.run)
        try:
            yield World(daemon)
        finally:
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
        link = {"host": "127.0.0.1", "port": carrier.port, "system_id": "sluice", "password": "password"}
        await world.apply({"carrier": [{"name": "carrier", **link}]})
        with trio.fail_after(5):
            while not any(one.up for one in world.core.carriers.values()):
                await trio.sleep(0.01)
        yield world, carrier
