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
from gateway.api.parameters import CURSOR, Parameters
from gateway.api.queries import Found
from gateway.api.shapes import BatchOut, Cancelled, MessagePage, Refusal
from gateway.api.times import show_time
from gateway.api.views import FAILURES, STATUSES, message_out
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.operations import WAITING, message_outcome
from store.api_db import INTERRUPTED, RECEIVING, BatchRow
from store.model import FINAL_STATES, Part
from store.port import TrafficStore

if TYPE_CHECKING:
    from gateway.core import Core

READ_PARTS = 2_000  # of one reading in a worker thread: 20 ms
CANCEL_PARTS = 5_000
RANGES_MAX = 100_000  # passes of one batch; a million messages are a thousand
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
        if row is None:
            return unknown_batch(request)
        async with self._counting:
            states, all_final = await self._count(row)
        finished = all_final and row.stage != RECEIVING
        out = BatchOut(
            ids.show(ids.BATCH, row.id),
            "finished" if finished else "receiving" if row.stage == RECEIVING else "processing",
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

    async def _count(self, row: BatchRow) -> tuple[dict[str, int], bool]:
        """Messages by status, and whether all are final."""
        counts: Counter[str] = Counter()
        all_final = True
        for first, last in await self._ledger.read(lambda store: store.ranges(row.id, 0, RANGES_MAX)):
            settled = self._settled.get((row.id, first))
            if settled is None:
                settled, final = await self._count_range(first, last)
                if final:
                    self._settled[row.id, first] = settled
                    while len(self._settled) > SETTLED_KEPT:
                        self._settled.popitem(last=False)
                all_final = all_final and final
            counts.update(settled)
        return dict(counts), all_final

    async def _count_range(self, first: int, last: int) -> tuple[Counter[str], bool]:
        counts: Counter[str] = Counter()
        all_final = True
        for low in range(first, last + 1, READ_PARTS):
            high = min(low + READ_PARTS, last + 1)
            some, final = await self._core.ports.store.read(
                lambda s, low=low, high=high: _count_parts(s, low, high)  # type: ignore[misc]
            )
            counts.update(some)
            all_final = all_final and final
        return counts, all_final

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


def _count_parts(store: TrafficStore, low: int, high: int) -> tuple[Counter[str], bool]:
    """Messages whose first part lies in [low, high), by status; whether all are final."""
    counts: Counter[str] = Counter()
    all_final = True
    parts = store.parts(range(low, high))
    by_head: dict[int, list[Part]] = {}
    for part in parts:
        if part.part_no == 1 and part.parts == 1:
            counts[STATUSES[part.state]] += 1  # type: ignore[index]
            all_final = all_final and part.state in FINAL_STATES
        elif part.part_no == 1 or part.id - part.part_no + 1 in by_head:
            by_head.setdefault(part.id - part.part_no + 1, []).append(part)
    for head, some in by_head.items():
        whole: Sequence[Part] = some
        if len(some) < some[0].parts:
            whole = store.parts(range(head, head + some[0].parts))
        state = message_outcome(whole)[0]
        counts[STATUSES[state]] += 1
        all_final = all_final and state in FINAL_STATES
    return counts, all_final
