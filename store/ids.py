"""Message ids: 63 bits that sort by time, unique over nodes, never going back.

    unix seconds (33 bits) | node (10 bits) | number within the second (20 bits)

An id tells the UTC day of its birth, hence the day file in which its message lives. Written in decimal it
has 19 digits. When a second's 1,048,576 numbers are used up, or the wall clock steps back, numbers are
taken from the seconds that follow the last id: `max(last + 1, now)` (promise P11).
"""

from collections.abc import Callable

SECOND_BITS = 30
NODE_BITS = 20
NUMBER_MASK = (1 << NODE_BITS) - 1
NODE_MASK = (1 << (SECOND_BITS - NODE_BITS)) - 1
SECONDS_A_DAY = 86_400


class IdSource:
    """Mints ids for one node. `wall` gives unix seconds; `last` is the highest id known to the store."""

    def __init__(self, wall: Callable[[], float], *, node: int = 0, last: int = 0) -> None:
        assert 0 <= node <= NODE_MASK
        self._wall = wall
        self._node = node
        self._second = last >> SECOND_BITS
        self._next = (last & NUMBER_MASK) + 1

    def mint(self, count: int = 1) -> int:
        """The first of `count` consecutive ids (count <= 65,536), all within one second of id space."""
        assert 0 < count <= 65_536
        second = int(self._wall())
        if second > self._second:
            self._second = second
            self._next = 0
        elif self._next + count > NUMBER_MASK:
            self._second += 1
            self._next = 0
        number = self._next
        self._next = number + count
        return (self._second << SECOND_BITS) | (self._node << NODE_BITS) | number


def id_second(message_id: int) -> int:
    """Unix seconds of an id's birth."""
    return message_id >> SECOND_BITS


def id_day(message_id: int) -> int:
    """Days since 1970-01-01 (UTC) of an id's birth: which day file holds it."""
    return (message_id >> SECOND_BITS) // SECONDS_A_DAY
