"""One world: a carrier behind a link that fails, a daemon that dies, customers that keep books.

    async with open_world(directory, WorldOptions()) as world:
        await world.warm_up()
        ...faults...
        verdict = await world.judge()

Carrier, link and customers live in this process; the daemon is the real one, in its own, with its files on disk.
"""

import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import msgspec
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.wire import FaultyLink
from tests.faults import laws
from tests.faults.books import Books
from tests.faults.customer import Customer
from tests.faults.daemon import Daemon, DaemonFailed, apply
from tests.faults.laws import Evidence
from tests.faults.stored import copy_of, read_stored, stored_destinations
from tests.faults.tmpfs import small_disk

CARRIER_BINDS = 2
CARRIER_WINDOW = 50
RESPONSE_TIMEOUT_S = 3.0
RATE = 300.0  # messages a second and customer: the machine is shared, and faults need no flood
# What may have been sent or answered and not be committed when the process dies: the windows, and what a round
# takes to reach a busy disk.
COMMIT_S = 0.1
HEAL_S = 180.0
QUIET_LOOKS = 3
LOOK_S = 0.1
MEMORY_S = 30.0
RSS_GROWTH_MAX = 24 << 20  # after a fault: fragmentation, and caches that a fault has filled

GOOD = Behaviour(
    receipts_delay_s=0.05,
    receipts_jitter_s=0.05,
    receipt_retry_s=1.5,
    states={"DELIVRD": 0.9, "UNDELIV": 0.1},
)

DOCUMENT = """
[[carrier]]
name = "north"
host = "127.0.0.1"
port = {port}
system_id = "carrier"
password = "password"
binds = {binds}
window = {window}
enquire_link_s = 1.0
response_timeout_s = {timeout_s}
reconnect_s_min = 0.1
reconnect_s_max = 0.5
{carrier}

[[route]]
prefix = ""
carriers = ["north"]

[[group]]
path = "faults"
granted = "unlimited"
review = "trust"

[[user]]
login = "acme"
group = "faults"
limit = 10000000

[[user]]
login = "blue"
group = "faults"
limit = 10000000

[[account]]
user = "acme"
system_id = "acme"
password = "secret12"

[[account]]
user = "blue"
system_id = "blue"
password = "secret12"
"""
# system_id -> the first digits of its numbers
CUSTOMERS = {"acme": "861371", "blue": "861382"}

ENVIRONMENT = {
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__SMPP__RESPONSE_TIMEOUT_S": "3",
    "SLUICE__SMPP__SESSION_INIT_S": "3",
    "SLUICE__SMPP__PARTIAL_PDU_S": "3",
    "SLUICE__SMPP__WRITE_TIMEOUT_S": "5",
    "SLUICE__SMPP__DRAIN_S": "15",
    "SLUICE__HTTP__LISTEN": "",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__LOG__FORMAT": "json",
    "SLUICE__STORE__BALLAST_MIB": "0",
    "SLUICE__STORE__DISK_LOW_MIB": "64",
    "SLUICE__STORE__DISK_CRITICAL_MIB": "16",
    "SLUICE__RECEIPTS__UNKNOWN_AFTER_HOURS": "0",
    "SLUICE__RECEIPTS__RETRY_S_MAX": "2",
}


class Verdict(msgspec.Struct, kw_only=True):
    """What one world came to."""

    accepted: int
    refused: int
    unanswered: int
    receipts: int
    starts: int
    duplicates: int
    duplicates_max: int
    rss_growth_octets: int | None
    broken: dict[str, list[str]]
    notes: list[str] = []

    @classmethod
    def nothing(cls, broken: dict[str, list[str]]) -> Self:
        """Of a world that could not be judged."""
        return cls(
            accepted=0, refused=0, unanswered=0, receipts=0, starts=0, duplicates=0, duplicates_max=0,
            rss_growth_octets=None, broken=broken,
        )  # fmt: skip

    def words(self) -> str:
        return laws.in_words(self.broken)


class WorldOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a world differs from the ordinary one."""

    behaviour: Behaviour = GOOD  # of the carrier, until a scenario changes it
    carrier_toml: str = ""  # more settings of the carrier
    environment: dict[str, str] = {}  # more settings of the daemon
    customers: tuple[str, ...] = ("acme", "blue")
    rate: float = RATE
    validity: bytes = b""
    at_most_once: bool = False  # the carrier's policy is hold or fail
    tmpfs_mib: int = 0  # the data directory on a disk of its own, of that size
    seed: int = 0


class World:
    """Everything of one run. Made by `open_world`."""

    def __init__(self, directory: Path, options: WorldOptions) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.options = options
        self.daemon = Daemon(directory, {**ENVIRONMENT, **options.environment})
        self.books = Books(directory / "journal.txt")
        self.customers = [
            Customer(
                self.books,
                name,
                CUSTOMERS[name],
                lambda: self.daemon.port,
                rate=options.rate,
                validity=options.validity,
            )
            for name in options.customers
        ]
        self.carrier = SimCarrier(options.behaviour, seed=options.seed)
        self.carriers = [self.carrier]  # and those that it was restarted as
        self.link = FaultyLink()
        self.nursery: trio.Nursery
        self.crashes = 0
        self.timed_out = False  # answers came later than we wait for them
        self.notes: list[str] = []
        self.wrongs: dict[str, list[str]] = {}  # what scenarios found themselves
        self._checked_id = 0
        self._rss = 0
        self.calm_rate = 0.0  # messages accepted a second before the fault

    async def run_carrier(
        self, carrier: SimCarrier, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve as the carrier, until the world ends or `restart_carrier` takes its place."""
        with trio.CancelScope() as self._carrier_scope:
            async with carrier:
                self.carrier = carrier
                task_status.started()
                await trio.sleep_forever()

    async def restart_carrier(self, behaviour: Behaviour) -> None:
        """The carrier's process is gone, with what it had queued, and another is there at once."""
        port = self.carrier.port
        self._carrier_scope.cancel()
        self.link.cut()
        await trio.sleep(0.1)
        self.carriers.append(SimCarrier(behaviour, port=port, seed=len(self.carriers)))
        await self.nursery.start(self.run_carrier, self.carriers[-1])

    # -- what scenarios do ------------------------------------------------------------------------

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Customers submit while the block runs."""
        for customer in self.customers:
            customer.paused = False
        try:
            yield
        finally:
            for customer in self.customers:
                customer.paused = True

    def wrong(self, law: str, text: str) -> None:
        """A scenario found that something is not as it must be."""
        self.wrongs.setdefault(law, []).append(text)

    def still_runs(self, after: str) -> None:
        if not self.daemon.running:
            raise DaemonFailed(
                f"after {after} the daemon is gone, code {self.daemon.code}:\n{self.daemon.tail()}"
            )

    async def load_for(self, seconds: float) -> None:
        async with self.load():
            await trio.sleep(seconds)

    async def carry(self, messages: int = 20) -> None:
        """Load until so many more are accepted."""
        wanted = len(self.books.accepted) + messages
        async with self.load():
            await self.wait(lambda: len(self.books.accepted) >= wanted, HEAL_S, "accepting")

    async def warm_up(self, seconds: float = 2.0) -> None:
        """Start, carry some traffic, come to rest: from here on memory and pace are compared."""
        await self.daemon.start()
        await self.wait(lambda: all(customer.bound for customer in self.customers), HEAL_S, "all binds")
        await self.load_for(seconds)
        self.calm_rate = len(self.books.accepted) / seconds
        await self.settle()
        self._rss = self.daemon.rss_octets()

    async def crashed(self) -> None:
        """The process died by force: see at once that nothing accepted is lost, whatever comes later."""
        self.crashes += 1
        self.daemon.port = 0
        await trio.sleep(0.02)  # what the dead process had written to its sockets is read
        copy = await trio.to_thread.run_sync(copy_of, self.daemon.data, self.directory / "copy")
        stored = await trio.to_thread.run_sync(stored_destinations, copy, self._checked_id)
        lost = [
            sent
            for sent in self.books.accepted
            if int(sent.message_id) > self._checked_id and int(sent.message_id) not in stored
        ]
        self.books.problems += [f"{sent.message_id} was lost by crash {self.crashes} (P1)" for sent in lost]
        self._checked_id = max(stored, default=self._checked_id)

    def heal(self) -> None:
        """Everything but the daemon is well again."""
        self.link.heal()
        self.carrier.behaviour = self.options.behaviour

    async def settle(self, within_s: float = HEAL_S) -> None:
        """Until nothing is under way. Raises DaemonFailed with what still is."""
        with trio.move_on_after(within_s):
            while not await self._quiet():
                self.still_runs("a while in which nothing was to happen")
                await trio.sleep(LOOK_S)
            return
        raise DaemonFailed(f"after {within_s:g} s {self._unsettled()}\n{self.daemon.tail()}")

    async def wait(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Look until `condition` is true. Raises DaemonFailed, naming `what` did not come."""
        with trio.move_on_after(within_s):
            while not condition():
                await trio.sleep(LOOK_S)
            return
        raise DaemonFailed(f"{what} did not come within {within_s:g} s\n{self.daemon.tail()}")

    async def _quiet(self) -> bool:
        for _ in range(QUIET_LOOKS):
            if self.books.missing or any(customer.pending for customer in self.customers):
                return False
            status = await self.daemon.status()
            if status is None:
                return False
            if any(carrier["queued"] or carrier["awaiting_receipt"] for carrier in status["carriers"]):
                return False
            if any(bind["window_used"] for carrier in status["carriers"] for bind in carrier["binds"]):
                return False
            if any(account["events_waiting"] for account in status["accounts"]):
                return False
            await trio.sleep(LOOK_S)
        return True

    async def _growth(self) -> int:
        """Octets of memory more than before the fault, once passwords that strangers sent are all judged."""
        with trio.move_on_after(MEMORY_S):
            while self.daemon.rss_octets() - self._rss > RSS_GROWTH_MAX:
                await trio.sleep(LOOK_S)
        return self.daemon.rss_octets() - self._rss

    def _unsettled(self) -> str:
        missing = [f"{sent.message_id} to {sent.destination}" for sent in self.books.missing]
        pending = sum(customer.pending for customer in self.customers)
        return f"{len(missing)} without a final receipt ({', '.join(missing[:5])}), {pending} unanswered"

    # -- the end ----------------------------------------------------------------------------------

    async def judge(self, *, memory: bool = True) -> Verdict:
        """Heal, let everything come to rest, stop the daemon, and hold the laws against all evidence."""
        self.heal()
        found: dict[str, list[str]] = {name: list(texts) for name, texts in self.wrongs.items()}
        if not self.daemon.running:
            await self.daemon.start()
        try:
            await self.settle()
        except DaemonFailed as failed:
            found["it_comes_to_rest"] = [str(failed)]
        growth = await self._growth() if memory and self._rss and self.daemon.running else None
        if growth is not None and growth > RSS_GROWTH_MAX:
            found["memory_is_back"] = [f"{growth >> 20} MiB more than before the fault"]
        code = await self.daemon.stop() if self.daemon.running else self.daemon.code
        if code:
            found["it_stops_when_asked"] = [f"exit code {code}:\n{self.daemon.tail()}"]
        copy = await trio.to_thread.run_sync(copy_of, self.daemon.data, self.directory / "copy")
        stored = await trio.to_thread.run_sync(read_stored, copy)
        rate = sum(customer.rate for customer in self.customers)
        evidence = Evidence(
            self.books,
            [part for carrier in self.carriers for part in carrier.log.parts],
            stored,
            max((most for carrier in self.carriers for most in carrier.log.window_max.values()), default=0),
            CARRIER_WINDOW,
            starts=self.daemon.starts,
            crashes=self.crashes,
            duplicates_per_crash_max=CARRIER_BINDS * CARRIER_WINDOW + int(rate * COMMIT_S),
            timed_out=self.timed_out,
            at_most_once=self.options.at_most_once,
        )
        found |= laws.broken(evidence)
        duplicated = evidence.duplicated()
        return Verdict(
            accepted=len(self.books.accepted),
            refused=self.books.refused.total(),
            unanswered=sum(sent.status < 0 for sent in self.books.sent),
            receipts=self.books.receipts,
            starts=self.daemon.starts,
            duplicates=duplicated.total() - len(duplicated),
            duplicates_max=self.crashes * evidence.duplicates_per_crash_max,
            rss_growth_octets=growth,
            broken=found,
            notes=self.notes,
        )


@asynccontextmanager
async def open_world(directory: Path, options: WorldOptions) -> AsyncIterator[World]:
    """A world with its carrier up, its configuration applied and its customers waiting; no daemon runs yet."""
    raise_descriptors()
    world = World(directory, options)
    try:
        # The small disk is left last: nothing may have a file open on it by then.
        with small_disk(world.daemon.data, options.tmpfs_mib):
            async with _peers(world):
                yield world
    finally:
        world.books.close()


@asynccontextmanager
async def _peers(world: World) -> AsyncIterator[None]:
    try:
        async with trio.open_nursery() as world.nursery:
            await world.nursery.start(world.run_carrier, world.carrier)
            async with FaultyLink(world.carrier.port) as world.link:
                document = DOCUMENT.format(
                    port=world.link.port,
                    binds=CARRIER_BINDS,
                    window=CARRIER_WINDOW,
                    timeout_s=RESPONSE_TIMEOUT_S,
                    carrier=world.options.carrier_toml,
                )
                await apply(world.daemon, document)
                for customer in world.customers:
                    world.nursery.start_soon(customer.run)
                yield
            world.nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await world.daemon.kill()


def raise_descriptors() -> None:
    """As many open files as this user may have; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
