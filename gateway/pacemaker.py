"""Pumps carriers at the moments that their pace asks for: one task and one timer for all of them.

A carrier's `pump` sends what may be sent now. What may only be sent later, for its rate or because the
carrier throttled us, would wait for the next answer or second; `wake` has it pumped at the right moment.
"""

from typing import TYPE_CHECKING

import trio

from gateway.ports import Clock

if TYPE_CHECKING:
    from gateway.carriers import CarrierState


class Pacemaker:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[CarrierState, float] = {}
        self._next_at = float("inf")
        self._sooner = trio.Event()

    def wake(self, carrier: "CarrierState", at: float) -> None:
        """Pump this carrier at `at` (the clock's seconds), or sooner if that was asked for already."""
        if at < self._due.get(carrier, float("inf")):
            self._due[carrier] = at
            if at < self._next_at:
                self._sooner.set()

    async def run(self) -> None:
        while True:
            self._sooner = trio.Event()
            self._next_at = min(self._due.values(), default=float("inf"))
            with trio.move_on_after(max(0.0, self._next_at - self._clock.now())):
                await self._sooner.wait()
            now = self._clock.now()
            for carrier in [carrier for carrier, at in self._due.items() if at <= now]:
                del self._due[carrier]
                carrier.pump()
