"""One receipt for a message that the gateway cut into parts, unless its account wants one for each.

Delivered when every part is; failed at the first part that fails. Parts that come back from the store after a
restart bring what is known of their siblings (`adopt`), so no receipt is given twice or forgotten.
"""

from collections.abc import Callable, Iterable

import msgspec

from gateway.smpp.constants import MessageState
from store.model import Part, State


class _Open(msgspec.Struct, gc=False):
    """A split message of which a part is final already."""

    delivered: set[int]  # part numbers
    reported: bool  # its receipt was given: a part failed
    ended: int  # parts that are final


class SplitMessages:
    def __init__(self, receipts_each: Callable[[int], bool]) -> None:
        self._receipts_each = receipts_each
        self._open: dict[int, _Open] = {}

    def finished(self, part: Part, message_state: int, error: int) -> tuple[int, int] | None:
        """A part is final: the (state, error) to tell the customer now, or None while that is open."""
        if self._receipts_each(part.account):
            return message_state, error
        head = part.id - part.part_no + 1
        message = self._open.get(head)
        if message is None:
            message = self._open[head] = _Open(set(), False, 0)
        message.ended += 1
        tell: tuple[int, int] | None = None
        if message_state == MessageState.DELIVERED:
            message.delivered.add(part.part_no)
            if len(message.delivered) == part.parts:
                tell = (message_state, error)
        elif not message.reported:
            message.reported = True
            tell = (message_state, error)
        if message.ended >= part.parts:
            del self._open[head]
        return tell

    def adopt(self, siblings: Iterable[Part]) -> None:
        """Parts of one message as the store has them, final or not."""
        parts = list(siblings)
        head = parts[0].id - parts[0].part_no + 1
        if head in self._open:
            return
        final = [part for part in parts if part.state >= State.DELIVERED]
        if not final:
            return
        self._open[head] = _Open(
            {part.part_no for part in final if part.state == State.DELIVERED},
            any(part.state != State.DELIVERED for part in final),
            len(final),
        )

    def __len__(self) -> int:
        return len(self._open)
