"""Puts events that the gateway itself makes on the accounts' logs, each exactly once, whenever the process is killed.

    teller = Teller(core, ledger)
    await teller.recover()                                    before the first `tell`
    if await teller.tell(announcements, told): …              on the logs, and known to be

`api.db` knows what is going to be told before the logs have it, and that it was told after that. What a crash left in
between is looked for on the logs, behind the seq at which its telling began, and told if it is not there.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.api.ledger import Ledger
from gateway.events.log import PAGE_EVENTS_MAX
from store import announcements as stored
from store.announcements import Announcement, Told
from store.api_db import ApiFull

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("events")

FULL_WAIT_S = 5.0  # on a full disk, until the next try


class Teller:
    def __init__(self, core: "Core", ledger: Ledger) -> None:
        self._core = core
        self._ledger = ledger

    async def tell(self, announcements: list[Announcement], told: Told) -> bool:
        """Put these on their logs; False when the disk is full and nothing was told. Raises StoreFailed."""
        if not announcements:
            await self._settle(0, told)
            return True
        after = self._core.event_log.head
        try:
            identifier = await self._ledger.write(partial(stored.begin, after, announcements, told))
        except ApiFull as full:
            log.error("events wait for room on the disk", because=str(full))
            return False
        await self._append(announcements)
        await self._settle(identifier, told)
        return True

    async def recover(self) -> None:
        """Tell what a crash left untold."""
        for left in await self._ledger.read(stored.pending):
            missing = [one for one in left.announcements if not await self._is_on_log(one, left.after)]
            await self._append(missing)
            await self._settle(left.id, left.told)

    async def notes(self, kind: str) -> dict[int, str]:
        """subject -> what was said of it last, over restarts."""
        return await self._ledger.read(partial(stored.notes, kind))

    def listeners(self) -> Iterator[tuple[int, int]]:
        """(account, user) of those with a key or a webhook; test keys hear of their own messages only."""
        directory = self._core.directory
        heard = {key.account for key in directory.api_keys.values() if not key.test}
        heard |= {webhook.account for webhook in directory.webhooks.values()}
        for account in directory.accounts.values():
            if account.id in heard:
                yield account.id, account.user

    async def _append(self, announcements: list[Announcement]) -> None:
        settled = [self._core.event_log.append(one.account, one.kind, one.data) for one in announcements]
        for event in settled:
            await event.wait()

    async def _settle(self, identifier: int, told: Told) -> None:
        while True:
            try:
                await self._ledger.write(partial(stored.settle, identifier, told))
            except ApiFull as full:
                # On the logs, and not known to be: a crash now would look for it there.
                log.error("what was told is not noted", because=str(full))
                await trio.sleep(FULL_WAIT_S)
            else:
                return

    async def _is_on_log(self, one: Announcement, after: int) -> bool:
        event_log = self._core.event_log
        while True:
            page = await event_log.page(one.account, after, PAGE_EVENTS_MAX, kinds=(one.kind,))
            if any(
                isinstance(event.data, msgspec.Raw) and bytes(event.data) == one.data for event in page.events
            ):
                return True
            if page.through >= event_log.head:
                return False
            after = page.through
