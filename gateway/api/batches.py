"""POST /v1/batches: up to 10,000 messages in one JSON body. Each is taken or refused for itself.

Messages go through the door a thousand at a time; the batch, and which ids are its own, are durable before the
messages are. `GET` counts what became of them.
"""

from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.api import ids
from gateway.api.build import (
    Recipe,
    body_of,
    message_recipe,
    needs_reference,
    recipe,
    says_little,
    sender,
    submit,
)
from gateway.api.dedupe import BUSY, Dedupe, duplicate
from gateway.api.door import Door, Submission
from gateway.api.idempotency import Claim, Idempotency
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.keys import Identity
from gateway.api.ledger import Ledger
from gateway.api.limits import (
    WAIT_S_MAX,
    give_back,
    owe_further,
    rate_headers,
    rate_of,
    take,
    too_fast,
    wait_s,
)
from gateway.api.messages import is_json, not_json, queue_full, refused
from gateway.api.refusals import OF_THE_GATEWAY, problem_of
from gateway.api.shapes import BatchAccepted, BatchIn, Content, MessageIn, Refusal
from gateway.api.templates import fill, start
from gateway.api.times import show_time
from gateway.http.messages import Request, Response
from gateway.http.problems import FieldError, problem
from gateway.smpp.pdu import SubmitSm
from gateway.webhooks.callbacks import callback_check
from store.api_db import INTERRUPTED, RECEIVING, WHOLE, ApiChanges, BatchRow
from store.model import Part

if TYPE_CHECKING:
    from gateway.core import Core

PASS_MESSAGES = 1_000  # through the door at once: 15 ms of the loop
STEP_PARTS = 100  # of the rate, taken at a time while a batch waits for its turn
REFUSALS_KEPT = 1_000  # of one batch; the rest is counted
_decoder = msgspec.json.Decoder(BatchIn)
_encode = msgspec.json.Encoder().encode


class Item(msgspec.Struct, gc=False):
    """One message of a batch, ready for the door."""

    index: int
    to: str
    submit: SubmitSm
    detail: dict[str, Any] | None
    dedupe: bool = False

    @property
    def reference(self) -> str:
        """Its client_ref, "" for none."""
        return self.detail.get("ref", "") if self.detail is not None else ""


class Batch:
    """A batch while it is being taken: its row, its refusals, and the passes through the door."""

    def __init__(
        self, core: "Core", door: Door, dedupe: Dedupe, identity: Identity, claim: Claim | None, ref: str
    ) -> None:
        self._core = core
        self._door = door
        self._dedupe = dedupe
        self.identity = identity
        self._claim = claim
        now_ms = core.clock.wall_ms()
        self.row = BatchRow(core.ids.mint(), identity.account.id, now_ms, ref)
        self.refusals: list[Refusal] = []
        self.reasons: Counter[int] = Counter()
        self._recorded = False

    def refuse(self, index: int, to: str, error: FieldError) -> None:
        """Count a message that cannot be taken; the first thousand are told by name."""
        self.row.rejected += 1
        if len(self.refusals) < REFUSALS_KEPT:
            self.refusals.append(Refusal(index, error.code, error.detail, to, error.pointer))

    async def take(self, items: Sequence[Item]) -> None:
        """One pass through the door; returns when it is durable."""
        guarded = [item for item in items if item.dedupe]
        if not guarded:
            await self._take(items)
            return
        account = self.identity.account.id
        first: dict[str, int] = {}
        for item in guarded:
            first.setdefault(item.reference, item.index)
        taken = await self._dedupe.claim(account, list(first))
        try:
            good: list[Item] = []
            for item in items:
                message = taken.get(item.reference, 0) if item.dedupe else 0
                if message or (item.dedupe and first[item.reference] != item.index):
                    self.row.total += 1
                    self.refuse(item.index, item.to, duplicate(message or BUSY))
                else:
                    good.append(item)
            if good:
                await self._take(good)
        finally:
            self._dedupe.release(account, [ref for ref in first if ref not in taken])

    async def _take(self, items: Sequence[Item]) -> None:
        done = trio.Event()
        answers: list[Sequence[int]] = []
        row = self.row
        row.total += len(items)

        def before(results: Sequence[int], firsts: Sequence[Part]) -> ApiChanges | None:
            rows = ApiChanges()
            if not self._recorded:
                self._recorded = True
                rows.batches.append(msgspec.structs.replace(row))
                if self._claim is not None:
                    rows.add(self._claim.changes(row.id))
            if firsts:
                last = firsts[-1]
                own = (firsts[0].id, last.id + last.parts - 1)
                rows.ranges.append((row.id, *own))
                if row.id in self._core.withheld.batches:  # paused while it is still being received
                    self._core.withheld.extend([own])
            rows.references += [
                (row.account, item.detail["ref"], result)
                for item, result in zip(items, results, strict=True)
                if result > 0 and item.detail is not None and "ref" in item.detail
            ]
            return rows

        def finished(results: Sequence[int], firsts: Sequence[Part]) -> None:
            answers.append(results)
            row.accepted += len(firsts)
            parts = sum(part.parts for part in firsts)
            row.parts += parts
            owe_further(self.identity, parts - len(firsts), self._core.clock.now())
            done.set()

        self._door.submit(
            Submission(
                self.identity.account,
                [item.submit for item in items],
                [item.detail for item in items],
                finished,
                self._core.clock.now(),
                before,
                self.identity.key.test,
            )
        )
        await done.wait()
        for item, result in zip(items, answers[0], strict=True):
            if result < 0:
                self.reasons[-result] += 1
                _, pointer, code, detail = problem_of(-result)
                self.refuse(item.index, item.to, FieldError(pointer, code, detail))

    def closing_rows(self, *, interrupted: bool) -> ApiChanges:
        """The batch as it is at its end."""
        self.row.stage = INTERRUPTED if interrupted else WHOLE
        self.row.refusals = _encode(self.refusals)
        return ApiChanges(batches=[self.row])

    def answer(self) -> BatchAccepted:
        return answer_of(self.row, self.refusals)


