"""Balances in memory: the one authority on whether a user may send another part.

`available = limit - used - reserved` (all in parts). A part is reserved when its message is accepted, in the
same transaction; it becomes used when a carrier accepts it and is released when no carrier did (refused,
expired, cancelled). What was committed can be recounted from the part rows; nothing here outlives them.
"""

from store.directory import User
from store.model import Usage


class Balance:
    """One user's parts."""

    __slots__ = ("limit", "reserved", "used", "user")

    def __init__(self, user: int, limit: int, used: int = 0, reserved: int = 0) -> None:
        self.user = user
        self.limit = limit
        self.used = used
        self.reserved = reserved

    @property
    def available(self) -> int:
        return self.limit - self.used - self.reserved


class QuotaBook:
    def __init__(self) -> None:
        self.balances: dict[int, Balance] = {}

    def set_users(self, users: dict[int, User]) -> None:
        """Take new limits; what is used and reserved stays."""
        for user in users.values():
            balance = self.balances.get(user.id)
            if balance is None:
                self.balances[user.id] = Balance(user.id, user.limit)
            else:
                balance.limit = user.limit

    def restore(self, used_and_reserved: dict[int, tuple[int, int]]) -> None:
        """What the store's recovery counted."""
        for user, (used, reserved) in used_and_reserved.items():
            balance = self.balances.setdefault(user, Balance(user, 0))
            balance.used += used
            balance.reserved += reserved

    def of(self, user: int) -> Balance:
        """A user's balance; of one that is gone from the directory too, for what it still has under way."""
        return self.balances.get(user) or self.balances.setdefault(user, Balance(user, 0))

    def reserve(self, user: int, parts: int) -> bool:
        """Take `parts` if there are that many; never overspends."""
        balance = self.balances[user]
        if balance.available < parts:
            return False
        balance.reserved += parts
        return True


class UsageTally:
    """Quota movements of one batch, folded to one row a user and day."""

    __slots__ = ("_book", "_rows")

    def __init__(self, book: QuotaBook) -> None:
        self._book = book
        self._rows: dict[tuple[int, int], list[int]] = {}

    def settle(self, user: int, day: int, parts: int = 1) -> None:
        """A carrier accepted reserved parts."""
        self._move(user, day, -parts, parts)

    def release(self, user: int, day: int, parts: int = 1) -> None:
        """Reserved parts will not be sent."""
        self._move(user, day, -parts, 0)

    def use(self, user: int, day: int, parts: int = 1) -> None:
        """Parts that were released turn out to have been sent."""
        self._move(user, day, 0, parts)

    def _move(self, user: int, day: int, reserved: int, used: int) -> None:
        row = self._rows.get((user, day))
        if row is None:
            row = self._rows[(user, day)] = [0, 0]
        row[0] += reserved
        row[1] += used

    def rows(self) -> list[Usage]:
        """The rows for the store; the book in memory moves with them."""
        usage = []
        for (user, day), (reserved, used) in self._rows.items():
            balance = self._book.of(user)
            balance.reserved += reserved
            balance.used += used
            usage.append(Usage(user, day, reserved, used))
        self._rows = {}
        return usage
