"""The wall clock as far as it can be believed (P11).

Durations are monotonic. What wall time fires (validity, schedules, retention) must not follow a clock that a bad
time server has put hours ahead: a step forward of over five minutes is not believed before it has lasted a minute.
"""

import structlog

from gateway.ports import Clock

log = structlog.get_logger("wall")

JUMP_MS = 5 * 60 * 1000
STABLE_S = 60.0


class WallWatch:
    """Looks at both clocks whenever it is asked; steps are seen when they are not taken by both."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now()
        self._wall_ms = clock.wall_ms()
        self._ahead_ms = 0  # so much of the wall clock is not believed yet
        self._doubted_until = float("-inf")

    def believable(self) -> bool:
        """Whether the wall clock goes with the monotonic one, or has for a minute."""
        self._look()
        return self._now >= self._doubted_until

    def believed_ms(self) -> int:
        """UTC milliseconds: the wall clock's, less a step forward that is not believed yet."""
        self._look()
        return self._wall_ms - self._ahead_ms

    def _look(self) -> None:
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        step = (wall_ms - self._wall_ms) - round((now - self._now) * 1000)
        self._now, self._wall_ms = now, wall_ms
        if step > JUMP_MS:
            log.warning("the wall clock jumped forward", by_s=round(step / 1000), pausing_s=STABLE_S)
            self._ahead_ms += step
            self._doubted_until = now + STABLE_S
        elif step < -JUMP_MS:
            self._ahead_ms = max(0, self._ahead_ms + step)  # it came back
        if now >= self._doubted_until:
            self._ahead_ms = 0
