"""What became of a batch: its figures, its messages, and cancelling what still waits."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.api import ids
from gateway.api.batches import Batches
from gateway.api.invalid import Invalid, refuse
from gateway.api.keys import Identity
from gateway.api.ledger import Ledger
from gateway.api.messages import queue_full
from gateway.api.parameters import CURSOR, Parameters
from gateway.api.queries import Found
from gateway.api.shapes import BatchOut, BatchStatus, Cancelled, MessagePage, Refusal
from gateway.api.times import show_time
from gateway.api.views import FAILURES, STATUSES, message_out, status_of
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.operations import WAITING, message_outcome
from gateway.pausing import pause
from store.api_db import INTERRUPTED, RANGES_MAX, RECEIVING, ApiChanges, BatchRow
from store.model import FINAL_STATES, Part
from store.port import TrafficStore

if TYPE_CHECKING:
    from gateway.core import Core

READ_RANGES = 20  # passes counted in one reading in a worker thread: 30 ms
CANCEL_PARTS = 5_000
SETTLED_KEPT = 50_000  # passes: 20 MB
_encode = msgspec.json.Encoder().encode


class BatchQueries:
    def __init__(self, core: "Core", ledger: Ledger, batches: Batches) -> None:
        self._core = core
        self._ledger = ledger
        self._batches = batches
        # Figures of passes of which every message has had its end: (batch, first id) -> messages by status.
        self._settled: OrderedDict[tuple[int, int], Counter[str]] = OrderedDict()
        self._counting = trio.CapacityLimiter(1)  # a million parts are seconds of reading: one such at a time

    async def _find(self, request: Request) -> BatchRow | None:
        identity: Identity = request.context
        batch_id = ids.read(ids.BATCH, request.params["id"])
        row = await self._ledger.read(lambda store: store.batch(batch_id)) if batch_id else None
        if row is None or row.account != identity.account.id:
            return None
        if row.stage == RECEIVING and not self._batches.is_receiving(row.id):
            row = await self._batches.recount(row)
        return row

    async def batch(self, request: Request) -> Response:
        """A batch with how many of its messages are in which state."""
        row = await self._find(request)
        return unknown_batch(request) if row is None else await self._show(row)

    async def _show(self, row: BatchRow) -> Response:
        async with self._counting:
            states, all_final = await self._count(row)
        out = BatchOut(
            ids.show(ids.BATCH, row.id),
            self._status(row, all_final=all_final),
            row.total,
            row.accepted,
            row.rejected,
            row.parts,
            show_time(row.created_at),
            states,
            row.stage == INTERRUPTED,
            row.ref,
            msgspec.json.decode(row.refusals, type=list[Refusal]),
        )
        return Response(200, _encode(out))

    def _status(self, row: BatchRow, *, all_final: bool) -> BatchStatus:
        if row.stage == RECEIVING:
            return "receiving"
        if all_final:
            return "finished"
        return "paused" if row.id in self._core.withheld.batches else "processing"

    async def _count(self, row: BatchRow) -> tuple[dict[str, int], bool]:
        """Messages by status, and whether all are final."""
        counts: Counter[str] = Counter()
        all_final = True
        open_ones: list[tuple[int, int]] = []
        for own in await self._ranges(row):
            settled = self._settled.get((row.id, own[0]))
            if settled is None:
                open_ones.append(own)
            else:
                counts.update(settled)
        for at in range(0, len(open_ones), READ_RANGES):
            some = open_ones[at : at + READ_RANGES]
            found = await self._core.ports.store.read(lambda s, some=some: count_ranges(s, some))  # type: ignore[misc]
            for (first, _), (states, final) in zip(some, found, strict=True):
                counts.update(states)
                all_final = all_final and final
                if final:
                    self._settled[row.id, first] = states
                    while len(self._settled) > SETTLED_KEPT:
                        self._settled.popitem(last=False)
        return dict(counts), all_final

    async def _ranges(self, row: BatchRow) -> list[tuple[int, int]]:
        return await self._ledger.read(lambda store: store.ranges(row.id, 0, RANGES_MAX))

    async def pause(self, request: Request) -> Response:
        """Give nothing more of a batch to a carrier, from now on and after a restart."""
        row = await self._find(request)
        if row is None:
            return unknown_batch(request)
        if not await self._ledger.submit(ApiChanges(pauses=[(row.id, True)])).stored():
            return queue_full(request)
        # Known as paused before its ranges are read: one that comes in between adds itself.
        self._core.withheld.batches.add(row.id)
        pause(self._core, row.id, await self._ranges(row))
        return await self._show(row)

    async def resume(self, request: Request) -> Response:
        """Let a paused batch go on."""
        row = await self._find(request)
        if row is None:
            return unknown_batch(request)
        if row.id in self._core.withheld.batches:
            if not await self._ledger.submit(ApiChanges(pauses=[(row.id, False)])).stored():
                return queue_full(request)
            self._core.withheld.batches.discard(row.id)
            self._core.withheld.resume(row.id, await self._ranges(row))
        return await self._show(row)

    async def messages(self, request: Request) -> Response:
        """The messages of a batch in the order in which they were taken."""
        row = await self._find(request)
        if row is None:
            return unknown_batch(request)
        try:
            asked = Parameters(request, ("cursor", "limit"))
            limit = asked.limit()
            after = ids.read(CURSOR, asked.text("cursor")) if asked.text("cursor") else 0
        except Invalid as error:
            return refuse(error, request)
        found: list[Found] = []
        while len(found) < limit:
            ranges = await self._ledger.read(lambda store, after=after: store.ranges(row.id, after, 1))  # type: ignore[misc]
            if not ranges:
                after = 0
                break
            first, last = ranges[0]
            low = max(first, after + 1)
            high = min(low + max(limit - len(found), 50), last + 1)
            some: list[Found] = await self._core.ports.store.read(
                lambda s, low=low, high=high: _whole_messages(s, low, high)  # type: ignore[misc]
            )
            for one in some:
                if len(found) == limit:
                    break
                found.append(one)
                after = one[0][-1].id
            if not some:
                after = high - 1
        data = [message_out(parts, attempts) for parts, attempts in found]
        return Response(200, _encode(MessagePage(data, ids.show(CURSOR, after) if after else None)))

    async def cancel(self, request: Request) -> Response:
        """Cancel every message of a batch of which nothing has left yet."""
        row = await self._find(request)
        if row is None:
            return unknown_batch(request)
        core = self._core
        cancelled = messages = 0
        for first, last in await self._ledger.read(lambda store: store.ranges(row.id, 0, RANGES_MAX)):
            for low in range(first, last + 1, CANCEL_PARTS):
                high = min(low + CANCEL_PARTS, last + 1)
                parts: list[Part] = await core.ports.store.read(
                    lambda s, low=low, high=high: s.parts(range(low, high))  # type: ignore[misc]
                )
                if parts and parts[-1].part_no < parts[-1].parts:
                    # The rest of the last message lies beyond this reading.
                    head = parts[-1].id - parts[-1].part_no + 1
                    parts = [part for part in parts if part.id < head] + await core.message_parts(head)
                heads = [part for part in parts if part.part_no == 1 and low <= part.id < high]
                own = {part.id for part in heads}
                parts = [part for part in parts if part.id - part.part_no + 1 in own]
                messages += len(heads)
                waiting = {part.id for part in heads if part.state in WAITING}
                await core.operations.cancel_parts(parts)
                if waiting:
                    now: list[Part] = await core.ports.store.read(
                        lambda s, waiting=waiting: s.parts(sorted(waiting))  # type: ignore[misc]
                    )
                    cancelled += sum(STATUSES[message_outcome([part])[0]] == "cancelled" for part in now)
        return Response(200, _encode(Cancelled(cancelled, messages - cancelled)))


def unknown_batch(request: Request) -> Response:
    return problem("not-found", "There is no such batch of this account.", request)


# -- in a worker thread ---------------------------------------------------------------------------


def _whole_messages(store: TrafficStore, low: int, high: int) -> list[Found]:
    """Messages whose first part lies in [low, high), with attempts where they explain a failure."""
    parts = store.parts(range(low, high))
    found: list[Found] = []
    for part in parts:
        if part.part_no != 1:
            continue
        if part.parts == 1 and part.state not in FAILURES:
            found.append(([part], ()))
            continue
        life = store.message(part.id)
        found.append((life.parts, life.attempts) if life is not None else ([part], ()))
    return found


def count_ranges(store: TrafficStore, ranges: Sequence[tuple[int, int]]) -> list[tuple[Counter[str], bool]]:
    """For each pass of a batch its messages by status, and whether all are final."""
    found = []
    for own in ranges:
        states: Counter[str] = Counter()
        all_final = True
        for (state, taken), count in store.message_states([own]).items():
            states[status_of(state, taken=taken)] += count
            all_final = all_final and state in FINAL_STATES
        found.append((states, all_final))
    return found
