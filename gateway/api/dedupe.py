"""`dedupe`: a client_ref that was used within 24 hours is not sent again (a guard for each message).

A reference is on disk before its message is. A reference without its message means that the message never came
to be, so that it does not count. What is on its way at this moment is known here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from gateway.api import ids
from gateway.api.keys import Identity
from gateway.api.ledger import Ledger
from gateway.api.limits import give_back
from gateway.http.messages import Later, Request, Response, all_resolved
from gateway.http.problems import FieldError, problem
from store.ids import SECOND_BITS
from store.model import Part

if TYPE_CHECKING:
    from gateway.core import Core

KEEP_S = 24 * 3600
BUSY = -1  # in place of the message: it is being accepted right now


class Dedupe:
    def __init__(self, core: "Core", ledger: Ledger) -> None:
        self._core = core
        self._ledger = ledger
        self._running: set[tuple[int, str]] = set()

    async def first(self, request: Request, ref: str, start: Callable[[], Later]) -> Response:
        """The answer of one message, or 409 where its reference was used already."""
        identity: Identity = request.context
        account = identity.account
        taken = await self.claim(account.id, [ref])
        if taken:
            give_back(identity, 1)
            return _refused(request, taken[ref])
        try:
            later = start()
            await all_resolved([later])
        finally:
            self.release(account.id, [ref])
        assert later.response is not None
        return later.response

    async def claim(self, account: int, refs: Sequence[str]) -> dict[str, int]:
        """Keep others from using these until `release`; those that were used already, with their message.

        What is found as used is not kept.
        """
        taken = {ref: BUSY for ref in refs if (account, ref) in self._running}
        own = [ref for ref in refs if ref not in taken]
        self._running.update((account, ref) for ref in own)
        kept = False
        try:
            used = await self._used(account, own)
            kept = True
        finally:
            self.release(account, used if kept else own)
        return taken | used

    def release(self, account: int, refs: Iterable[str]) -> None:
        """They are on disk, or were not used."""
        self._running.difference_update([(account, ref) for ref in refs])

    async def _used(self, account: int, refs: Sequence[str]) -> dict[str, int]:
        after = max(0, self._core.clock.wall_ms() // 1000 - KEEP_S) << SECOND_BITS
        found = await self._ledger.read(lambda store: store.messages_with_references(account, refs, after))
        if not found:
            return {}
        numbers = sorted(number for some in found.values() for number in some)
        parts: list[Part] = await self._core.ports.store.read(lambda s: s.parts(numbers))
        there = {part.id for part in parts}
        return {
            ref: number for ref, some in found.items() if (number := next((n for n in some if n in there), 0))
        }


def duplicate(message: int) -> FieldError:
    """What to say of a reference that was used already."""
    if message == BUSY:
        detail = "A message with this client_ref is being accepted at this moment."
    else:
        detail = f"{ids.show(ids.MESSAGE, message)} was sent with this client_ref within 24 hours."
    return FieldError("/client_ref", "duplicate", detail)


def _refused(request: Request, message: int) -> Response:
    error = duplicate(message)
    if message == BUSY:
        return problem(
            "idempotency-in-progress", error.detail, request, errors=[error], headers=[(b"retry-after", b"1")]
        )
    location = (b"location", b"/v1/messages/" + ids.show(ids.MESSAGE, message).encode())
    return problem("conflict", error.detail, request, errors=[error], headers=[location])
