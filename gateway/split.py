"""One receipt for a message that the gateway cut into parts, unless its account wants one for each.

Delivered when every part is; failed at the first part that fails. Parts that come back from the store after a
restart bring what is known of their siblings (`adopt`), so no receipt is given twice or forgotten.
"""

from collections.abc import Callable, Iterable

import msgspec

from gateway.smpp.constants import MessageState
from store.model import Part, State


class _Open(msgspec.Struct, gc=False):
    """A split message of which a part is final already; parts by their numbers."""

    ended: set[int]
    delivered: set[int]
    reported: bool  # its receipt was given: a part failed


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
            message = self._open[head] = _Open(set(), set(), False)
        message.ended.add(part.part_no)
        tell: tuple[int, int] | None = None
        if message_state == MessageState.DELIVERED:
            message.delivered.add(part.part_no)
            if len(message.delivered) == part.parts:
                tell = (message_state, error)
        elif not message.reported:
            message.reported = True
            tell = (message_state, error)
        if len(message.ended) >= part.parts:
            del self._open[head]
        return tell

    def is_reported(self, part: Part) -> bool:
        """Whether the message of this part has had its receipt, after which nothing else is told of it."""
        message = self._open.get(part.id - part.part_no + 1)
        return message is not None and message.reported and not self._receipts_each(part.account)

    def adopt(self, siblings: Iterable[Part]) -> None:
        """Parts of one message as the store has them, final or not."""
        parts = list(siblings)
        final = [part for part in parts if part.state >= State.DELIVERED]
        if not final or len(final) >= final[0].parts:
            return
        # What ended meanwhile, while the store was read, stays known.
        message = self._open.setdefault(parts[0].id - parts[0].part_no + 1, _Open(set(), set(), False))
        message.ended |= {part.part_no for part in final}
        message.delivered |= {part.part_no for part in final if part.state == State.DELIVERED}
        message.reported = message.reported or message.ended != message.delivered

    def __len__(self) -> int:
        return len(self._open)
