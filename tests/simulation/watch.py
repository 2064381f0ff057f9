"""The invariants that are watched while a run goes on; `rest.py` has those that are asked when it is over.

Each complaint carries the id of what it breaks:

I1 conservation, I2 one end, I3 nothing sent before it is durable or after its end, I4 copies, I5 windows, I6 rates,
I7 quota, I8 blacklists, I9 receipts, I10 correlation, I11 order, I12 senders, I13 texts, I14 answers, I15 bounds,
I16 ids, I17 figures, I18 audit, I19 secrets, I20 liveness, I21 determinism; I0 is a fault that the daemon itself
did not expect.
"""

from bisect import insort
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import trio

from store.model import State
from tests.simulation.rest import Rest
from tests.simulation.truth import CarrierReceipt, Copy, Heard, Inbound, PartTruth, Submission

if TYPE_CHECKING:
    from gateway.daemon import Daemon
    from tests.simulation.carriers import CarrierLink, SimCarrier
    from tests.simulation.customers import Customer, CustomerLink
    from tests.simulation.world import World

PROBE_S = 5.0
BLACKLIST_S = 1.0  # promise P7
CALM_S = 3.0  # after a disturbance times say little for so long
FINAL_STATES = frozenset({2, 3, 4, 5, 8})
TASKS_A_BIND = 6
TASKS_BESIDE = 60
CROSSING_S = 2.0
EPSILON = 1e-6


