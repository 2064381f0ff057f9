"""The clocks of a session, pure: events go in with the time they happened, `tick` says what is due.

Nothing here reads a clock, so a test is a list of numbers. The rules:

* *session-init*: from the connection (and again from an outbind or our own bind) until bound.
* *enquire_link*: silence of a bound peer. Any whole PDU from it proves life, also instead of the answer we
  wait for. One unanswered enquire_link makes the link suspect and is followed by a second one at once; when
  that stays unanswered too, the link is dead. One lost answer, or one long pause of our own, kills nothing.
* *inactivity*: no transaction either way. enquire_link is not a transaction, else two gateways would hold
  an idle session open for ever.
* *partial PDU*: from the first octet of a PDU to its last, whatever trickles in between.
* *unbind*: from unbind to its response, or to the last answer that has to precede it.

The response timer belongs to the window, where the requests are.
Source: SMPP 3.4 section 7.2 (names, no values); values and the two strikes are from the field.
"""

from enum import Enum
from math import inf

import msgspec

from gateway.smpp.session_values import SessionLimits


class Due(Enum):
    """What a session must do now."""

    NOTHING = "nothing"
    ENQUIRE_LINK = "enquire_link"
    UNBIND = "unbind"
    CLOSE = "close"


class TimerAction(msgspec.Struct, frozen=True):
    """One thing to do, and for a person why."""

    due: Due
    reason: str = ""


NOTHING = TimerAction(Due.NOTHING)


class Timers:
    """The five timers of one session.

    Args:
      limits: the intervals; 0 switches one off.
      now: the time of connection.
      jitter: 0..1; the first enquire_link comes up to half its interval early, so that thousands of
        sessions which began together do not enquire together.
    """

    __slots__ = (
        "_answer_at",
        "_enquire_at",
        "_enquire_s",
        "_enquired_at",
        "_inactive_at",
        "_init_at",
        "_jitter",
        "_limits",
        "_misses",
        "_partial_at",
        "_unbind_at",
        "round_trip_s",
    )

    def __init__(self, limits: SessionLimits, *, now: float, jitter: float = 0.0) -> None:
        self._jitter = jitter
        self.adopt(limits)
        self._init_at = inf
        self._enquire_at = inf
        self._enquired_at = -inf
        self._answer_at = inf
        self._inactive_at = inf
        self._partial_at = inf
        self._unbind_at = inf
        self._misses = 0
        self.round_trip_s: float | None = None
        self.await_bind(now)

    def adopt(self, limits: SessionLimits) -> None:
        """Take other intervals; timers that run keep their time."""
        self._limits = limits
        self._enquire_s = limits.enquire_link_s * (1 - self._jitter / 2)

    @property
    def suspect(self) -> bool:
        """An enquire_link has stayed unanswered and nothing was heard since."""
        return self._misses > 0

    def await_bind(self, now: float) -> None:
        """The session must be bound within session_init_s from now."""
        self._init_at = _after(now, self._limits.session_init_s)

    def bind_arrived(self) -> None:
        """The peer has bound and waits for us: no longer its fault."""
        self._init_at = inf

    def bound(self, now: float) -> None:
        """The session is bound: silence and inactivity count from now."""
        self._init_at = inf
        self._enquire_at = _after(now, self._enquire_s)
        self._inactive_at = _after(now, self._limits.inactivity_s)

    def heard(self, now: float) -> None:
        """A whole PDU came, of any kind."""
        if self._enquire_at == self._answer_at == inf:
            return
        self._misses = 0
        self._answer_at = inf
        self._enquire_at = _after(now, self._enquire_s)

    def enquired(self, now: float) -> None:
        """An enquire_link of ours went out."""
        self._enquire_s = self._limits.enquire_link_s
        self._enquired_at = now
        self._answer_at = _after(now, self._limits.enquire_answer_s)
        self._enquire_at = inf if self._answer_at < inf else _after(now, self._enquire_s)

    def enquire_answered(self, now: float) -> None:
        """The response to the last enquire_link came."""
        self.round_trip_s = now - self._enquired_at

    def transacted(self, now: float) -> None:
        """A request or response went either way that is no enquire_link."""
        if self._inactive_at < inf:
            self._inactive_at = _after(now, self._limits.inactivity_s)

    def partial(self, now: float, *, begun: bool) -> None:
        """The buffer ends inside a PDU; `begun`: its first octet is among those that just came."""
        if begun or self._partial_at == inf:
            self._partial_at = _after(now, self._limits.partial_pdu_s)

    def whole(self) -> None:
        """The buffer ends where a PDU ends."""
        self._partial_at = inf

    def unbinding(self, now: float) -> None:
        """An unbind was sent or received: only its own timer and the partial PDU's go on."""
        self._init_at = self._enquire_at = self._answer_at = self._inactive_at = inf
        self._misses = 0
        if self._unbind_at == inf:
            self._unbind_at = _after(now, self._limits.unbind_s)

    def tick(self, now: float) -> TimerAction:
        """The most urgent thing that is due; state changes only by counting a missed answer."""
        limits = self._limits
        if now >= self._init_at:
            return TimerAction(Due.CLOSE, f"not bound within {limits.session_init_s:g} s")
        if now >= self._partial_at:
            return TimerAction(Due.CLOSE, f"a PDU was not complete within {limits.partial_pdu_s:g} s")
        if now >= self._unbind_at:
            return TimerAction(Due.CLOSE, f"unbind was not completed within {limits.unbind_s:g} s")
        if now >= self._answer_at:
            self._answer_at = inf
            self._misses += 1
            if self._misses > 1:
                reason = f"two enquire_link without an answer, {limits.enquire_answer_s:g} s each"
                return TimerAction(Due.CLOSE, reason)
            return TimerAction(Due.ENQUIRE_LINK, "the first enquire_link was not answered")
        if now >= self._inactive_at:
            self._inactive_at = inf
            return TimerAction(Due.UNBIND, f"no transaction for {limits.inactivity_s:g} s")
        if now >= self._enquire_at:
            return TimerAction(Due.ENQUIRE_LINK, "nothing heard")
        return NOTHING

    def next_at(self) -> float:
        """When `tick` has something to do; inf when no timer runs."""
        return min(
            self._init_at,
            self._partial_at,
            self._unbind_at,
            self._answer_at,
            self._inactive_at,
            self._enquire_at,
        )


def _after(now: float, interval_s: float) -> float:
    return now + interval_s if interval_s > 0 else inf
