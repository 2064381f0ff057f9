"""Notices decisions of reviewers on tasks of the console: `batch.reviewed`, to the accounts of the task's owner."""

from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.events.shapes import BATCH_REVIEWED, ReviewData
from gateway.events.tell import Teller
from store import tasks
from store.announcements import Announcement, Told
from store.config_db import ConfigStore
from store.tasks import Review

if TYPE_CHECKING:
    from gateway.core import Core

PERIOD_S = 2.0
REVIEWS_A_LOOK = 200
PLACE = 0  # the subject of the one note: up to which entry of the tasks' history decisions are told


class ReviewedTasks:
    def __init__(self, core: "Core", configuration: ConfigStore, teller: Teller) -> None:
        self._core = core
        self._configuration = configuration
        self._teller = teller
        self._after = -1

    async def run(self) -> None:
        """Look until cancelled."""
        place = (await self._teller.notes(BATCH_REVIEWED)).get(PLACE)
        if place is None:  # what was decided before there was anybody to tell is history
            newest = await self._core.ports.off_loop(self._newest)
            await self._teller.tell([], Told(notes=[(BATCH_REVIEWED, PLACE, str(newest))]))
            place = str(newest)
        self._after = int(place)
        while True:
            await self.look()
            await trio.sleep(PERIOD_S)

    async def look(self) -> None:
        """Tell of the next decisions."""
        after = self._after
        reviews: list[Review] = await self._core.ports.off_loop(lambda: self._reviews(after))
        if not reviews:
            return
        accounts: dict[int, list[int]] = {}
        for account, user in self._teller.listeners():
            accounts.setdefault(user, []).append(account)
        news = [
            Announcement(account, BATCH_REVIEWED, _data(one))
            for one in reviews
            for account in accounts.get(one.user, ())
        ]
        last = reviews[-1].entry
        if await self._teller.tell(news, Told(notes=[(BATCH_REVIEWED, PLACE, str(last))])):
            self._after = last

    def _newest(self) -> int:
        with self._configuration.reading() as connection:
            return tasks.newest_entry(connection)

    def _reviews(self, after: int) -> list[Review]:
        with self._configuration.reading() as connection:
            return tasks.reviews_after(connection, after, REVIEWS_A_LOOK)


def _data(one: Review) -> bytes:
    return msgspec.json.encode(
        ReviewData(
            str(one.task),
            one.name,
            "approved" if one.move == "approve" else "rejected",
            one.reviewer.removeprefix("console:"),
            one.recipients,
            one.parts,
            one.note,
        )
    )
