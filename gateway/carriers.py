"""One upstream carrier while the daemon runs: its queue, its binds, its pace and its id space.

A carrier is one rate, one window a bind and one id space, however many binds it has. `pump` moves what may
move now: as many parts as windows, rate and mood allow, one encode pass and one write a bind. Synchronous.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.correlation import Correlation
from gateway.dress import Dresser
from gateway.outbound import OutboundQueue, same_message
from gateway.ports import Clock
from gateway.ratelimit import Adaptive, Pacer
from gateway.smpp.encode import LocalProtocolError
from gateway.smpp.message_ids import HabitLearner
from gateway.smpp.session import Session
from gateway.withheld import Withheld
from store.directory import Carrier
from store.model import Part

# Answers that may wait for the disk before nothing more is sent: what a crash can leave in doubt beside the
# windows (P3). At 10 ms a round it allows 100,000 a second.
UNSETTLED_MAX = 1_000


class Flight(msgspec.Struct, gc=False):
    """One submit_sm on the wire: the session's token for it."""

    part: Part
    n: int  # which attempt of this part
    sent_at: int
    pdu: bytes | None  # the body as sent, where it differs from part.body
    sequence_number: int = 0


class TransmitterBind(Protocol):
    """What a carrier needs of a bind that can take submit_sm."""

    number: int
    peer: str
    session: Session
    carried: deque[Part]  # the rest of a message that this bind has begun

    @property
    def can_send(self) -> bool: ...

    @property
    def window_free(self) -> int: ...

    def send_flights(self, flights: list[Flight], bodies: list[bytes], now: float) -> None: ...


