"""The laws can be broken: each finds the one lie that a sound piece of evidence is given."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.sim.carrier_log import PartSeen
from gateway.sim.message import Message, address
from store.model import NO_ERROR, Part, PartFlag, State
from tests.faults import laws
from tests.faults.books import Books, Sent
from tests.faults.laws import Evidence
from tests.faults.stored import Stored

FIRST, SECOND = 8613700000001, 8613700000002
ID = 1 << 60


def stored_part(dest: int, part_id: int, **changes: object) -> Part:
    part = Part(
        part_id, 1, 1, 1, State.DELIVERED, 1, 1, dest, b"1069", 0, 0, 1, 1, 0, 0, 0, 0, 0, NO_ERROR, 0, b"", None
    )  # fmt: skip
    return msgspec.structs.replace(part, **changes)


def seen(dest: int, *, status: int = 0) -> PartSeen:
    message = Message(address("1069"), address(str(dest)), 0, 1, 0, b"text", {})
    return PartSeen(0.0, 1, 1, message, 1, status)


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Evidence]:
    """Two messages that went their way: one delivered, one refused by its carrier, both told."""
    books = Books(tmp_path / "journal.txt")
    for number, dest in enumerate((FIRST, SECOND)):
        sent = Sent("acme", number, str(dest), 1, 1, 0.0)
        books.submitted(sent)
        books.answered(sent, 0.1, 0, str(ID + number))
    books.receipt("acme", 0.2, str(ID), str(FIRST), "DELIVRD")
    books.receipt("acme", 0.2, str(ID + 1), str(SECOND), "UNDELIV")
    stored = Stored()
    stored.parts = {
        FIRST: [stored_part(FIRST, ID)],
        SECOND: [stored_part(SECOND, ID + 1, state=State.FAILED)],
    }
    stored.attempts.update({ID: 1, ID + 1: 1})
    stored.accepted_attempts.update({ID: 1, ID + 1: 1})
    yield Evidence(books, [seen(FIRST), seen(SECOND)], stored, 10, 50)
    books.close()


def lose(e: Evidence) -> None:
    del e.stored.parts[FIRST]
    e.seen.pop(0)


def store_under_another_id(e: Evidence) -> None:
    e.stored.parts[FIRST][0].id += 7


def store_what_was_refused(e: Evidence) -> None:
    e.books.sent[0].status = 0x58


def leave_open(e: Evidence) -> None:
    e.stored.parts[FIRST][0].state = State.SENT


def withhold_the_receipt(e: Evidence) -> None:
    e.books.sent[0].states.clear()
    e.books.sent[0].binds.clear()


def tell_twice(e: Evidence) -> None:
    e.books.receipt("acme", 0.3, str(ID), str(FIRST), "DELIVRD")


def tell_the_wrong_state(e: Evidence) -> None:
    e.books.sent[0].states = ["UNDELIV"]


def send_what_is_not_stored(e: Evidence) -> None:
    e.seen.append(seen(8613700000003))


def claim_delivery(e: Evidence) -> None:
    e.seen.pop(0)


def send_twice(e: Evidence) -> None:
    e.seen.append(seen(FIRST))
    e.stored.parts[FIRST][0].flags = PartFlag.MAYBE_DUPLICATE


def send_twice_unmarked(e: Evidence) -> None:
    e.seen.append(seen(FIRST))
    e.stored.attempts[ID] = 2


def send_twice_on_hold(e: Evidence) -> None:
    send_twice(e)
    e.stored.attempts[ID] = 2
    e.at_most_once = True


def send_more_than_promised(e: Evidence) -> None:
    send_twice(e)
    e.crashes = 1


def overfill_a_window(e: Evidence) -> None:
    e.window_max = 51


def park(e: Evidence) -> None:
    e.stored.parked.append(FIRST)


def miscount(e: Evidence) -> None:
    e.stored.problems.append("usage differs from a recount (I7)")


def tell_another_account(e: Evidence) -> None:
    e.books.receipt("blue", 0.3, str(ID), str(FIRST), "DELIVRD")


def answer_twice(e: Evidence) -> None:
    e.books.answered(e.books.sent[0], 0.3, 0, str(ID))


def give_an_id_twice(e: Evidence) -> None:
    sent = Sent("acme", 3, "8613700000004", 0, 1, 0.0)
    e.books.submitted(sent)
    e.books.answered(sent, 0.3, 0, str(ID))
    e.books.sent.remove(sent)


def change_a_final_state(e: Evidence) -> None:
    e.books.receipt("acme", 0.3, str(ID), str(FIRST), "ENROUTE")


LIES: tuple[tuple[Callable[[Evidence], None], set[str]], ...] = (
    (lose, {"accepted_is_stored", "customers_are_told"}),
    (store_under_another_id, {"accepted_is_stored"}),
    (store_what_was_refused, {"refused_is_not_stored"}),
    (leave_open, {"everything_is_final", "customers_are_told"}),
    (withhold_the_receipt, {"customers_are_told"}),
    (tell_twice, {"customers_are_told_once"}),
    (tell_the_wrong_state, {"customers_are_told"}),
    (send_what_is_not_stored, {"nothing_unstored_is_sent"}),
    (claim_delivery, {"everything_delivered_was_sent"}),
    (send_twice, {"copies_are_explained", "copies_are_bounded"}),
    (send_twice_unmarked, {"copies_are_marked"}),
    (send_twice_on_hold, {"copies_are_explained"}),
    (send_more_than_promised, {"copies_are_bounded"}),
    (overfill_a_window, {"windows_hold"}),
    (park, {"parked_is_explained"}),
    (miscount, {"files_agree"}),
    (tell_another_account, {"nothing_odd_was_seen"}),
    (answer_twice, {"nothing_odd_was_seen"}),
    (give_an_id_twice, {"nothing_odd_was_seen"}),
    (change_a_final_state, {"nothing_odd_was_seen"}),
)


def test_sound_evidence_breaks_no_law(sound: Evidence) -> None:
    assert laws.broken(sound) == {}


def test_a_receipt_may_come_again_over_another_bind(sound: Evidence) -> None:
    sound.books.receipt("acme", 0.3, str(ID), str(FIRST), "DELIVRD", 2)
    assert laws.broken(sound) == {}


def test_a_receipt_may_come_again_that_was_not_answered_in_time(sound: Evidence) -> None:
    tell_twice(sound)
    sound.stored.tried_again.add(FIRST)
    assert laws.broken(sound) == {}


@pytest.mark.parametrize(("lie", "found"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_is_found(sound: Evidence, lie: Callable[[Evidence], None], found: set[str]) -> None:
    lie(sound)
    assert set(laws.broken(sound)) == found


def test_every_law_is_broken_by_some_lie() -> None:
    assert {name for _, found in LIES for name in found} >= {law.__name__ for law in laws.LAWS}
