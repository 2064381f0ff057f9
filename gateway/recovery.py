"""From what is on disk to a daemon that goes on: queues, correlation, logs, parked receipts, balances.

Little is loaded: queues and logs are told that the store holds something and fetch it as they drain, so that a
million waiting messages do not delay the first new one.
"""

from typing import TYPE_CHECKING

import structlog

from filters.verdict import Reason
from gateway.inbound import JOIN_WINDOW_S, SEGMENTS_WAITING_MAX
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.receipts import ReceiptFields, parse_receipt
from store.model import Changes, Inbound, ParkedReceipt, Part, PartFlag, State

if TYPE_CHECKING:
    from gateway.carriers import CarrierState
    from gateway.core import Core
    from store.config_db import ConfigStore
    from store.port import QueueKey, Recovery, TrafficStore

log = structlog.get_logger("recovery")

PAGE = 5_000


async def restore(core: "Core", recovery: "Recovery", consolidated: dict[int, int]) -> None:
    """Bring the store's open business back into memory. The directory is set already.

    Args:
      recovery: what the store found, once.
      consolidated: used parts by user of days whose files are gone.
    """
    core.quota.restore(
        {
            user: (used + consolidated.pop(user, 0), reserved)
            for user, (reserved, used) in recovery.usage.items()
        }
    )
    core.quota.restore({user: (used, 0) for user, used in consolidated.items()})
    for key in recovery.queued:
        carrier = core.carriers.get(key.carrier)
        if carrier is not None:
            carrier.queue.spill(key.lane, key.account)
            if not recovery.clean and carrier.carrier.on_unknown == "resend":
                await _suspects(core, carrier, key)
    for account_id in recovery.pending_events:
        account = core.accounts.get(account_id)
        if account is not None:
            account.outbox.spilled = True
            account.outbox.offered_id = recovery.last_id
    await _awaiting(core, first_start=recovery.last_id == 0)
    await _claimed(core)
    await _parked(core)
    await _segments(core)
    log.info(
        "recovered",
        queued=sum(recovery.queued.values()),
        awaiting_receipt=recovery.awaiting_receipt,
        events=sum(recovery.pending_events.values()),
        parked=recovery.parked,
        clean=recovery.clean,
        took_s=round(recovery.took_s, 3),
    )


def used_before(configuration: "ConfigStore", traffic: "TrafficStore") -> dict[int, int]:
    """Used parts by user of consolidated days whose files are gone: the rest the traffic store counts itself."""
    used = configuration.used()
    kept = set(traffic.days())
    for day in configuration.consolidated_days() & kept:
        for user, (_, used_that_day) in traffic.usage(day).items():
            used[user] = used.get(user, 0) - used_that_day
    return used


async def _suspects(core: "Core", carrier: "CarrierState", line: "QueueKey") -> None:
    """After a crash the first of each line may have been sent already: say so on each, now (P3).

    Not when they are fetched: a carrier may be paused until after the next, clean, stop. At-most-once carriers
    need none of this: what is QUEUED there was not sent.
    """
    parts: list[Part] = await core.ports.store.read(
        lambda s: s.queued(line.carrier, line.lane, line.account, 0, carrier.in_doubt_max)
    )
    carrier.suspects.update(part.id for part in parts)
    carrier.maybe_duplicates += len(parts)
    flagged = [(part.id, part.flags | PartFlag.MAYBE_DUPLICATE) for part in parts]
    core.committer.submit(Changes(flagged=flagged), lambda applied: None)


async def _awaiting(core: "Core", *, first_start: bool) -> None:
    """Sent parts back into the correlation maps, newest first; what does not fit goes to the store's map."""
    before = (1 << 63) - 1
    overflow: dict[int, list[tuple[str, int]]] = {}
    split_heads: set[int] = set()
    while True:
        page = await core.ports.store.read(lambda s, b=before: s.awaiting_receipt(b, PAGE))  # type: ignore[misc]
        if not page:
            break
        before = page[-1][0].id
        for part, attempt in page:
            carrier = core.carriers.get(attempt.carrier)
            if carrier is None or not attempt.smsc_message_id:
                continue
            part.carrier = attempt.carrier
            if part.parts > 1:
                split_heads.add(part.id - part.part_no + 1)
            if len(carrier.correlation.live) < carrier.correlation.live_max:
                carrier.correlation.remember(attempt.smsc_message_id, part)
            else:
                key = carrier.correlation.key(attempt.smsc_message_id)
                overflow.setdefault(carrier.id, []).append((key, part.id))
    for carrier in core.carriers.values():
        # Eviction takes the oldest, which must stand first.
        carrier.correlation.live = dict(reversed(carrier.correlation.live.items()))
        if not first_start:
            core.evicted_to_store.add(carrier.id)
    core.evicted.update(overflow)
    for head in split_heads:
        core.adopt_siblings(await core.message_parts(head))


async def _claimed(core: "Core") -> None:
    """Parts of hold and fail carriers that were about to be sent when the process ended: never sent again."""
    after = 0
    while True:
        page: list[Part] = await core.ports.store.read(lambda s, a=after: s.claimed(a, PAGE))  # type: ignore[misc]
        if not page:
            return
        after = page[-1].id
        held: list[Part] = []
        failed: list[Part] = []
        for part in page:
            carrier = core.carriers.get(part.carrier)
            (failed if carrier and carrier.carrier.on_unknown == "fail" else held).append(part)
        for head in sorted({part.id - part.part_no + 1 for part in failed if part.parts > 1}):
            core.adopt_siblings(await core.message_parts(head))
        changes = Changes(moved=[(part.id, State.HELD, part.carrier) for part in held])
        events = core.outcomes.end(failed, State.UNKNOWN, Reason.OUTCOME_UNKNOWN, changes)
        core.committer.submit(changes, lambda applied, events=events: core.deliver(events))  # type: ignore[misc]


async def _parked(core: "Core") -> None:
    after = 0
    while True:
        page: list[ParkedReceipt] = await core.ports.store.read(lambda s, a=after: s.parked(a, PAGE))  # type: ignore[misc]
        if not page:
            return
        after = page[-1].id
        for parked in page:
            carrier = core.carriers.get(parked.carrier)
            if carrier is not None:
                core.outcomes.hold_parked(carrier, parked, fields_of(parked))


async def _segments(core: "Core") -> None:
    """Segments of long inbound messages that came lately: their siblings may still come."""
    since_ms = core.clock.wall_ms() - int(JOIN_WINDOW_S * 1000)
    before = (1 << 63) - 1
    lately: list[Inbound] = []
    while len(lately) < SEGMENTS_WAITING_MAX:
        page: list[Inbound] = await core.ports.store.read(lambda s, b=before: s.inbound(None, b, PAGE))  # type: ignore[misc]
        lately += [row for row in page if row.received_at >= since_ms]
        if len(page) < PAGE or page[-1].received_at < since_ms:
            break
        before = page[-1].id
    # A row of part 0 stands for a message that was given up: its segments are done with.
    given_up = {_long_message(row) for row in lately if row.parts > 1 and not row.part_no}
    core.inbound.resume(
        row for row in reversed(lately) if row.parts > 1 and _long_message(row) not in given_up
    )


def _long_message(row: Inbound) -> tuple[bytes, bytes, int, int]:
    return row.source, row.dest, row.reference, row.parts


def fields_of(parked: ParkedReceipt) -> ReceiptFields:
    """A parked receipt read again from its octets."""
    pdu = decode_body(CommandId.DELIVER_SM, parked.raw)
    return parse_receipt(pdu if isinstance(pdu, DeliverSm) else DeliverSm())