def answer_of(row: BatchRow, refusals: list[Refusal]) -> BatchAccepted:
    return BatchAccepted(
        ids.show(ids.BATCH, row.id),
        "interrupted" if row.stage == INTERRUPTED else "accepted",
        row.total,
        row.accepted,
        row.rejected,
        refusals,
        row.parts,
        show_time(row.created_at),
    )


class Items:
    """Makes messages of a batch ready: what they share is made once."""

    def __init__(self, core: "Core", account: AccountState, defaults: Content, batch: int) -> None:
        """Raises Invalid for what is wrong with the defaults; its pointer is relative to them."""
        self._account = account
        self._directory = core.directory
        self._defaults = defaults
        self._now_ms = core.clock.wall_ms()
        self._sms_type = account.account.sms_type
        self._filling = start(core.directory, account, defaults)
        self._callback = callback_check(core, account.id)
        self._common = recipe(defaults, self._now_ms, self._sms_type, self._callback)
        self._common.detail = {**(self._common.detail or {}), "batch": batch}

    def for_numbers(self) -> None:
        """Get ready for numbers without anything of their own. Raises Invalid."""
        if self._filling is not None:
            self._common.body = body_of(self._common, self._filling.text(), None)
        if self._common.body is None:
            raise Invalid("/text", "missing", "Recipients get the text of the defaults. Give one.")
        if self._common.dedupe:
            raise needs_reference()

    def of_number(self, index: int, to: str) -> Item:
        """A number that gets what the defaults say. Raises Invalid."""
        return Item(index, to, submit(self._common, to), self._common.detail)

    def of_message(self, index: int, message: MessageIn) -> Item:
        """A message with what it says beside the defaults. Raises Invalid."""
        common: Recipe = self._common
        if self._filling is not None or message.template is not None or message.vars is not None:
            fill(self._directory, self._account, message, self._filling)
        dedupe = common.dedupe if message.dedupe is None else message.dedupe
        if dedupe and not message.client_ref:
            raise needs_reference()
        if not says_little(message):
            own = message_recipe(
                common, message, self._defaults, self._now_ms, self._sms_type, self._callback
            )
            return Item(index, message.to, submit(own, message.to), own.detail, own.dedupe)
        body = None
        if message.text is not None or message.binary is not None:
            body = body_of(common, message.text, message.binary)
        one = submit(common, message.to, body)
        if message.from_ is not None:
            one.source_addr, one.source_addr_ton, one.source_addr_npi = sender(message.from_)
        detail = common.detail
        if message.client_ref:
            detail = {**(detail or {}), "ref": message.client_ref}
        return Item(index, message.to, one, detail, dedupe)


