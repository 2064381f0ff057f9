"""A whole gateway for one test: the real daemon on real sockets, simulated carriers, customers that bind.

    async with world(tmp_path) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])

Whatever a test did, at its end the daemon drains and the store is proved: no contradiction in its files,
quota in memory equal to a recount from the rows.
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from gateway.accounts import AccountState
from gateway.carriers import CarrierState
from gateway.control_store import apply_tables
from gateway.daemon import Daemon, open_daemon
from gateway.ports import RealNetwork
from gateway.settings import Config
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_options import EsmeOptions
from store.model import Changes, State
from store.port import Applied, MessageLife

PASSWORD = "secret"
UPSTREAM = {"system_id": "sluice", "password": "upstream"}
PATIENCE_S = 60.0  # far more than anything here takes: a slow machine must not fail a test
POLL_S = 0.01
DRAIN_S = 3.0

# What is added to, not replaced, by `document=`.
PEOPLE: dict[str, list[dict[str, Any]]] = {
    "group": [{"path": "g", "granted": "unlimited", "review": "trust"}],
    "user": [{"login": "acme", "group": "g", "limit": 1_000_000}],
    "account": [{"user": "acme", "system_id": "acme", "password": PASSWORD}],
}


def config(**sections: dict[str, Any]) -> Config:
    """The defaults on ports that the system picks, with some settings changed: `config(smpp={...})`."""
    quick: dict[str, dict[str, Any]] = {
        "store": {"ballast_mib": 0, "disk_low_mib": 1, "disk_critical_mib": 1},
        "smpp": {"listen": "127.0.0.1:0", "bind_failure_delay_s": 0.05, "drain_s": DRAIN_S},
        "http": {"listen": ""},
        "console": {"listen": ""},
    }
    for name, values in sections.items():
        quick[name] = quick.get(name, {}) | values
    return msgspec.convert(quick, Config)


def upstream(name: str, listening: int, **settings: Any) -> dict[str, Any]:
    """A carrier's entry in a document. Reconnects fast, so that tests need not wait."""
    return {
        "name": name,
        "host": "127.0.0.1",
        "port": listening,
        "reconnect_s_min": 0.05,
        "reconnect_s_max": 0.2,
        **UPSTREAM,
        **settings,
    }


