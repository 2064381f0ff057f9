"""Any sequence of answers, receipts and ends: every part ends once, is told once and is charged once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from filters.verdict import Reason
from gateway.carriers import Flight
from store.model import Changes, Part, State
from tests.gateway.core_world import NOW_MS, make_part, ok, receipt, refusal
from tests.gateway.test_outbound import ids
from tests.gateway.test_outcomes import settled, world

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["send", "ok", "refuse", "throttle", "time out", "late ok", "receipt", "repeat", "end"]
        ),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from(["resend", "hold", "fail"]))
def test_whatever_happens_every_part_ends_once_is_told_once_and_the_quota_adds_up(
    steps: list[tuple[str, int]], policy: str
) -> None:
    of = world(on_unknown=policy)
    flying: list[Flight] = []
    silent: list[Flight] = []
    taken: list[bytes] = []
    parts: list[Part] = []
    ends: list[int] = []
    told: list[int] = []

    def note(result: tuple[list[Any], Changes]) -> None:
        events, changes = result
        told.extend(event.part.id for event in events)
        ends.extend(outcome.part_id for outcome in changes.outcomes)

    for what, which in steps:
        if what == "send":
            again = of.carrier.queue.take(1)
            part = again[0] if again else make_part(of.ids.mint())
            n = of.carrier.tries.get(part.id, 0) + 1
            flying.append(Flight(part, n, NOW_MS, None) if again else of.sent(part))
            if not again:
                parts.append(part)
            assert part.state < State.DELIVERED and part.state != State.SENT, "sent after its end"
        elif what in ("ok", "refuse", "throttle", "time out") and flying:
            flight = flying.pop(which % len(flying))
            smsc_id = b"%x.%d" % (flight.part.id, flight.n)
            if what == "ok":
                taken.append(smsc_id)
                note(of.answer((flight, ok(smsc_id))))
            elif what == "time out":
                silent.append(flight)
                note(of.unanswered(flight))
            else:
                note(of.answer((flight, refusal(0x45 if what == "refuse" else 0x58))))
        elif what == "late ok" and silent:
            flight = silent.pop(which % len(silent))
            smsc_id = b"%x.%d" % (flight.part.id, flight.n)
            taken.append(smsc_id)
            note(of.answer((flight, ok(smsc_id)), late=True))
        elif what in ("receipt", "repeat") and taken:
            note(of.receive(receipt(taken[which % len(taken)])))
        elif what == "end" and of.carrier.queue.length:
            changes = Changes()
            events = of.outcomes.end(
                of.carrier.queue.take(1), State.EXPIRED, Reason.EXPIRED_IN_QUEUE, changes
            )
            of.committed(changes)
            note((events, changes))
        assert settled(of)[0] >= 0
    accepted = {int(smsc_id.split(b".")[0], 16) for smsc_id in taken}
    waiting = {part.id for part in parts if part.state < State.DELIVERED and part.id not in accepted}
    assert settled(of) == (len(waiting), len(accepted)), "reserved: open and never taken; used: taken"
    assert len(ends) == len(set(ends)) and sorted(told) == sorted(ends)
    assert {part.id for part in parts if part.state >= State.DELIVERED} == set(ends)
    queued = ids(of.carrier.queue.take(1000))
    assert len(queued) == len(set(queued)) and waiting.issuperset(queued)
