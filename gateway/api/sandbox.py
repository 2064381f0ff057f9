"""Messages of test keys: judged like any other, stored, counted in nothing, sent nowhere. The number decides.

Their parts are stored as HELD on no carrier, so that whatever happens no carrier link ever sees one, and end in
the next round. `recover` ends those that a crash caught in between.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from filters.verdict import Reason
from store.model import NO_CARRIER, Part, State

if TYPE_CHECKING:
    from gateway.core import Core

SUFFIX = 1000  # the last three digits decide
RECOVER_PARTS = 5_000


class Magic(msgspec.Struct, frozen=True):
    """How a test message to a number with this ending goes."""

    state: State
    error: int  # as a carrier's receipt would report it
    text: str


# Last three digits of the number -> its end. Every other number is delivered.
ENDS: dict[int, Magic] = {
    1: Magic(State.FAILED, 1, "undelivered: unknown subscriber"),
    2: Magic(State.EXPIRED, 0, "expired: the handset was off"),
    3: Magic(State.REJECTED, 69, "rejected by the carrier"),
    4: Magic(State.UNKNOWN, Reason.NO_RECEIPT, "unknown: no receipt ever came"),
    5: Magic(State.CANCELLED, 0, "cancelled at the carrier"),
}
DELIVERED = Magic(State.DELIVERED, 0, "delivered")
# Last three digits -> refused at once for this reason.
REFUSALS: dict[int, Reason] = {
    11: Reason.BLACKLISTED_GLOBAL,
    12: Reason.NO_ROUTE,
    13: Reason.QUOTA_EXCEEDED,
    14: Reason.RATE_EXCEEDED,
    15: Reason.WORD_REJECTED,
    16: Reason.DISK_LOW,
}


def refusal(to: str) -> int:
    """The reason for which a test message to this number is refused, or 0."""
    digits = "".join(character for character in to if character.isdigit())
    return REFUSALS.get(int(digits[-3:] or "0"), 0)


def hold_tests(parts: Iterable[Part]) -> None:
    """Mark parts that are about to be stored: no carrier will send them."""
    for part in parts:
        part.carrier = NO_CARRIER
        part.state = int(State.HELD)
        part.deliver_at = 0


def is_test(part: Part) -> bool:
    return part.carrier == NO_CARRIER and part.state == State.HELD


def end_tests(core: "Core", parts: Sequence[Part]) -> None:
    """End durable parts of test messages, with their receipts."""
    by_end: dict[int, list[Part]] = {}
    for part in parts:
        by_end.setdefault(part.dest % SUFFIX, []).append(part)
    for digits, some in by_end.items():
        magic = ENDS.get(digits, DELIVERED)
        core.end(some, magic.state, magic.error)


async def recover(core: "Core") -> None:
    """End what a crash left; once, at start."""
    after = 0
    while True:
        parts: list[Part] = await core.ports.store.read(
            lambda s, after=after: s.held(after, RECOVER_PARTS)  # type: ignore[misc]
        )
        left = [part for part in parts if is_test(part)]
        if left:
            end_tests(core, left)
        if len(parts) < RECOVER_PARTS:
            return
        after = parts[-1].id