async def until(condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until `condition` holds; AssertionError, with its source, when it does not in time."""
    with trio.move_on_after(within_s):
        while not condition():
            await trio.sleep(POLL_S)
        return
    assert condition(), "this did not come true in time"


async def stays(condition: Callable[[], object], for_s: float = 0.2) -> None:
    """Assert that `condition` holds all along."""
    with trio.move_on_after(for_s):
        while True:
            assert condition()
            await trio.sleep(POLL_S)


class World:
    """The daemon with everything around it."""

    def __init__(self, daemon: Daemon, carriers: Mapping[str, SimCarrier], nursery: trio.Nursery) -> None:
        self.daemon = daemon
        self.core = daemon.core
        self.carriers = carriers
        self.nursery = nursery

    @property
    def sim(self) -> SimCarrier:
        """The only carrier of a world that has one."""
        (carrier,) = self.carriers.values()
        return carrier

    @property
    def port(self) -> int:
        return self.daemon.addresses["smpp"][1]

    def carrier(self, name: str = "c") -> CarrierState:
        return next(c for c in self.core.carriers.values() if c.carrier.name == name)

    def account(self, system_id: str = "acme") -> AccountState:
        return self.core.accounts_by_system_id[system_id]

    async def apply(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        """`sluice apply` on the running daemon."""
        await apply(self.daemon, tables)

    async def up(self, name: str = "c", binds: int = 1) -> None:
        """Until a carrier has so many binds."""
        await until(lambda: len(self.carrier(name).binds) >= binds)

    @asynccontextmanager
    async def customer(self, *, bound: bool = True, **options: Any) -> AsyncIterator[SimEsme]:
        """A simulated ESME of account acme."""
        given = {"system_id": "acme", "password": PASSWORD, "port": self.port, **options}
        async with SimEsme(EsmeOptions(**given)) as esme:
            if bound:
                await esme.bind_all()
            yield esme
            if bound:
                await esme.unbind_all()

    async def read(self, call: Callable[[Any], Any]) -> Any:
        return await self.core.ports.store.read(call)

    async def life(self, message_id: str | int) -> MessageLife:
        """Everything the store knows of a message."""
        found: MessageLife | None = await self.read(lambda s: s.message(int(message_id)))
        assert found is not None
        return found

    async def state(self, message_id: str | int) -> State:
        """The state of a message's first part on disk."""
        return State((await self.life(message_id)).parts[0].state)

    async def until_state(self, message_id: str | int, state: State) -> None:
        with trio.fail_after(PATIENCE_S):
            while await self.state(message_id) != state:
                await trio.sleep(POLL_S)

    async def until_tries(self, message_id: str | int, tries: list[tuple[int, bool]]) -> None:
        """Until the store has these tries to hand over a message's receipts: (status, done)."""
        found: list[tuple[int, bool]] = []
        with trio.move_on_after(PATIENCE_S):
            while found != tries:
                await trio.sleep(POLL_S)
                found = [(row.status, row.done) for row in (await self.life(message_id)).deliveries]
        assert found == tries

    async def drain(self) -> None:
        """Stop as SIGTERM does."""
        self.daemon.drain()
        with trio.fail_after(PATIENCE_S):
            await self.daemon.ended.wait()

    async def prove(self) -> None:
        """The store has no contradictions, and memory agrees with it about quota."""
        core = self.core
        users = {a.id: a.user.id for a in core.accounts.values()}
        problems = await self.read(lambda s: s.verify(users))
        assert problems == []
        stored: dict[int, tuple[int, int]] = {}
        for day in await self.read(lambda s: s.days()):
            for user, (reserved, used) in (await self.read(lambda s, d=day: s.usage(d))).items():
                before = stored.get(user, (0, 0))
                stored[user] = (before[0] + reserved, before[1] + used)
        held = {u: (b.reserved, b.used) for u, b in core.quota.balances.items()}
        assert {u: v for u, v in held.items() if any(v)} == {u: v for u, v in stored.items() if any(v)}


async def apply(daemon: Daemon, tables: dict[str, list[dict[str, Any]]]) -> None:
    await trio.to_thread.run_sync(
        lambda: apply_tables(
            daemon.configuration, tables, source="test", who="test", home_country="", in_flight={}
        )
    )
    await daemon.reload()


Prepare = Callable[[Daemon], Awaitable[None]]


@asynccontextmanager
async def world(
    data: Path,
    behaviour: Behaviour | None = None,
    *,
    carriers: Mapping[str, SimCarrier] | None = None,
    carrier: dict[str, Any] | None = None,
    document: dict[str, list[dict[str, Any]]] | None = None,
    settings: Config | None = None,
    network: RealNetwork | None = None,
    applied: bool = True,
    bound: bool = True,
) -> AsyncIterator[World]:
    """A running gateway.

    Args:
      data: its directory; a second world on the same one is a restart (with `applied=False`).
      behaviour: of the only carrier, "c"; `carriers` for others, opened here, {} for none.
      carrier: settings of all carriers in the document.
      document: tables put in place of, or beside, the defaults: people, one account, a route to the first.
      applied: False leaves config.db as it is.
      bound: wait until every carrier is bound.
    """
    async with AsyncExitStack() as stack:
        some = {"c": SimCarrier(behaviour, **UPSTREAM)} if carriers is None else dict(carriers)
        for sim in some.values():
            await stack.enter_async_context(sim)
        daemon = await stack.enter_async_context(open_daemon(settings or config(), data, network=network))
        if applied:
            tables: dict[str, list[dict[str, Any]]] = {
                "carrier": [upstream(name, sim.port, **(carrier or {})) for name, sim in some.items()],
                **PEOPLE,
                "route": [{"prefix": "", "carriers": list(some)[:1]}] if some else [],
                **(document or {}),
            }
            await apply(daemon, tables)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(daemon.run)
        here = World(daemon, some, nursery)
        if bound:
            for name in some:
                await here.up(name)
        yield here
        if not daemon.ended.is_set():
            await here.drain()
        await here.prove()
        nursery.cancel_scope.cancel()


@contextmanager
def blocked_store(gateway: World) -> Iterator[None]:
    """A disk that does not answer: every round waits in the writer thread until the end of the block."""
    store = gateway.core.ports.store.store  # type: ignore[attr-defined]
    go, apply = threading.Event(), store.apply

    def waiting(changes: Changes) -> Applied:
        go.wait(PATIENCE_S)
        applied: Applied = apply(changes)
        return applied

    store.apply = waiting
    try:
        yield
    finally:
        store.apply = apply
        go.set()
