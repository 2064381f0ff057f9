"""Notices whose parts have fallen to their threshold: `quota.low`, once a fall.

Looks at balances every few seconds instead of at every message: who sends pays nothing for it. A user's own accounts
hear of the user; an administrator's hear of the groups that the administrator looks after. Who was told is told again
only after a top-up, or after so much came back unsent that twice the threshold is there: single parts that go and come
around the threshold are no news.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.events.shapes import QUOTA_LOW, QuotaData
from gateway.events.tell import Teller
from store.announcements import Announcement, Told

if TYPE_CHECKING:
    from gateway.core import Core

PERIOD_S = 2.0


class _Purse(msgspec.Struct, frozen=True):
    """Somebody's parts at the moment. `subject` is a user's id, or a group's with a minus."""

    subject: int
    data: QuotaData
    listeners: tuple[int, ...]


class LowQuota:
    def __init__(self, core: "Core", teller: Teller) -> None:
        self._core = core
        self._teller = teller
        self._told: dict[int, str] = {}  # subject -> the limit of which it was told

    async def run(self) -> None:
        """Look until cancelled."""
        self._told = await self._teller.notes(QUOTA_LOW)
        while True:
            await self.look()
            await trio.sleep(PERIOD_S)

    async def look(self) -> None:
        """Tell of who is low now and was not before."""
        told = Told()
        news: list[Announcement] = []
        for purse in self._purses():
            data, known = purse.data, self._told.get(purse.subject)
            low = data.available <= data.threshold
            if known is None and low:
                told.notes.append((QUOTA_LOW, purse.subject, str(data.limit)))
                body = msgspec.json.encode(data)
                news += [Announcement(account, QUOTA_LOW, body) for account in purse.listeners]
            elif known is not None and not low and _topped_up(data, int(known)):
                told.notes.append((QUOTA_LOW, purse.subject, ""))
        if told.notes and await self._teller.tell(news, told):
            for _, subject, value in told.notes:
                if value:
                    self._told[subject] = value
                else:
                    del self._told[subject]

    def _purses(self) -> Iterator[_Purse]:
        directory, quota = self._core.directory, self._core.quota
        listening: dict[int, list[int]] = {}
        for account, owner in self._teller.listeners():
            listening.setdefault(owner, []).append(account)
        keepers: dict[int, list[int]] = {}  # group -> accounts of its administrators
        for identifier, accounts in listening.items():
            user = directory.users.get(identifier)
            if user is None or user.state != "active":
                continue
            if user.role == "admin":
                keepers.setdefault(user.group, []).extend(accounts)
            if user.limit:
                available = quota.of(identifier).available
                data = QuotaData("user", user.login, user.limit, available, user.low_at)
                yield _Purse(identifier, data, tuple(accounts))
        if keepers:
            yield from self._groups(keepers)

    def _groups(self, keepers: dict[int, list[int]]) -> Iterator[_Purse]:
        """Limited groups that an administrator with a log looks after. What their users have not used is left."""
        directory, balances = self._core.directory, self._core.quota.balances
        spent: Counter[int] = Counter()
        for user in directory.users.values():
            balance = balances.get(user.id)
            if balance is not None and (taken := balance.used + balance.reserved):
                for above in self._chain(user.group):
                    spent[above] += taken
        for group in directory.groups.values():
            listeners = [account for one in self._chain(group.id) for account in keepers.get(one, ())]
            if listeners and group.granted and not group.unlimited:
                left = group.granted - spent[group.id]
                data = QuotaData("group", group.path, group.granted, left, group.low_at)
                yield _Purse(-group.id, data, tuple(listeners))

    def _chain(self, group: int) -> Iterator[int]:
        """A group and those above it."""
        groups = self._core.directory.groups
        while group in groups:
            yield group
            group = groups[group].parent


def _topped_up(data: QuotaData, told_limit: int) -> bool:
    return data.limit > told_limit or data.available >= 2 * data.threshold
