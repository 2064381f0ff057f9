"""A console to ask: a real store with a small tree of groups, a daemon that only counts, a client per person.

总公司 (1): sys (system administrator)
  a (2): adm, peer (administrators), usr
    deep (3): low
  b (4): sibling7
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from admin.app import create_app
from admin.console import Console, ConsoleOptions
from admin.operations import Account, Bind, Carrier, Live, RouteAnswer
from store import groups_edit, people_edit, quota
from store.config_db import ConfigStore
from store.people import make_admin
from store.people_edit import Profile
from store.rules import canonical_number
from store.secrets import hash_password
from store.sessions import begin_session
from tests.store.config_world import apply

BASE = "http://console.test"
PASSWORD = "a right good password"
HASH = hash_password(PASSWORD)
GROUPS = {"root": 1, "a": 2, "deep": 3, "b": 4}
USERS = {"sys": 1, "adm": 2, "peer": 3, "usr": 4, "low": 5, "sibling7": 6}
CARRIERS = """
[[carrier]]
name = "carrier-a"
host = "127.0.0.1"
port = 12775
system_id = "a"
password = "p"
[[route]]
prefix = "86"
carriers = ["carrier-a"]
[[account]]
user = "usr"
system_id = "usr-smpp"
password = "secret12"
[[account]]
user = "sibling7"
system_id = "sibling7-smpp"
password = "secret12"
[[word]]
text = "敏感"
[[blacklist]]
scope = "global"
numbers = ["8613800000000"]
"""


class FakeDaemon:
    """What the console needs of a daemon; counts what it was asked."""

    def __init__(self) -> None:
        self.reloads = 0
        self.used: dict[int, tuple[int, int]] = {}

    async def reload(self) -> None:
        self.reloads += 1

    def live(self) -> Live:
        carrier = Carrier(
            "carrier-a", True, "window", "", 5, 100, 90, 12.5, {88: 1}, 1, 80, 10, 0, "dec",
            [Bind(1, "bound_trx", 5, 10, "127.0.0.1:12775")],
        )  # fmt: skip
        accounts = [Account(name, 1, 100, 2, 3, 4, 500) for name in ("usr-smpp", "sibling7-smpp")]
        return Live({}, False, "ok", 1, 2, 3.5, 0, 0, 0, 0, [carrier], accounts)

    def balances(self) -> Mapping[int, tuple[int, int]]:
        return self.used

    def route_of(self, number: int, account: int, sms_type: str) -> RouteAnswer:
        return RouteAnswer("86", "carrier-a", True) if str(number).startswith("86") else RouteAnswer()

    def canonical_number(self, text: str) -> int:
        return canonical_number(text)


class Person:
    """A signed-in (or anonymous) browser."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def token(self, path: str = "/login") -> str:
        """The token of the forms on a page."""
        page = await self.client.get(path)
        found = re.search(r'name="csrf" content="(\w+)"', page.text)
        assert found, page.text
        return found[1]

    async def post(
        self, path: str, fields: Mapping[str, Any] | None = None, *, page: str = "/me"
    ) -> httpx.Response:
        """Send a form as the page would."""
        return await self.client.post(path, data={"_csrf": await self.token(page), **(fields or {})})


class World:
    """The console and its parts, with clocks that tests turn."""

    def __init__(self, store: ConfigStore, options: ConsoleOptions | None = None) -> None:
        self.store = store
        self.daemon = FakeDaemon()
        self.now = 0.0
        self.console = Console(store, self.daemon, options, now=lambda: self.now, wall_ms=lambda: clock.at)
        self.app = create_app(self.console)

    def session(self, login: str) -> str:
        """A new session of somebody; gives its id."""
        session_id = f"session-{login}-{len(login)}-{clock.at}"
        with self.store.writing("test") as write:
            write.run("DELETE FROM console_session WHERE user_id = ?", (USERS[login],))
            begin_session(write, session_id, USERS[login], address="127.0.0.1", agent="test")
        return session_id

    @asynccontextmanager
    async def person(self, login: str = "", *, address: str = "192.0.2.1") -> AsyncIterator[Person]:
        """Somebody's browser; "" is a stranger's."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 40000))  # type: ignore[arg-type]
        cookies = {"sid": self.session(login)} if login else {}
        async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as client:
            client.headers["accept-language"] = "en"
            yield Person(client)

    def audit(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """(actor, action, target, detail) of everything that was written down."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT actor, action, target, detail FROM audit ORDER BY id")
            return [(*row[:3], msgspec.json.decode(row[3])) for row in rows]


class Clock(msgspec.Struct):
    at: int = 1_700_000_000_000


clock = Clock()


@contextmanager
def world(path: Path, options: ConsoleOptions | None = None) -> Iterator[World]:
    """The tree above, everybody with the same password and some parts."""
    clock.at = Clock().at
    with ConfigStore.open(path, wall_ms=lambda: clock.at) as store:
        with store.writing("test") as write:
            make_admin(write, "sys", HASH, first_group="总公司")
            for parent, name in ((1, "a"), (2, "deep"), (1, "b")):
                groups_edit.create_group(write, parent, name)
            for group, parts in ((2, 1000), (4, 500), (3, 300)):
                quota.topup_group(write, group, parts)
            for login, group, parts in (
                ("adm", 2, 0), ("peer", 2, 0), ("usr", 2, 100), ("low", 3, 50), ("sibling7", 4, 70),
            ):  # fmt: skip
                user = people_edit.create_user(write, login, group, Profile(), HASH, parts=parts)
                assert user == USERS[login]
                people_edit.set_password(write, user, HASH, temporary=False)
            for login in ("adm", "peer"):
                people_edit.set_role(write, USERS[login], "admin", by=1)
        apply(store, CARRIERS)
        yield World(store, options)
