"""Rates in parts per second: a token bucket for accounts, a pacer for carriers. Pure; `now` is an argument.

An account's bucket allows bursts up to its size and then the rate. A carrier's pacer promises more: in no
one-second window, wherever it begins, do more than `rate` parts leave (promise P7).
"""

ACCOUNT_PAUSE_S_MAX = 0.5  # how long reading stops before RTHROTTLED is answered
# A carrier with a rate above this is paced in small bursts of rate/BURST_DIVISOR: a timer each millisecond
# for every part would cost more than the part itself.
EXACT_RATE_MAX = 50
BURST_DIVISOR = 50
# Spacing slightly wider than 1/rate keeps the promise where the network closes gaps by a little.
SPACING_MARGIN = 1.005


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once; rate 0 never limits."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = max(burst or rate, 1.0)
        self._level = self.burst
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` may pass now; these are taken."""
        if not self.rate:
            return wanted
        self._refill(now)
        granted = min(wanted, max(0, int(self._level)))
        self._level -= granted
        return granted

    def owe(self, count: int, now: float) -> None:
        """Take `count` that cannot be refused any more; what is missing is paid before the next passes."""
        if self.rate:
            self._refill(now)
            self._level -= count

    def give_back(self, count: int) -> None:
        self._level = min(self.burst, self._level + count)

    def left(self, now: float) -> int:
        """How many may pass now."""
        self._refill(now)
        return max(0, int(self._level))

    def wait_s(self, wanted: int, now: float) -> float:
        """Seconds until `wanted` tokens (at most a full bucket) are there; 0 when they are."""
        if not self.rate:
            return 0.0
        self._refill(now)
        missing = min(wanted, self.burst) - self._level
        return missing / self.rate if missing > 0 else 0.0

    def _refill(self, now: float) -> None:
        self._level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now


class Pacer:
    """At most `rate` in any one-second window.

    Generic cell rate algorithm with a burst of b and a steady rate r such that b + r <= rate, so a window of
    one second never holds more than `rate`. Up to 50 a second b is 1: evenly spaced.
    """

    def __init__(self, rate: float) -> None:
        self.rate = 0.0
        self._interval = 0.0
        self._tolerance = 0.0
        self._due = float("-inf")  # theoretical arrival time of the next part
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Change the rate; 0 never limits. Parts already sent still count."""
        self.rate = rate
        if not rate:
            return
        burst = 1 if rate <= EXACT_RATE_MAX else int(rate // BURST_DIVISOR)
        steady = rate if burst == 1 else rate - burst
        self._interval = SPACING_MARGIN / steady
        self._tolerance = (burst - 1) * self._interval

    def available(self, wanted: int, now: float) -> int:
        """How many of `wanted` may leave now."""
        if not self.rate:
            return wanted
        if now >= self._due:
            return min(wanted, 1 + int(self._tolerance / self._interval + 1e-9))
        free = (now + self._tolerance - self._due) / self._interval
        return min(wanted, int(free + 1 + 1e-9)) if free >= -1e-9 else 0

    def sent(self, count: int, now: float) -> None:
        if self.rate:
            self._due = max(self._due, now) + count * self._interval

    def next_at(self, now: float) -> float:
        """When the next part may leave."""
        return max(now, self._due - self._tolerance) if self.rate else now


class Adaptive:
    """Slow-down of a carrier that answers RTHROTTLED or RMSGQFUL: halve, pause, rise again.

    `factor` scales the contract rate, or, where there is none, the rate measured when throttling began.
    Ten refusals in a row cut the rate; each clean second raises it by 5 % of the whole. What is refused
    within the pause after a cut was sent before it: a window full of refusals is one sign, not ten.
    """

    PAUSE_S = 1.0
    REFUSALS_BEFORE_CUT = 10
    RISE_A_SECOND = 0.05
    FACTOR_MIN = 1 / 64

    def __init__(self) -> None:
        self.factor = 1.0
        self.paused_until = float("-inf")
        self.refusals = 0
        self._in_a_row = 0
        self._risen_at = 0.0
        self._cut_until = float("-inf")

    def refused(self, now: float) -> bool:
        """A throttling answer came. True when the rate was cut by it."""
        self.refusals += 1
        self.paused_until = max(self.paused_until, now + self.PAUSE_S)
        if now < self._cut_until:
            return False
        self._in_a_row += 1
        if self._in_a_row < self.REFUSALS_BEFORE_CUT:
            return False
        self._in_a_row = 0
        self.factor = max(self.FACTOR_MIN, self.factor / 2)
        self._risen_at = now
        self._cut_until = now + self.PAUSE_S
        return True

    def accepted(self) -> None:
        self._in_a_row = 0

    def rise(self, now: float) -> bool:
        """Call about once a second. True when the factor changed."""
        if self.factor >= 1.0 or now < self.paused_until or now - self._risen_at < 1.0:
            return False
        self._risen_at = now
        self.factor = min(1.0, self.factor + self.RISE_A_SECOND)
        return True
