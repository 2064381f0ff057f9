"""The world of one run: who is in it, how a run goes, and how it comes to rest.

A run has three phases. In the first the plan's events happen. Then everything is healed, and what can be settled
must settle. Then the wall clock goes past every validity and keeping time, and nothing may be left open.
"""

import traceback
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import structlog
import trio

from gateway import housekeeping
from gateway.settings import Config
from store.model import Changes, State
from store.port import Applied
from tests.simulation.carriers import SimCarrier
from tests.simulation.customers import Customer, Intruder
from tests.simulation.determinism import Streams
from tests.simulation.disk import Backend, Disk, MemoryBackend
from tests.simulation.messages import CANARY
from tests.simulation.nemesis import follow
from tests.simulation.net import Lane, Network
from tests.simulation.organisation import CARRIER_PASSWORD, PASSWORD, Organisation
from tests.simulation.peers import Agenda
from tests.simulation.plan import Plan
from tests.simulation.process import GatewayProcess
from tests.simulation.real_store import Directory, RealOrganisation, SqliteBackend
from tests.simulation.trace import Trace
from tests.simulation.truth import Truth
from tests.simulation.watch import Watch

SETTLE_S_MAX = 420.0
CLOSE_S_MAX = 400.0
LOOK_S = 2.0
HEALED_LATENCY_S = 0.01
PAST_EVERYTHING_S = 12 * 86_400  # validity and keeping of 72 h each, and a clock that was days ahead
SECRETS = (CANARY, PASSWORD, CARRIER_PASSWORD)
OPEN_BY_RIGHT = frozenset({State.SENT, State.HELD})  # until validity and grace are over


