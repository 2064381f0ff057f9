"""The ring of seconds behind the console's chart."""

from gateway.throughput import SECONDS_KEPT, Second, Throughput, Totals


def test_each_second_holds_what_was_added_in_it() -> None:
    ring = Throughput()
    for at, total in ((10, 5), (11, 5), (12, 9)):
        ring.sample(at, Totals(total, 2 * total, 0), queued=at)
    assert ring.since(0) == [Second(11, 0, 0, 0, 11), Second(12, 4, 8, 0, 12)]
    assert ring.since(11) == [Second(12, 4, 8, 0, 12)]


def test_what_comes_twice_or_from_before_is_left_out_and_nothing_is_ever_negative() -> None:
    ring = Throughput()
    for at, total in ((10, 5), (11, 9), (11, 12), (9, 13), (12, 2)):
        ring.sample(at, Totals(total, 0, 0), queued=0)
    assert [(second.at, second.accepted) for second in ring.since(0)] == [(11, 4), (12, 0)]


def test_it_never_holds_more_than_a_quarter_of_an_hour() -> None:
    ring = Throughput()
    for at in range(3 * SECONDS_KEPT):
        ring.sample(at, Totals(at, at, at), queued=0)
    assert len(ring.since(0)) == SECONDS_KEPT
