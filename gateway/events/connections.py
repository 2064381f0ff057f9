"""Notices carriers that come up, go down or are paused: `connection.state`.

Carriers are the business of those who run the gateway: the administrators of a root group, who see them in the
console. A state counts once it has lasted from one look to the next, so that a bind that comes back at once is no news;
and it is compared with what was told last, so that a restart of the gateway is none either.
"""

from typing import TYPE_CHECKING, Literal

import msgspec
import trio

from gateway.events.shapes import CONNECTION_STATE, ConnectionData
from gateway.events.tell import Teller
from store.announcements import Announcement, Told

if TYPE_CHECKING:
    from gateway.carriers import CarrierState
    from gateway.core import Core

PERIOD_S = 1.0
START_S = 5.0  # so long after a start binds are still coming

State = Literal["up", "down", "paused"]


class Connections:
    def __init__(self, core: "Core", teller: Teller) -> None:
        self._core = core
        self._teller = teller
        self._told: dict[int, str] = {}
        self._seen: dict[int, State] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        self._told = await self._teller.notes(CONNECTION_STATE)
        started = self._core.clock.now()
        while True:
            await self.look(starting=self._core.clock.now() - started < START_S)
            await trio.sleep(PERIOD_S)

    async def look(self, *, starting: bool = False) -> None:
        """Tell of what has changed for good. While `starting` nothing is down yet."""
        if self._core.draining:
            return
        told = Told()
        news: list[Announcement] = []
        seen: dict[int, State] = {}
        for carrier in self._core.carriers.values():
            if carrier.carrier.bind == "receiver":
                continue  # nothing is sent to it
            state = seen[carrier.id] = state_of(carrier)
            if self._seen.get(carrier.id) != state or self._told.get(carrier.id) == state:
                continue
            if starting and state == "down":
                continue
            told.notes.append((CONNECTION_STATE, carrier.id, state))
            binds = sum(bind.can_send for bind in carrier.binds)
            data = msgspec.json.encode(
                ConnectionData(carrier.carrier.name, state, binds, carrier.queue.length)
            )
            news += [Announcement(account, CONNECTION_STATE, data) for account in self._listeners()]
        self._seen = seen
        if told.notes and await self._teller.tell(news, told):
            self._told |= {carrier: state for _, carrier, state in told.notes}

    def _listeners(self) -> list[int]:
        """Accounts of active administrators of a root group."""
        directory = self._core.directory
        found = []
        for account, identifier in self._teller.listeners():
            user = directory.users.get(identifier)
            if user is not None and user.role == "admin" and user.state == "active":
                group = directory.groups.get(user.group)
                if group is not None and not group.parent:
                    found.append(account)
        return found


def state_of(carrier: "CarrierState") -> State:
    if not carrier.active:
        return "paused"
    return "up" if carrier.up else "down"