class Watch:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.truth = world.truth
        self._sent_at: dict[str, list[float]] = defaultdict(list)  # carrier -> of its submits, sorted
        self._limits: dict[str, list[tuple[float, int, int]]] = {
            spec.name: [(0.0, spec.window, spec.rate)] for spec in world.plan.carriers
        }
        self._usage: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._proved_sent: dict[int, int] = defaultdict(int)
        self._senders = {spec.name: spec.senders for spec in world.plan.accounts}

    # -- I3, I5, I6, I8, I12: a submit_sm reached a carrier --------------------------------------

    def submitted(self, carrier: "SimCarrier", link: "CarrierLink", copy: Copy) -> None:
        world, truth = self.world, self.truth
        part_id = truth.part_of.get(copy.key)
        part = truth.parts.get(part_id or 0)
        if part is None or part.durable_at > copy.sent_at + EPSILON:
            world.fail("I3", f"{copy.key} was sent to {carrier.spec.name} before it was on disk")
            return
        self._after_its_end(carrier, link, copy, part)
        self._window(carrier, link, copy)
        self._rate(carrier, link, copy)
        for listed_at, removed_at in truth.listed.get(copy.key[1], ()):
            submission = truth.submissions[copy.key[0]]
            if listed_at + BLACKLIST_S < copy.sent_at < removed_at:
                world.fail("I8", f"{copy.key} was sent {copy.sent_at - listed_at:.3f} s after it was listed")
            elif 0 <= listed_at < submission.sent_at < copy.sent_at < removed_at:
                world.fail("I8", f"{copy.key} was submitted after it was listed, and sent")
        name = self._name_of(part.account)
        senders = self._senders[name]
        if senders and copy.source.decode() not in senders:
            world.fail("I12", f"{copy.key} of {name} was sent as {copy.source!r}; it may use {senders}")

    def _name_of(self, account: int) -> str:
        return self.world.plan.accounts[account - 1].name

    def _slack(self, link: "CarrierLink") -> float:
        """How much later than decided something may leave: it waits behind what does not move."""
        now = trio.current_time()
        lane = link.carrier.lane
        return 8.0 if now - max(lane.disturbed_until, link.stream.blocked_at) < CALM_S else 0.05

    def _after_its_end(self, carrier: "SimCarrier", link: "CarrierLink", copy: Copy, part: PartTruth) -> None:
        slack = self._slack(link)
        if part.final and part.final_at + slack < copy.sent_at:
            ended = f"{State(part.final).name} at {part.final_at:.3f}"
            self.world.fail("I3", f"part {part.id} {copy.key} was sent at {copy.sent_at:.3f}, {ended}")
        if part.accepted_at and part.accepted_at[0] + slack < copy.sent_at:
            self.world.fail(
                "I4", f"part {part.id} {copy.key} was sent again at {copy.sent_at:.3f},"
                f" {carrier.spec.name}'s acceptance was durable at {part.accepted_at[0]:.3f}",
            )  # fmt: skip
        submission = self.truth.submissions[copy.key[0]]
        cancelled = 0 <= submission.cancelled_at < copy.sent_at - slack
        if cancelled and (not submission.many or part.id == self._first_of(submission)):
            self.world.fail("I3", f"{copy.key} was sent after it was cancelled")
        if trio.current_time() - self.world.clock.stepped_at > 70.0:
            wall_ms = self.world.clock.wall_ms() - int((trio.current_time() - copy.sent_at) * 1000)
            if wall_ms > part.expires_at + 1000 + slack * 1000:
                self.world.fail("I3", f"part {part.id} {copy.key} was sent after its validity")

    def _first_of(self, submission: Submission) -> int:
        """Of a submit_multi the message that its id speaks of, and that cancel_sm cancels."""
        ids = [self.truth.part_of.get((submission.n, dest, 1)) for dest in submission.dests]
        return min((one for one in ids if one), default=0)

    def _window(self, carrier: "SimCarrier", link: "CarrierLink", copy: Copy) -> None:
        """Unanswered submits, without those that the gateway may have given up on."""
        spec = carrier.spec
        since = copy.sent_at - spec.response_timeout_s + 0.05 + self._slack(link)
        outstanding = 1 + sum(1 for sent_at in link.outstanding.values() if sent_at > since)
        window = self.window_max(spec.name)
        if outstanding > window:
            self.world.fail(
                "I5",
                f"{outstanding} unanswered submits on link {link.number} of {spec.name}, window {window}",
            )

    def _rate(self, carrier: "SimCarrier", link: "CarrierLink", copy: Copy) -> None:
        """No second, wherever it begins, may hold more than the rate."""
        times = self._sent_at[carrier.spec.name]
        insort(times, copy.sent_at)
        rates = [rate for at, _, rate in self._limits[carrier.spec.name] if at > copy.sent_at - 3.0]
        rates.append(self._rate_at(carrier.spec.name, copy.sent_at - 3.0))
        if 0 in rates or self._slack(link) > 1:
            return
        within = sum(
            1 for at in times[-max(rates) - 50 :] if copy.sent_at - 1.0 + EPSILON < at <= copy.sent_at
        )
        if within > max(rates):
            self.world.fail(
                "I6", f"{within} submits to {carrier.spec.name} in the second to {copy.sent_at:.3f},"
                f" rate {max(rates)}",
            )  # fmt: skip

    def _rate_at(self, carrier: str, at: float) -> int:
        return [rate for since, _, rate in self._limits[carrier] if since <= max(at, 0.0)][-1]

    def carrier_changes(self, name: str, changes: dict[str, Any]) -> None:
        _, window, rate = self._limits[name][-1]
        entry = (trio.current_time(), changes.get("window", window), changes.get("rate", rate))
        self._limits[name].append(entry)

    def window_max(self, carrier: str) -> int:
        """The largest window that this carrier ever had."""
        return max(window for _, window, _ in self._limits[carrier])

    def binds_wanted(self, carrier: "SimCarrier") -> int:
        spec = carrier.spec
        if spec.mode == "outbind":
            return 1
        return spec.binds * (2 if spec.bind == "pair" else 1)

    # -- I9: a deliver_sm was acknowledged to a carrier, or reached a customer --------------------

    def acknowledged(self, token: CarrierReceipt | Inbound) -> None:
        truth = self.truth
        if isinstance(token, Inbound):
            if (token.n, token.part) not in truth.stored_inbound:
                self.world.fail("I9", f"MO {token.n} part {token.part} was acknowledged and is not stored")
            return
        if token.number in truth.stored_receipts or token.number in truth.parked_receipts:
            return
        part = truth.parts.get(truth.part_of.get(token.key, 0))
        reused = token.reused or self.world.carriers[token.carrier].spec.reuses_ids
        if part is not None and (part.final or reused):
            return  # it repeats what is known, or speaks of another message by the same id
        self.world.fail(
            "I9", f"receipt {token.number} for {token.key} (state {token.state}) was acknowledged,"
            " is not stored, and repeats nothing",
        )  # fmt: skip

    def heard(self, customer: "Customer", entry: Heard) -> None:
        world, truth = self.world, self.truth
        mine = world.organisation.account_ids[customer.spec.name]
        if not entry.message_id:
            if not any(i.n == entry.n and i.account == customer.spec.name for i in truth.inbound.values()):
                world.fail("I9", f"{customer.spec.name} heard MO {entry.n}, which is not its own")
            return
        head = self.message_of(entry)
        if head is None:
            world.fail(
                "I9", f"{customer.spec.name} heard a receipt for {entry.message_id}, which is no message"
            )
        elif head.account != mine:
            world.fail("I9", f"{customer.spec.name} heard a receipt of {self._name_of(head.account)}")
        elif entry.state not in FINAL_STATES and entry.state != 7:
            for before in truth.heard[:-1]:
                same = (before.message_id, before.dest) == (entry.message_id, entry.dest)
                # Over two binds the one may overtake the other; the gateway learns of the answer a way later.
                crossed = before.link != entry.link and entry.sent_at < before.at + CROSSING_S
                over = before.answered == 0 and before.state in FINAL_STATES
                if same and over and not crossed and customer.spec.receipts != "part":
                    world.fail("I9", f"message {entry.message_id}: state {entry.state} after {before.state}")

    def message_of(self, entry: Heard) -> PartTruth | None:
        """The first part of the message that a receipt speaks of."""
        if len(entry.message_id) == 19 and entry.message_id.isdigit():
            return self.truth.parts.get(int(entry.message_id))
        return self.truth.parts.get(self.truth.shown.get(entry.message_id, 0))

    # -- I1, I14: answers to customers -------------------------------------------------------------

    def accepted(self, submission: Submission, sent_at: float) -> None:
        """ESME_ROK came: everything it promises must have been on disk when it was sent (P1)."""
        part_id = self.truth.part_of.get((submission.n, submission.dests[0], submission.seq))
        if submission.many:
            ids = [self.truth.part_of.get((submission.n, dest, 1)) for dest in submission.dests]
            part_id = min((i for i in ids if i), default=None)
        part = self.truth.parts.get(part_id or 0)
        if part is None or part.durable_at > sent_at + EPSILON:
            self.world.fail("I1", f"submission {submission.n} was answered ESME_ROK before it was on disk")

    def unanswered(self, link: "CustomerLink", n: int, waited_s: float) -> None:
        now = trio.current_time()
        calm = now - max(link.customer.lane.disturbed_until, link.paused_until) > waited_s
        disk = self.world.disk
        calm = calm and now - max(disk.full_until, disk.slow_until) > waited_s
        if calm:
            self.world.fail("I14", f"request {n} of {link.actor} had no answer for {waited_s:g} s")

    # -- I1, I7, I15: the store and the daemon ----------------------------------------------------

    def stored(self, changes: Any) -> None:
        for usage in changes.usage:
            total = self._usage[usage.user]
            total[0] += usage.reserved
            total[1] += usage.used
            if usage.used > 0:
                # More used than was reserved: given back in doubt, and sent after all. Others may have it by now.
                self._proved_sent[usage.user] += max(0, usage.reserved + usage.used)
            limit = self.world.organisation.limit(usage.user) + self._proved_sent[usage.user]
            if min(total) < 0 or total[0] + total[1] > limit:
                self.world.fail(
                    "I7", f"user {usage.user} has {total[0]} reserved and {total[1]} used of {limit}"
                )

    def started(self, daemon: "Daemon") -> None:
        """The gateway is up again: everything that was ever promised must be there."""
        store: Any = self.world.gateway.port.store  # type: ignore[union-attr]
        ids = sorted(self.truth.parts)
        found = {part.id: part for part in store.parts(ids)}
        for part_id in ids:
            if part_id not in found:
                self.world.fail(
                    "I1", f"part {part_id} {self.truth.parts[part_id].key} was durable and is gone"
                )
                return
        for part in self.truth.parts.values():
            if part.final and found[part.id].state != part.final:
                self.world.fail(
                    "I2", f"part {part.id} ended as {State(part.final).name} and is"
                    f" {State(found[part.id].state).name} after a start",
                )  # fmt: skip

    def crashed(self) -> None:
        """The process is gone: nobody waits for what it had in memory."""

    async def run(self) -> None:
        while True:
            await trio.sleep(PROBE_S)
            daemon = self.world.gateway.daemon
            if daemon is not None:
                self._bounds(daemon)
                if self.world.gateway.idle():
                    self._balances(daemon)

    def _balances(self, daemon: "Daemon") -> None:
        """What memory says of quotas is what the store says (I7)."""
        for user, balance in daemon.core.quota.balances.items():
            reserved, used = self._usage[user]
            if (balance.reserved, balance.used) != (reserved, used):
                self.world.fail(
                    "I7", f"user {user}: memory has {balance.reserved} reserved and {balance.used} used,"
                    f" the store {reserved} and {used}",
                )  # fmt: skip

    def _bounds(self, daemon: "Daemon") -> None:
        world, core = self.world, daemon.core
        settings = world.plan.settings
        found: list[str] = []
        for carrier in core.carriers.values():
            flying = carrier.carrier.window * (carrier.carrier.binds + 2) + 300
            lines = 3 * len(core.accounts)
            if carrier.queue.length > settings.queue_parts_max * lines + flying:
                found.append(f"{carrier.queue.length} parts wait for {carrier.carrier.name}")
            if carrier.queue.length < 0:
                found.append(f"the queue of {carrier.carrier.name} has a length of {carrier.queue.length}")
            if len(carrier.correlation.live) > settings.correlation_entries_max + 300:
                found.append(f"{len(carrier.correlation.live)} ids in memory for {carrier.carrier.name}")
        for account in core.accounts.values():
            outbox = account.outbox
            if outbox.waiting() + outbox.in_flight > 2 * settings.events_in_memory_max + 100:
                found.append(f"{outbox.waiting()} events wait for {account.account.system_id}")
            if outbox.in_flight < 0:
                found.append(f"{outbox.in_flight} events are on their way to {account.account.system_id}")
        for link in (*daemon.server.links, *daemon.dialer.links):
            if link.session.window_used > link.session.window_max + 10:
                found.append(f"{link!r} has {link.session.window_used} unanswered requests")
            if len(link.session.out) > 4 << 20:
                found.append(f"{link!r} has {len(link.session.out)} octets to write")
        if found:
            world.fail("I15", "; ".join(found))
        tasks = trio.lowlevel.current_statistics().tasks_living
        connections = sum(len(lane.open_connections()) for lane in world.network.lanes.values())
        if tasks > TASKS_BESIDE + TASKS_A_BIND * connections:
            world.fail("I15", f"{tasks} tasks for {connections} connections")

    # -- the end ----------------------------------------------------------------------------------

    def at_rest(self) -> None:
        Rest(self.world).check()

    def at_the_end(self) -> None:
        """The store of a gateway that has ended, opened once more."""
        world = self.world
        store: Any = world.backend.open(world.clock.wall_ms())
        for problem in store.verify(world.organisation.user_of_account):
            invariant = next((f"I{n}" for n in (7, 17, 9, 2, 1) if f"(I{n})" in problem), "I17")
            world.fail(invariant, problem)
        for user, (reserved, used) in self._usage.items():
            if reserved:
                world.fail("I7", f"user {user} has {reserved} reserved and {used} used when nothing is open")
        for problem in world.organisation.audit_problems():
            world.fail("I18", problem)
        world.backend.close()
