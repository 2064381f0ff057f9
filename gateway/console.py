"""The daemon as the console sees it: what it may ask and cause, and nothing else."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.control_store import number_reader
from gateway.status import Status, status_report

if TYPE_CHECKING:
    from gateway.daemon import Daemon


class RouteFound(msgspec.Struct, frozen=True):
    """Where a message would go now. `carrier` is "" where no route matches."""

    prefix: str = ""
    carrier: str = ""
    up: bool = False
    first: bool = True


class ConsoleOperations:
    """Handed to the console; its calls belong on the event loop."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._number = number_reader(daemon.config.smpp.home_country)

    async def reload(self) -> None:
        """Take people, words, blacklists, carriers and routes as config.db has them now."""
        await self._daemon.reload()

    def live(self) -> Status:
        """The daemon at this moment."""
        return status_report(self._daemon)

    def balances(self) -> Mapping[int, tuple[int, int]]:
        """By user id: parts used ever, and reserved now."""
        balances = self._daemon.core.quota.balances
        return {user: (balance.used, balance.reserved) for user, balance in balances.items()}

    def route_of(self, number: int, account: int, sms_type: str) -> RouteFound:
        """Which carrier would take a message to this number; account 0 is any."""
        core = self._daemon.core
        candidate = core.router.match(str(number), account, sms_type)
        if candidate is None or not candidate.route.carriers:
            return RouteFound()
        route = candidate.route
        chosen = next((one for one in route.carriers if core.carrier_up(one)), route.carriers[0])
        carrier = core.directory.carriers[chosen]
        return RouteFound(route.prefix, carrier.name, core.carrier_up(chosen), chosen == route.carriers[0])

    def canonical_number(self, text: str) -> int:
        """A number as people write it. Raises ValueError with a sentence."""
        return self._number(text)
