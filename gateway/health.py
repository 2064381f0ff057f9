"""`/healthz`: whether this daemon takes messages, in words; a load balancer and a supervisor ask for it."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.core import Core

STUCK_S = 5.0  # a round takes 10 to 20 ms; this long without one, with work waiting, means a hanging disk


class HealthReport(msgspec.Struct):
    """What /healthz answers. `status`: ok, degraded (works, but somebody should look), or failing (503)."""

    status: str
    reasons: list[str]
    carriers_up: int
    carriers: int


class Health:
    """Whether this daemon takes messages; a load balancer asks for it. `tick` sees a committer that hangs."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._rounds = -1
        self._moved_at = core.clock.now()

    def tick(self, now: float) -> None:
        """Look at the committer; several times a second."""
        figures = self._core.committer.statistics()
        if figures.rounds != self._rounds or not figures.waiting_changes:
            self._rounds = figures.rounds
            self._moved_at = now

    def report(self) -> HealthReport:
        core = self._core
        failing: list[str] = []
        if core.draining:
            failing.append("draining: this daemon is ending")
        if core.disk != "ok":
            failing.append(f"disk {core.disk}: no new messages are taken until there is room")
        stuck_s = core.clock.now() - self._moved_at
        if stuck_s > STUCK_S:
            failing.append(f"the store has not answered for {stuck_s:.0f} s")
        states = [state for state in core.carriers.values() if state.active]
        up = sum(state.up for state in states)
        degraded = ["no carrier is up: messages are taken and wait"] if states and not up else []
        status = "failing" if failing else "degraded" if degraded else "ok"
        return HealthReport(status, failing + degraded, up, len(states))
