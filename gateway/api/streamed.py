"""POST /v1/batches with application/x-ndjson: a line a message, up to a million, in constant memory.

The body is read only as fast as messages become durable: a thousand lines are judged while the thousand before
them commit. A line that cannot be taken is refused for itself and the rest goes on.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
import trio

from filters.verdict import Reason
from gateway.api.batches import PASS_MESSAGES, Batch, Batches, Item, Items
from gateway.api.door import Door
from gateway.api.idempotency import Claim, Idempotency
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.keys import Identity
from gateway.api.messages import queue_full
from gateway.api.shapes import Content, DefaultsLine, MessageIn
from gateway.http.messages import BodyBroken, BodyStream, Request, Response
from gateway.http.problems import FieldError

if TYPE_CHECKING:
    from gateway.core import Core

LINES_MAX = 1_000_000
LINE_OCTETS_MAX = 65_536
BODY_OCTETS_MAX = 1 << 30
PASSES_AT_ONCE = 2  # one being judged while one commits
_TOO_FAST = FieldError("", "rate-exceeded", "More than the account's rate allows. Send it again, slower.")
_message = msgspec.json.Decoder(MessageIn)
_defaults = msgspec.json.Decoder(DefaultsLine)


class Streamed:
    def __init__(self, core: "Core", door: Door, batches: Batches, idempotency: Idempotency) -> None:
        self._core = core
        self._door = door
        self._batches = batches
        self._idempotency = idempotency

    async def post(self, request: Request) -> Response:
        """202 with a summary once everything that was taken is durable."""
        if self._door.full:
            return queue_full(request)
        lines = Lines(request)
        if b"idempotency-key" not in request.headers:
            return await self._take(request, lines, None)
        return await self._idempotency.once(
            request, lambda claim: self._take(request, lines, claim), self._batches.rebuild, lines.fingerprint
        )

    async def _take(self, request: Request, lines: "Lines", claim: Claim | None) -> Response:
        identity: Identity = request.context
        try:
            defaults, line = await _first(lines)
            batch = self._batches.begin(identity, claim, defaults.client_ref or "")
            make = self._items(identity, defaults, batch)
        except (Invalid, Malformed) as error:
            return refuse(error, request)
        with self._batches.receiving(batch):
            broken = await self._take_all(lines, line, make, batch)
            if broken is not None and not batch.row.total:
                raise broken
            if claim is not None and broken is None:
                claim.row.fingerprint = lines.fingerprint_now(request)
            response = await self._batches.conclude(request, batch, interrupted=broken is not None)
        if broken is not None:
            # What came before is stored and will be sent: the answer must say so, if anybody still reads it.
            detail = broken.detail.encode("ascii", "replace")
            response.headers = [*response.headers, (b"x-gateway-problem", detail)]
            response.close = True
        return response

    def _items(self, identity: Identity, defaults: Content, batch: Batch) -> Items:
        try:
            return Items(self._core, identity.account, defaults, batch.row.id)
        except Invalid as error:
            raise Invalid("/defaults" + error.pointer, error.code, error.detail) from None

    async def _take_all(self, lines: "Lines", line: bytes, make: Items, batch: Batch) -> BodyBroken | None:
        """Judge and store line by line; what broke the body, if something did."""
        full = trio.CapacityLimiter(PASSES_AT_ONCE)
        async with trio.open_nursery() as nursery, aclosing(self._passes(lines, line, make, batch)) as passes:
            try:
                async for items in passes:
                    if await self._batches.wait_for_rate(batch.identity, len(items)):
                        token = object()
                        await full.acquire_on_behalf_of(token)
                        nursery.start_soon(_pass, batch, items, full, token)
                        continue
                    batch.identity.account.count_refused(Reason.RATE_EXCEEDED, len(items))
                    batch.row.total += len(items)
                    for item in items:
                        batch.refuse(item.index, item.to, _TOO_FAST)
            except BodyBroken as error:
                return error
        return None

    async def _passes(
        self, lines: "Lines", line: bytes, make: Items, batch: Batch
    ) -> AsyncGenerator[list[Item], None]:
        """Messages in lists as they come, each line judged for itself."""
        items: list[Item] = []
        index = 0
        while line:
            if index >= LINES_MAX:
                if items:
                    yield items
                raise BodyBroken(
                    413, f"A batch has at most {LINES_MAX:,} messages; the first of them were taken."
                )
            try:
                items.append(make.of_message(index, decode(_message, line)))
            except Invalid as error:
                batch.row.total += 1
                batch.refuse(index, "", error.field())
            except Malformed as error:
                batch.row.total += 1
                batch.refuse(index, "", FieldError("", "malformed", str(error)))
            index += 1
            if len(items) == PASS_MESSAGES:
                yield items
                items = []
            try:
                line = await lines.next()
            except BodyBroken:
                # What had come whole is taken all the same.
                if items:
                    yield items
                raise
        if items:
            yield items


async def _pass(batch: Batch, items: list[Item], full: trio.CapacityLimiter, token: object) -> None:
    try:
        await batch.take(items)
    finally:
        full.release_on_behalf_of(token)


async def _first(lines: "Lines") -> tuple[Content, bytes]:
    """The defaults of the first line, if it has them, and the first line that is a message."""
    line = await lines.next()
    if not line:
        raise Invalid("", "empty", "The batch has no messages.")
    if not line.lstrip().startswith(b'{"defaults"'):
        return Content(), line
    try:
        defaults: DefaultsLine = decode(_defaults, line)
    except Malformed as error:
        raise Malformed(
            f"The first line: {error} A line holds one object. (curl's -d takes line ends away: use --data-binary.)"
        ) from None
    line = await lines.next()
    if not line:
        raise Invalid("", "empty", "The batch has no messages behind its defaults.")
    return defaults.defaults, line


def _too_long() -> BodyBroken:
    return BodyBroken(413, f"A line has more than {LINE_OCTETS_MAX} octets.")


class Lines:
    """A streamed body as lines without their ends; empty lines are left out."""

    def __init__(self, request: Request) -> None:
        self._stream: BodyStream = request.stream
        self._lines: list[bytes] = []  # reversed: the next one last
        self._rest = b""
        self._ended = False
        self._digest = hashlib.sha256()

    async def next(self) -> bytes:
        """The next line, b"" at the end. Raises BodyBroken, also for a line that is too long."""
        while True:
            while self._lines:
                line = self._lines.pop()
                if len(line) > LINE_OCTETS_MAX:
                    raise _too_long()
                line = line.strip()
                if line:
                    return line
            if self._ended:
                return b""
            piece = await self._stream.receive()
            if piece:
                self._digest.update(piece)
                *lines, self._rest = (self._rest + piece).split(b"\n")
            else:
                self._ended = True
                lines, self._rest = [self._rest], b""
            if len(self._rest) > LINE_OCTETS_MAX:
                raise _too_long()
            self._lines = lines[::-1]

    def fingerprint_now(self, request: Request) -> bytes:
        """Of a body that was read to its end."""
        digest = hashlib.sha256(request.method.encode() + b" " + request.target + b"\n")
        digest.update(self._digest.digest())
        return digest.digest()[:16]

    async def fingerprint(self, request: Request) -> bytes:
        """Reads the body to its end and gives its fingerprint: for a key that is known already."""
        while await self.next():
            pass
        return self.fingerprint_now(request)