class SimClock:
    """`gateway/ports.py`'s Clock: monotonic time is trio's, wall time steps when the plan says."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self.stepped_at = -1e9
        self.steps: list[tuple[float, float]] = []

    def now(self) -> float:
        return trio.current_time()

    def wall_ms(self) -> int:
        return self._start_ms + int(trio.current_time() * 1000)

    def before(self) -> int:
        """Wall time as the world is built, when no time passes yet."""
        return self._start_ms

    def step(self, seconds: float) -> None:
        self._start_ms += int(seconds * 1000)
        self.stepped_at = trio.current_time()
        self.steps.append((trio.current_time(), seconds))


class World:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.trace = Trace()
        self.truth = Truth()
        self.stream = Streams(plan.seed)
        self.clock = SimClock(plan.settings.wall_start_ms)
        self.backend: Backend
        self.organisation: Organisation
        if plan.store == "memory":
            self.backend, self.organisation = MemoryBackend(), Organisation(plan)
        else:
            directory = Directory()
            self.backend = SqliteBackend(directory, self.stream("torn"))
            self.organisation = RealOrganisation(plan, directory, self.clock)
        self.violations: list[tuple[str, str]] = []
        self.healed = False
        self.nursery: trio.Nursery
        self._main = trio.CancelScope()

    def streams(self, who: str) -> Callable[[str], Random]:
        return lambda name: self.stream(f"{who}/{name}")

    def _build(self) -> None:
        plan, settings = self.plan, self.plan.settings
        self.network = Network()
        names = [spec.name for spec in (*plan.carriers, *plan.accounts)] + ["intruder"]
        for number, name in enumerate(names, 1):
            lane = Lane(name, f"10.1.0.{number}", self.stream(f"lane/{name}"))
            lane.latency_s, lane.jitter = settings.latency_s, settings.jitter
            lane.capacity, lane.fragment = settings.capacity_octets, settings.fragment
            lane.reset_on_close = settings.reset_on_close
            self.network.lanes[name] = lane
        self.agenda = Agenda()
        self.watch = Watch(self)
        self.disk = Disk(self)
        self.gateway = GatewayProcess(self, self.backend, gateway_config(plan))
        self.carriers = {spec.name: SimCarrier(self, spec) for spec in plan.carriers}
        self.customers = {spec.name: Customer(self, spec) for spec in plan.accounts}
        self.intruder = Intruder(self)

    # -- what everybody may say -------------------------------------------------------------------

    def note(self, actor: str, what: str, *details: Any) -> None:
        self.trace.add(round(trio.current_time(), 6), actor, what, *details)

    def fail(self, invariant: str, text: str) -> None:
        """An invariant is broken. The first one ends the run."""
        if not self.violations:
            self.note("VIOLATION", invariant, text)
        self.violations.append((invariant, text))
        self._main.cancel()

    def stored(self, changes: Changes, applied: Applied, *, told: bool) -> None:
        """A round is durable; `told`: the daemon will hear of it."""
        counts = [f"{n}={len(getattr(changes, n))}" for n in Changes.__struct_fields__ if getattr(changes, n)]
        self.note("store", "durable" if told else "durable, untold", *counts)
        self.truth.durable(changes, applied, trio.current_time(), self.clock.wall_ms())
        self.watch.stored(changes)
        for invariant, text in self.truth.problems:
            self.fail(invariant, text)

    def logged(self, logger: Any, level: str, entry: dict[str, Any]) -> Any:
        """Every log line of the daemon; nothing secret may be in one."""
        fault = ""
        if entry.get("exc_info"):
            fault = traceback.format_exc()
        line = " ".join(f"{key}={value}" for key, value in entry.items())
        for secret in SECRETS:
            if secret in line or secret in fault:
                self.fail("I19", f"a log line shows {secret!r}: {line}")
        if fault:
            self.fail("I0", f"the daemon logged a fault of its own: {line}\n{fault}")
        elif level not in ("debug", "info"):
            self.note("log", level, entry.get("event"), entry.get("because", ""))
        raise structlog.DropEvent

    def set_disk_state(self, state: str) -> None:
        self.backend.set_disk(state)

    # -- a run ------------------------------------------------------------------------------------

    async def main(self) -> None:
        self._build()
        housekeeping.REFILL_PERIOD_S = self.plan.settings.refill_s
        structlog.configure(processors=[self.logged], wrapper_class=structlog.make_filtering_bound_logger(10))
        with self._main:
            async with trio.open_nursery() as self.nursery:
                self.nursery.start_soon(self.agenda.run)
                for carrier in self.carriers.values():
                    self.nursery.start_soon(carrier.run)
                self.nursery.start_soon(self.gateway.run)
                for customer in self.customers.values():
                    for index in range(len(customer.spec.binds)):
                        self.nursery.start_soon(customer.keep_bound, index)
                self.nursery.start_soon(self.watch.run)
                self.nursery.start_soon(follow, self, self.plan.events)
                await trio.sleep_until(self.plan.until_s)
                self.heal()
                await self._settle()
                await self._close()
                await self._shut_down()
                self.nursery.cancel_scope.cancel()

    def heal(self) -> None:
        """From here on nobody does harm."""
        self.note("nemesis", "heals")
        self.healed = True
        now = trio.current_time()
        for lane in self.network.lanes.values():
            lane.stalled_until = lane.hole_until = now
            lane.latency_s, lane.jitter, lane.fragment = min(lane.latency_s, HEALED_LATENCY_S), 1.0, 0.0
            lane.disturb(0.0)
        disk = self.disk
        disk.points.clear()
        disk.eio_in = 0
        disk.full_until = disk.slow_until = now
        self.set_disk_state("ok")
        self.gateway.crash_in_recovery = ""
        for customer in self.customers.values():
            customer.offline_until = now
        for carrier in self.carriers.values():
            carrier.refuses_binds = 0
            self.organisation.change_carrier(carrier.spec.name, state="active")
        for account in self.customers:
            self.organisation.change_account(account, state="active")
        self.nursery.start_soon(self.gateway.operate, lambda: None, lambda: None)

    def unsettled(self) -> list[str]:
        """What still has to happen before the world is at rest."""
        daemon = self.gateway.daemon
        if daemon is None:
            return ["the gateway is down"]
        found = []
        store: Any = self.gateway.port.store  # type: ignore[union-attr]
        for carrier in self.carriers.values():
            bound = sum(1 for link in carrier.links if link.bound)
            if bound != self.watch.binds_wanted(carrier):
                found.append(f"{carrier.spec.name} has {bound} of {self.watch.binds_wanted(carrier)} binds")
            if carrier.unsettled:
                found.append(
                    f"{carrier.spec.name} has {carrier.unsettled} deliver_sm that nobody acknowledged"
                )
        for customer in self.customers.values():
            if customer.unsettled:
                found.append(f"{customer.spec.name} has {customer.unsettled} requests without an answer")
        events = store.accounts_with_pending_events()
        if events:
            found.append(f"events that customers have not taken, by account: {events}")
        found += [
            f"part {part.id} {self.truth.parts[part.id].key} is {State(part.state).name}"
            for part in self.open_parts()
            if part.state not in OPEN_BY_RIGHT
            and not (part.state == State.SCHEDULED and part.deliver_at > self.clock.wall_ms())
        ]
        if not self.gateway.idle():
            found.append("the committer has something to commit")
        return found

    def open_parts(self) -> list[Any]:
        store: Any = self.gateway.port.store  # type: ignore[union-attr]
        ids = [part.id for part in self.truth.parts.values() if not part.final]
        return [part for part in store.parts(ids) if part.state < State.DELIVERED]

    async def _until(self, done: Callable[[], list[str]], at_most_s: float) -> list[str]:
        deadline = trio.current_time() + at_most_s
        while (left := done()) and trio.current_time() < deadline:
            await trio.sleep(LOOK_S)
        return left

    async def _settle(self) -> None:
        left = await self._until(self.unsettled, SETTLE_S_MAX)
        if left:
            self.fail(
                "I20", f"not at rest {SETTLE_S_MAX:g} s after everything was healed: {'; '.join(left[:6])}"
            )
            await trio.sleep_forever()

    async def _close(self) -> None:
        """Past every validity and keeping time."""
        self.note("clock", "goes past everything")
        self.clock.step(PAST_EVERYTHING_S)

        def open_or_unsettled() -> list[str]:
            left = self.unsettled()
            if self.gateway.daemon is not None:
                left += [f"part {p.id} is {State(p.state).name}" for p in self.open_parts()]
                left += [f"parked: {row.id}" for row in self.gateway.port.store.parked(0, 5)]  # type: ignore[union-attr]
            return left

        left = await self._until(open_or_unsettled, CLOSE_S_MAX)
        if left:
            self.fail("I20", f"still open when all validity is over: {'; '.join(left[:6])}")
            await trio.sleep_forever()

    async def _shut_down(self) -> None:
        self.watch.at_rest()
        self.gateway.down_s = 1e9
        self.gateway.drain()
        with trio.move_on_after(60.0) as scope:
            while self.gateway.daemon is not None:
                await trio.sleep(0.1)
        if scope.cancelled_caught:
            self.fail("I20", "SIGTERM did not end the gateway within 60 s (P13)")
        self.watch.at_the_end()


def gateway_config(plan: Plan) -> Config:
    """What `sluice.toml` would say: small bounds, so that every spill and refill happens."""
    settings = plan.settings
    config = Config()
    replace = msgspec.structs.replace
    return replace(
        config,
        smpp=replace(
            config.smpp,
            listen="10.0.0.1:2775",
            session_init_s=5.0,
            enquire_link_s=6.0,
            response_timeout_s=8.0,
            partial_pdu_s=4.0,
            write_timeout_s=6.0,
            drain_s=8.0,
        ),
        http=replace(config.http, listen=""),  # its ledger works in threads, which virtual time does not see
        limits=replace(
            config.limits,
            queue_parts_max=settings.queue_parts_max,
            correlation_entries_max=settings.correlation_entries_max,
            events_in_memory_max=settings.events_in_memory_max,
        ),
        receipts=replace(config.receipts, window=settings.receipts_window),
    )