class CarrierState:
    def __init__(
        self,
        carrier: Carrier,
        clock: Clock,
        *,
        habits: HabitLearner,
        queue_parts_max: int,
        correlation_entries_max: int,
        believed_ms: Callable[[], int] | None = None,
        on_expired: Callable[[list[Part]], None],
        on_unsendable: Callable[[list[Part]], None],
        on_claim: Callable[["CarrierState", list[Part]], None],
        withheld: Withheld | None = None,
        still_allowed: Callable[[list[Part]], list[Part]] = lambda parts: parts,
    ) -> None:
        self.id = carrier.id
        self._clock = clock
        self._believed_ms = believed_ms or clock.wall_ms  # what validity is judged by (P11)
        self.queue = OutboundQueue(carrier.id, queue_parts_max=queue_parts_max, withheld=withheld)
        self.correlation = Correlation(habits, live_max=correlation_entries_max)
        self.pacer = Pacer(carrier.rate)
        self.adaptive = Adaptive()
        self.binds: list[TransmitterBind] = []
        self.tries: dict[int, int] = {}  # attempts so far of parts that had more than none
        self.claimed: deque[Part] = deque()  # hold and fail carriers: claim is durable, may be sent
        self._claiming = 0  # parts that are on their way to `claimed`
        self._on_expired = on_expired
        self._on_unsendable = on_unsendable
        self._on_claim = on_claim
        self._still_allowed = still_allowed  # of parts that a change of blacklists did not find in a queue
        self.wake: Callable[[float], None] = lambda at: None  # asks for a pump at a time
        self.sent = 0
        self.accepted = 0
        self.refused: dict[int, int] = {}
        self.throttled = 0
        self.receipts = 0
        self.maybe_duplicates = 0
        self.down_since: float | None = clock.now()
        self.stopped = False  # the disk is so full that a result could not be recorded (P9)
        self.suspects: set[int] = set()  # parts in the store that may have been sent before a crash
        self.unsettled = 0  # answers that are not on disk yet
        self.accepted_rate = 0.0  # parts a second, over the last second
        self.sent_rate = 0.0
        self.receipt_rate = 0.0
        self.last_refusal = (0, 0)  # when (UTC ms), with which status
        self._measured_at = clock.now()
        self._measured_accepted = 0
        self._measured_sent = 0
        self._measured_receipts = 0
        self.limited_by = "bind"
        self.carrier = carrier
        self.dresser = Dresser(carrier)

    def apply(self, carrier: Carrier) -> None:
        """Take new settings in place; binds follow on their own."""
        self.carrier = carrier
        self.dresser = Dresser(carrier)
        if carrier.message_id != self.correlation.habits.configured:
            learned = self.correlation.habits.to_dict()
            self.correlation.habits = HabitLearner.from_dict(learned, configured=carrier.message_id)
        self._set_pace()

    @property
    def active(self) -> bool:
        return self.carrier.state == "active"

    @property
    def up(self) -> bool:
        """Whether a message given to it now would be sent soon."""
        if not self.active:
            return False
        return any(bind.can_send for bind in self.binds)

    def _set_pace(self) -> None:
        rate = self.carrier.rate or (self._measured_rate if self.adaptive.factor < 1.0 else 0)
        self.pacer.set_rate(rate * self.adaptive.factor)

    _measured_rate = 0.0

    def throttle(self, now: float, rate_now: float) -> None:
        """The carrier said RTHROTTLED or RMSGQFUL."""
        self.throttled += 1
        if self.adaptive.factor >= 1.0:
            # In its first second a carrier's rate is not measured yet, but so many it did take.
            this_second = self.accepted - self._measured_accepted
            self._measured_rate = max(rate_now, this_second, 1.0)
        if self.adaptive.refused(now):
            self._set_pace()

    def measure(self, now: float) -> None:
        """Once a second: how many parts the carrier took in it."""
        elapsed = now - self._measured_at
        if elapsed > 0:
            self.accepted_rate = (self.accepted - self._measured_accepted) / elapsed
            self.sent_rate = (self.sent - self._measured_sent) / elapsed
            self.receipt_rate = (self.receipts - self._measured_receipts) / elapsed
        if self.adaptive.factor < 1.0 and self.accepted_rate > self._measured_rate:
            # It takes more than it seemed to when it began to throttle us, perhaps within a burst.
            self._measured_rate = self.accepted_rate
            self._set_pace()
        self._measured_at, self._measured_accepted = now, self.accepted
        self._measured_sent, self._measured_receipts = self.sent, self.receipts

    def rise(self, now: float) -> None:
        """Once a second: undo the slow-down little by little."""
        if self.adaptive.rise(now):
            self._set_pace()

    def pump(self) -> None:
        """Send what may be sent now."""
        if not (self.queue.length or self.claimed or any(bind.carried for bind in self.binds)):
            self.limited_by = "nothing to send"
            return
        if not self.active:
            self.limited_by = "paused"
            return
        if self.stopped:
            self.limited_by = "disk full"
            return
        if self.unsettled >= UNSETTLED_MAX:
            self.limited_by = "disk"  # whose next round pumps again
            return
        now = self._clock.now()
        if now < self.adaptive.paused_until:
            self.limited_by = "throttled by the carrier"
            self.wake(self.adaptive.paused_until)
            return
        binds = self.binds
        self.limited_by = "bind"
        paced = False
        for _ in range(len(binds)):
            bind = binds[0]
            if len(binds) > 1:
                binds.append(binds.pop(0))
            if not bind.can_send:
                continue
            free = bind.window_free
            if free <= 0:
                self.limited_by = "window"
                continue
            granted = self.pacer.available(free, now)
            if granted <= 0:
                self.limited_by = "rate"
                self.wake(self.pacer.next_at(now))
                return
            parts = self._take(bind, granted)
            if not parts:
                self.limited_by = "nothing to send"
                continue
            self._send(bind, parts, now)
            paced = paced or granted < free
            self.limited_by = "nothing to send" if len(parts) < granted else "rate" if paced else "window"
        if paced and self.queue.length:
            # A full window is pumped by its next answer; only what the pace held back needs a timer.
            self.wake(self.pacer.next_at(now))

    @property
    def in_doubt_max(self) -> int:
        """So many parts may be sent, or answered and not recorded, when the process dies (P3)."""
        return self.carrier.window * self.carrier.binds + UNSETTLED_MAX

    def settled(self, answers: int) -> None:
        """So many answers are on disk now."""
        was_full = self.unsettled >= UNSETTLED_MAX
        self.unsettled -= answers
        if was_full:
            self.pump()

    def _take(self, bind: TransmitterBind, count: int) -> list[Part]:
        """Up to `count` parts that are alive. What is left of a message stays with the bind that began it."""
        carried = bind.carried
        parts: list[Part] = []
        if carried:
            alive = self._alive(list(carried))
            parts = alive[:count]
            carried.clear()
            carried.extend(alive[count:])
        while len(parts) < count:
            fresh = self._fresh(count - len(parts))
            alive = self._alive(fresh)
            parts += alive
            if len(alive) == len(fresh):
                break  # there are no more; what expired must not use up the grant
        if len(parts) > count:
            carried.extend(parts[count:])
            del parts[count:]
        return parts

    def _fresh(self, count: int) -> list[Part]:
        """The next parts, `count` and the rest of the last message."""
        if self.carrier.on_unknown == "resend" and not self.claimed:
            return self.queue.take(count)
        # At-most-once carriers: a part is recorded as claimed before its PDU is written (P3).
        claimed = self.claimed
        if self.carrier.on_unknown != "resend" and self.queue.length:
            windows = sum(bind.window_free for bind in self.binds if bind.can_send)
            room = min(count, windows - self._claiming) - len(claimed)
            wanted = self._alive(self.queue.take(room)) if room > 0 else []
            if wanted:
                self._claiming += len(wanted)
                self._on_claim(self, wanted)
        parts = [claimed.popleft() for _ in range(min(count, len(claimed)))]
        while claimed and same_message(parts[-1], claimed[0]):
            parts.append(claimed.popleft())
        return parts

    def claim_is_durable(self, parts: list[Part], allowed: list[Part] | None = None) -> None:
        """What `on_claim` was given is on disk as claimed: it may be sent, or what of it is still `allowed`."""
        self._claiming -= len(parts)
        self.claimed.extend(parts if allowed is None else allowed)
        self.pump()

    def _alive(self, parts: list[Part]) -> list[Part]:
        now_ms = self._believed_ms()
        expired = [part for part in parts if part.expires_at <= now_ms]
        if not expired:
            return parts
        for part in expired:
            self.tries.pop(part.id, None)
        self._on_expired(expired)
        gone = {part.id for part in expired}
        return [part for part in parts if part.id not in gone]

    def _send(self, bind: TransmitterBind, parts: list[Part], now: float) -> None:
        now_ms, believed_ms = self._clock.wall_ms(), self._believed_ms()
        tries = self.tries
        dresser = self.dresser
        bodies: list[bytes] = []
        flights: list[Flight] = []
        if dresser.plain and not tries:
            for part in parts:
                body = part.body
                if part.flags & 1:
                    dressed = dresser.dress(part, believed_ms)
                    flights.append(Flight(part, 1, now_ms, dressed))
                    bodies.append(dressed)
                else:
                    flights.append(Flight(part, 1, now_ms, None))
                    bodies.append(body)
        else:
            unsendable: list[Part] = []
            for part in parts:
                try:
                    dressed = dresser.dress(part, believed_ms)
                except LocalProtocolError:
                    unsendable.append(part)  # what this carrier's settings make of it is no submit_sm
                    continue
                n = tries.get(part.id, 0) + 1
                flights.append(Flight(part, n, now_ms, None if dressed == part.body else dressed))
                bodies.append(dressed)
            if unsendable:
                self._on_unsendable(unsendable)
        if not flights:
            return
        bind.send_flights(flights, bodies, now)
        self.pacer.sent(len(flights), now)
        self.sent += len(flights)

    def put_back(self, parts: list[Part]) -> None:
        """Parts whose turn comes again: to the front, in their order."""
        self.queue.put_back(self._still_allowed(parts))

    def remove(self, wanted: Callable[[Part], bool]) -> list[Part]:
        """Take out of memory, wherever it waits here, what `wanted` says."""
        removed = self.queue.remove(wanted)
        for waiting in (self.claimed, *(bind.carried for bind in self.binds)):
            if waiting:
                gone = [part for part in waiting if wanted(part)]
                if gone:
                    kept = [part for part in waiting if not wanted(part)]
                    waiting.clear()
                    waiting.extend(kept)
                    removed += gone
        for part in removed:
            self.tries.pop(part.id, None)
        return removed

    def withdraw(self, part_id: int) -> bool:
        """Take one part out of the queue, wherever it waits in memory; False if it does not."""
        return bool(self.remove(lambda part: part.id == part_id))
