"""What happens by the clock: schedules fall due, validity ends, queues refill, old receipts find their parts.

Everything here is slow work at a gentle pace; nothing on a message's fast way waits for it. Wall time that
jumps forward pauses whatever it would wrongly fire (P11).
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
import trio

from filters.verdict import Reason
from gateway.correlation import same_subscriber
from gateway.delivery import INBOUND, RECEIPT, Event
from gateway.operations import WAITING
from gateway.outbound import Refill
from gateway.pausing import Resuming
from gateway.throughput import Totals
from store.model import NO_ANSWER, Changes, Delivered, Part, PartFlag, State
from store.port import Event as StoredEvent
from store.sqlite_errors import is_full

if TYPE_CHECKING:
    from gateway.accounts import AccountState
    from gateway.carriers import CarrierState
    from gateway.core import Core

log = structlog.get_logger("housekeeping")

REFILL_PERIOD_S = 0.05
SCHEDULE_PERIOD_S = 1.0
SWEEP_PERIOD_S = 30.0
SWEEP_PARTS = 5_000  # one reading's worth; the sweep goes on until nothing is left
SCHEDULE_LOOK_MAX = 80_000  # due parts looked at in one second, at most
FAILOVER_AFTER_S = 5.0  # a carrier down for this long gives its waiting messages to the next of their route
UNINDEXED_PARTS_MAX = 100_000  # above it, finding what an inbound message answers scans for over 10 ms


class Housekeeping:
    def __init__(self, core: "Core", on_sealed: Callable[[int], Awaitable[None]]) -> None:
        self._core = core
        self._on_sealed = on_sealed
        self._to_seal: set[int] = set()
        self._parked = trio.Lock()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._every, REFILL_PERIOD_S, self.refill)
            nursery.start_soon(self._every, SCHEDULE_PERIOD_S, self.fire_schedules)
            nursery.start_soon(self._every, SWEEP_PERIOD_S, self.sweep)
            nursery.start_soon(Resuming(self._core, self.still_allowed).run)
            nursery.start_soon(self._every, 1.0, self.each_second)
            nursery.start_soon(self._every, 1.0, self.maintain_store)
            nursery.start_soon(self._every, SWEEP_PERIOD_S, self.seal_days)

    async def _every(self, period_s: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            await trio.sleep(period_s)
            await do()

    async def maintain_store(self) -> None:
        """Checkpoints, indexes, roll-over, retention, free space: the store's own clockwork."""
        core = self._core
        while True:
            now_ms = core.wall.believed_ms()
            done = await core.ports.store.write(lambda s: s.maintain(now_ms))  # noqa: B023
            if core.disk != done.disk:
                log.warning("free disk space changed", state=done.disk, free_mib=done.free_octets >> 20)
            core.disk_is(done.disk)
            self._to_seal.update(done.days_to_seal)
            if done.unindexed_parts > UNINDEXED_PARTS_MAX:
                await core.ports.store.read(lambda s: s.index_recent())
            if not done.more:
                return

    async def seal_days(self) -> None:
        """Index days that are over for searches, and take their usage into config.db. Seconds for a large day.

        On a full disk they stay to be sealed until there is room.
        """
        while self._to_seal:
            day = min(self._to_seal)
            try:
                await self._core.ports.store.read(lambda s: s.seal(day))  # noqa: B023
                await self._on_sealed(day)
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                return
            self._to_seal.discard(day)

    # -- queues and logs that outgrew memory ------------------------------------------------------

    async def refill(self) -> None:
        core = self._core
        for carrier in list(core.carriers.values()):
            if carrier.active:
                for refill in carrier.queue.refills():
                    await self._refill_queue(carrier, refill)
            await self.write_evicted(carrier.id)
        for account in list(core.accounts.values()):
            if account.outbox.wants_refill() and account.binds:
                await self._refill_log(account)

    async def _refill_queue(self, carrier: "CarrierState", refill: Refill) -> None:
        core = self._core
        parts: list[Part] = await core.ports.store.read(
            lambda s: s.queued(refill.carrier, refill.lane, refill.account, refill.after_id, refill.limit)
        )
        full = len(parts) >= refill.limit
        if parts and full:
            whole = whole_messages(parts)
            if not whole:
                # A message longer than what there is room for: it is fetched whole, or other messages would go
                # between its parts.
                limit = refill.limit + parts[-1].parts
                parts = await core.ports.store.read(
                    lambda s: s.queued(refill.carrier, refill.lane, refill.account, refill.after_id, limit)
                )
                full = len(parts) >= limit
                whole = (whole_messages(parts) or parts) if full else parts
            parts = whole
        # A round is on disk a moment before its parts are offered: they must not come twice.
        untold = core.untold_parts()
        parts = [part for part in parts if part.id not in untold]
        # Before any of them can be sent, answered and reported on.
        await core.adopt_messages_of(parts)
        good = await self.still_allowed(parts)
        if carrier.suspects:
            # What was read may be older than the marks that the store got at the start.
            for part in good:
                if part.id in carrier.suspects:
                    carrier.suspects.discard(part.id)
                    part.flags |= PartFlag.MAYBE_DUPLICATE
        carrier.queue.refilled(refill, good, high_id=parts[-1].id if parts else 0, more=full)
        carrier.pump()

    async def still_allowed(self, parts: list[Part]) -> list[Part]:
        """Without those whose number was blacklisted since they were accepted; these end as REJECTED."""
        core = self._core
        replaced = [part.id for part in parts if part.id in core.replaced or part.id in core.replaced_before]
        if replaced:
            parts = await self._read_again(parts, replaced)
        check = core.screens.blacklists.check
        names = core.intake.rules.sms_type_names
        good: list[Part] = []
        listed: list[Part] = []
        for part in parts:
            if part.id in core.withdrawn or part.id in core.withdrawn_before:
                continue
            account = core.accounts.get(part.account)
            chain = account.group_chain if account else ()
            (listed if check(part.dest, chain, names.get(part.sms_type, "")) else good).append(part)
        if listed:
            core.end(listed, State.REJECTED, Reason.BLACKLISTED_AT_DISPATCH)
        return good

    async def _read_again(self, parts: list[Part], replaced: list[int]) -> list[Part]:
        """With what replace_sm made of some of them, as far as it left them in the state they were read in."""
        now_ms = self._core.clock.wall_ms()
        read: list[Part] = await self._core.ports.store.read(lambda s: s.parts(replaced))
        fresh = {part.id: part for part in read}
        good: list[Part] = []
        for old in parts:
            part = fresh.get(old.id, old)
            if part.state == old.state and part.deliver_at <= max(now_ms, old.deliver_at):
                good.append(part)
        return good

    async def _refill_log(self, account: "AccountState") -> None:
        core, outbox = self._core, account.outbox
        limit = outbox.events_max // 2
        after = outbox.refill_begins()
        rows = await core.ports.store.read(lambda s: s.pending_events(account.id, after, limit))
        outbox.refilled([event_of(row) for row in rows], more=len(rows) >= limit)
        account.pump()

    async def write_evicted(self, carrier: int) -> None:
        """Move evicted correlation entries into the store's map."""
        core = self._core
        entries = core.evicted.pop(carrier, [])
        if entries:
            core.evicted_to_store.add(carrier)
            rows = [(carrier, key, part_id) for key, part_id in entries]
            await core.ports.store.write(lambda s: s.remember_smsc_ids(rows))
            if any((carrier, key) in core.outcomes.parked for key, _ in entries):
                # Their receipts came while the ids were neither in memory nor in the store yet.
                await self._sweep_parked(core.clock.wall_ms())

    # -- time -------------------------------------------------------------------------------------

    async def fire_schedules(self) -> None:
        core = self._core
        now_ms = core.clock.wall_ms()
        if not core.wall.believable():
            return
        limit = SWEEP_PARTS
        while True:
            due: list[Part] = await core.ports.store.read(lambda s: s.scheduled_due(now_ms, limit))  # noqa: B023
            if not due:
                return
            # Their ids are older than what is queued already, so they go to memory, where there must be room.
            room = {state.id: state.queue.room() for state in core.carriers.values()}
            good: list[Part] = []
            await core.adopt_messages_of(due)
            for part in await self.still_allowed(due):
                choice = core.router.again(part.route)
                carrier = choice.carrier or part.carrier
                if room.get(carrier, 0) > 0:
                    room[carrier] -= 1
                    part.state, part.carrier = State.QUEUED, carrier
                    good.append(part)
            if good:
                moved = [(part.id, int(State.QUEUED), part.carrier) for part in good]
                core.fired.update(part.id for part in good)
                await self._offer_moved(Changes(moved=moved), good)
            elif limit < SCHEDULE_LOOK_MAX:
                limit *= 2  # the first ones wait for a carrier without room: look behind them
                continue
            if len(due) < limit or not good:
                return

    async def each_second(self) -> None:
        core = self._core
        now = core.clock.now()
        for carrier in core.carriers.values():
            carrier.rise(now)
            carrier.measure(now)
            if carrier.queue.length:
                carrier.pump()
            down_since = carrier.down_since
            if down_since is not None and now - down_since > FAILOVER_AFTER_S:
                await self.fail_over(carrier)
        for account in core.accounts.values():
            account.outbox.tick(now)
            account.pump()
        carriers = core.carriers.values()
        core.throughput.sample(
            core.clock.wall_ms() // 1000,
            Totals(
                sum(account.accepted for account in core.accounts.values()),
                sum(carrier.accepted for carrier in carriers),
                sum(carrier.receipts for carrier in carriers),
            ),
            sum(carrier.queue.length for carrier in carriers),
        )

    async def fail_over(self, carrier: "CarrierState") -> None:
        """Give waiting messages of a carrier that is down to the next carrier of their route that is up."""
        core = self._core
        choices: dict[int, int] = {}
        goes: dict[int, bool] = {}  # by message: its parts stay together

        def elsewhere(part: Part) -> bool:
            head = part.id - part.part_no + 1
            if head not in goes:
                goes[head] = has_room_elsewhere(part)
            return goes[head]

        def has_room_elsewhere(part: Part) -> bool:
            target = choices.get(part.route)
            if target is None:
                choice = core.router.again(part.route)
                target = choices[part.route] = choice.carrier if core.carrier_up(choice.carrier) else 0
            if target in (0, carrier.id) or room[target] < part.parts:
                return False
            room[target] -= part.parts
            return True

        if not carrier.queue.length:
            return
        room = {state.id: state.queue.room() for state in core.carriers.values()}
        moved = carrier.queue.remove(elsewhere)
        if not moved:
            return
        for part in moved:
            part.carrier = choices[part.route]
            tries = carrier.tries.pop(part.id, 0)
            if tries:
                core.carriers[part.carrier].tries[part.id] = tries
        await self._offer_moved(Changes(moved=[(p.id, State.QUEUED, p.carrier) for p in moved]), moved)
        log.info("messages moved to another carrier", count=len(moved), away_from=carrier.carrier.name)

    async def _offer_moved(self, changes: Changes, parts: list[Part]) -> None:
        """Offer parts of older ids as their round becomes durable: later, a reading might have brought them."""
        core = self._core
        await core.committer.submit(changes, lambda applied: core.offer(parts)).settled.wait()

    async def sweep(self) -> None:
        """Validity that ended in a queue or without a receipt, receipts kept too long, incomplete MO."""
        core = self._core
        now, now_ms = core.clock.now(), core.clock.wall_ms()
        if core.wall.believable():
            await self._sweep_overdue(now_ms)
            await self._sweep_events(now_ms)
            await self._sweep_parked(now_ms)
        changes = Changes()
        events = core.inbound.give_up(now, changes)
        if changes.inbound:
            await core.committer.submit(changes, lambda applied: core.deliver(events)).settled.wait()
        # Two generations: a reading that began before the sweep may still bring what was withdrawn then.
        core.withdrawn_before, core.withdrawn = core.withdrawn, set()
        core.fired_before, core.fired = core.fired, set()
        core.replaced_before, core.replaced = core.replaced, set()

    async def _sweep_overdue(self, now_ms: int) -> None:
        core = self._core
        grace_ms = int(core.config.receipts.unknown_after_hours * 3_600_000)
        overdue: list[Part] = await core.ports.store.read(lambda s: s.overdue(now_ms, SWEEP_PARTS))
        if any(part.parts > 1 for part in overdue):
            # What was held before a restart: whether its message has had its receipt, its siblings tell.
            await core.adopt_messages_of(overdue)
            overdue = await core.ports.store.read(lambda s: s.overdue(now_ms, SWEEP_PARTS))
        unknown = [part for part in overdue if part.state in (State.SENT, State.HELD)]
        silent = [part for part in unknown if part.expires_at + grace_ms <= now_ms]
        if silent:
            core.end(silent, State.UNKNOWN, Reason.NO_RECEIPT)
        waiting: list[Part] = []
        for part in overdue:
            carrier = core.carriers.get(part.carrier)
            if part.state not in WAITING or part.expires_at > now_ms or carrier is None:
                continue
            if part.state == State.QUEUED and carrier.queue.where(part) == "gone":
                continue
            waiting += carrier.queue.remove(lambda p, i=part.id: p.id == i) or [part]  # type: ignore[misc]
            core.withdrawn.add(part.id)
            core.withheld.forget((part.id,))
        if waiting:
            core.end(waiting, State.EXPIRED, Reason.EXPIRED_IN_QUEUE)

    async def _sweep_events(self, now_ms: int) -> None:
        core = self._core
        oldest_s = now_ms // 1000 - int(core.config.receipts.keep_hours * 3600)
        for account in core.accounts.values():
            old = account.outbox.expire(oldest_s)
            if old:
                row = Delivered(account.id, "", now_ms, NO_ANSWER, [event.id for event in old], True)
                await core.committer.commit(Changes(delivered=[row]))
                log.warning("events given up on", account=account.account.system_id, count=len(old))

    async def _sweep_parked(self, now_ms: int) -> None:
        """Try parked receipts once more, also in the store's map; drop those kept long enough."""
        async with self._parked:  # evicted ids ask for this as well: each receipt is matched once
            await self._try_parked(now_ms)

    async def _try_parked(self, now_ms: int) -> None:
        core = self._core
        keep_ms = int(core.config.receipts.park_hours * 3_600_000)
        by_carrier: dict[int, dict[int, tuple]] = {}  # type: ignore[type-arg]
        for (carrier_id, _), waiting in core.outcomes.parked.items():
            for parked, fields in waiting:
                by_carrier.setdefault(carrier_id, {})[parked.id] = (parked, fields)
        for carrier_id, entries in by_carrier.items():
            carrier = core.carriers.get(carrier_id)
            if carrier is None:
                continue
            changes = Changes()
            events: list[Event] = []
            keys_of = {i: carrier.correlation.candidates(e[0].smsc_message_id) for i, e in entries.items()}
            keys = [key for some in keys_of.values() for key in some]
            ids: dict[str, int] = await core.ports.store.read(
                lambda s, c=carrier_id, k=keys: s.find_by_smsc_id(c, k)  # type: ignore[misc]
            )
            parts = await core.load_parts(sorted(set(ids.values()))) if ids else {}
            for entry_id, (parked, fields) in entries.items():
                key = next((k for k in keys_of[entry_id] if ids.get(k) in parts), "")
                # What is in memory, or was lately, knows better than what was read a moment ago.
                part = carrier.correlation.live.get(key) or parts.get(ids.get(key, 0))
                if part is not None and (not parked.dest or same_subscriber(parked.dest, part.dest)):
                    if carrier.correlation.is_final(key):
                        core.outcomes.is_repeat(carrier, parked, changes)
                    else:
                        events += core.outcomes.match_parked_late(carrier, parked, fields, part, changes)
                elif now_ms - parked.received_at > keep_ms:
                    core.outcomes.drop_parked(carrier, parked)
                    changes.unparked.append(parked.id)
            if changes.unparked:
                # Offered as their round becomes durable: in log order.
                ticket = core.committer.submit(changes, lambda applied, e=events: core.deliver(e))  # type: ignore[misc]
                await ticket.settled.wait()


def whole_messages(parts: list[Part]) -> list[Part]:
    """Without a last message of which the reading cut off the end."""
    last = parts[-1]
    if last.part_no == last.parts:
        return parts
    head = last.id - last.part_no + 1
    return [part for part in parts if part.id < head]


def event_of(row: StoredEvent) -> Event:
    """A stored event as the log holds it."""
    if row.receipt is not None:
        told = row.receipt
        done_at = told.received_at
        return Event(
            row.id, RECEIPT, row.account, row.part, told.message_state, told.error, done_at, b"", told.event
        )
    assert row.inbound is not None
    mo = row.inbound
    return Event(row.id, INBOUND, row.account, None, 0, 0, mo.received_at, mo.body, mo.event)
