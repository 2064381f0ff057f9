"""What makes the events that no message makes, all running."""

from typing import TYPE_CHECKING

import trio

from gateway.api.ledger import Ledger
from gateway.events.connections import Connections
from gateway.events.finished import FinishedBatches
from gateway.events.low_quota import LowQuota
from gateway.events.reviewed import ReviewedTasks
from gateway.events.tell import Teller

if TYPE_CHECKING:
    from gateway.daemon import Daemon


async def produce(daemon: "Daemon", ledger: Ledger) -> None:
    """Until cancelled. Raises StoreFailed when the disk does."""
    core = daemon.core
    teller = Teller(core, ledger)
    await teller.recover()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FinishedBatches(core, ledger, teller).run)
        nursery.start_soon(LowQuota(core, teller).run)
        nursery.start_soon(Connections(core, teller).run)
        nursery.start_soon(ReviewedTasks(core, daemon.configuration, teller).run)