class Batches:
    def __init__(
        self, core: "Core", door: Door, ledger: Ledger, idempotency: Idempotency, dedupe: Dedupe
    ) -> None:
        self._core = core
        self._door = door
        self._ledger = ledger
        self._idempotency = idempotency
        self._dedupe = dedupe
        self._receiving: set[int] = set()

    def post(self, request: Request) -> Response | Awaitable[Response]:
        """202 once everything that was taken is durable."""
        if not is_json(request):
            return not_json(request, " or application/x-ndjson")
        try:
            asked: BatchIn = decode(_decoder, request.body)
            if (asked.recipients is None) == (asked.messages is None):
                raise Invalid("", "one-of", "Give exactly one of recipients and messages.")
            if not (asked.recipients or asked.messages):
                raise Invalid("", "empty", "The batch has no messages.")
        except (Invalid, Malformed) as error:
            return refuse(error, request)
        if self._door.full:
            return queue_full(request)
        if b"idempotency-key" not in request.headers:
            return self._take(request, asked, None)
        return self._idempotency.once(request, lambda claim: self._take(request, asked, claim), self.rebuild)

    async def _take(self, request: Request, asked: BatchIn, claim: Claim | None) -> Response:
        identity: Identity = request.context
        account, core = identity.account, self._core
        batch = self.begin(identity, claim, asked.defaults.client_ref or "")
        try:
            items = self._items(asked, account, batch.row.id)
        except _Wrong as wrong:
            detail = f"{len(wrong.errors)} fields are not right; nothing was sent."
            return problem("validation", detail, request, errors=wrong.errors)
        except Invalid as error:
            return problem("validation", error.detail, request, errors=[error.field("/defaults")])
        if not await self.wait_for_rate(identity, len(items)):
            account.count_refused(Reason.RATE_EXCEEDED, len(items))
            return too_fast(request, identity, len(items), core.clock.now())
        with self.receiving(batch):
            for at in range(0, len(items), PASS_MESSAGES):
                await batch.take(items[at : at + PASS_MESSAGES])
            return await self.conclude(request, batch)

    def begin(self, identity: Identity, claim: Claim | None, ref: str) -> Batch:
        """A batch of which nothing has come yet."""
        return Batch(self._core, self._door, self._dedupe, identity, claim, ref)

    def is_receiving(self, batch: int) -> bool:
        return batch in self._receiving

    @contextmanager
    def receiving(self, batch: Batch) -> Iterator[None]:
        """While in here the batch is being taken; one that is not and yet not whole was cut short."""
        self._receiving.add(batch.row.id)
        try:
            yield
        finally:
            self._receiving.discard(batch.row.id)

    async def conclude(self, request: Request, batch: Batch, *, interrupted: bool = False) -> Response:
        """The answer of a batch that is whole, or of as much of it as came.

        Where nothing was taken for a reason that all of it shares, that is the problem.
        """
        await self._ledger.submit(batch.closing_rows(interrupted=interrupted)).stored()
        row = batch.row
        if not row.accepted and row.rejected and set(batch.reasons) <= OF_THE_GATEWAY and batch.reasons:
            return refused(request, next(iter(batch.reasons)))
        if not row.accepted and set(batch.reasons) == {Reason.QUOTA_EXCEEDED}:
            return refused(request, Reason.QUOTA_EXCEEDED)
        shown = ids.show(ids.BATCH, row.id)
        headers = [(b"location", b"/v1/batches/" + shown.encode())]
        headers += rate_headers(batch.identity, self._core.clock.now())
        return Response(202, _encode(batch.answer()), headers=headers)

    async def rebuild(self, request: Request, subject: int) -> Response | None:
        """The answer of a batch of which a crash took the answer: what of it is there."""
        row = await self._ledger.read(lambda store: store.batch(subject))
        if row is None:
            return None
        if row.stage == RECEIVING:
            row = await self.recount(row)
            if not row.accepted:
                return None
        refusals = msgspec.json.decode(row.refusals, type=list[Refusal])
        shown = ids.show(ids.BATCH, row.id)
        headers = [(b"location", b"/v1/batches/" + shown.encode())]
        return Response(202, _encode(answer_of(row, refusals)), headers=headers)

    async def recount(self, row: BatchRow) -> BatchRow:
        """A batch that a crash cut short, with what of it is stored; it stays so."""
        ranges = await self._ledger.read(lambda store: store.ranges(row.id, 0, 1_000_000))
        messages = parts = 0
        for first, last in ranges:
            some: list[Part] = await self._core.ports.store.read(
                lambda s, first=first, last=last: s.parts(range(first, last + 1))  # type: ignore[misc]
            )
            parts += len(some)
            messages += sum(part.part_no == 1 for part in some)
        row.accepted, row.parts, row.stage = messages, parts, INTERRUPTED
        row.total = max(row.total, messages)
        await self._ledger.submit(ApiChanges(batches=[row])).stored()
        return row

    def _items(self, asked: BatchIn, account: AccountState, batch: int) -> list[Item]:
        """All messages, or every field that is wrong."""
        make = Items(self._core, account, asked.defaults, batch)
        items: list[Item] = []
        errors: list[FieldError] = []
        if asked.recipients is not None:
            make.for_numbers()
            return [make.of_number(index, to) for index, to in enumerate(asked.recipients)]
        for index, message in enumerate(asked.messages or ()):
            try:
                items.append(make.of_message(index, message))
            except Invalid as error:
                errors.append(error.field(f"/messages/{index}"))
                if len(errors) == REFUSALS_KEPT:
                    break
        if errors:
            raise _Wrong(errors)
        return items

    async def wait_for_rate(self, identity: Identity, wanted: int) -> bool:
        """Take so many parts of its rates, waiting a little; False when that would take too long."""
        clock = self._core.clock
        if not identity.limited:
            return True
        taken = take(identity, wanted, clock.now())
        if (wanted - taken) / rate_of(identity) > WAIT_S_MAX:
            give_back(identity, taken)
            return False
        while taken < wanted:
            step = min(wanted - taken, STEP_PARTS)
            await trio.sleep(max(0.01, wait_s(identity, step, clock.now())))
            taken += take(identity, wanted - taken, clock.now())
        return True


class _Wrong(Exception):
    """Fields of a batch that are not right."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__("fields")
        self.errors = list(errors)
