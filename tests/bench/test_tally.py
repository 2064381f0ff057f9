"""The load client's books: what is lost, what came twice, what nobody asked for."""

from array import array

from bench.tally import Tally
from gateway.sim.figures import Percentiles, percentiles


def books(accepted: int) -> Tally:
    tally = Tally(accepted, receipts_expected=True)
    tally.sent = tally.answered = tally.accepted = accepted
    for number in range(accepted):
        tally.waiting[b"%d" % number] = (number, 0.0)
    return tally


def receipt(tally: Tally, message_id: bytes) -> None:
    tally.finals += 1
    if tally.waiting.pop(message_id, None) is None:
        tally.stray(message_id)
    else:
        tally.done.append(hash(message_id))


def test_message_without_receipt_is_lost() -> None:
    tally = books(3)
    receipt(tally, b"0")
    assert not tally.complete
    assert tally.report(cpu_user_s=0, cpu_system_s=0).lost == 2


def test_second_receipt_is_a_duplicate_and_a_strange_one_is_unmatched() -> None:
    tally = books(2)
    for message_id in (b"0", b"1", b"1", b"1", b"99"):
        receipt(tally, message_id)
    report = tally.report(cpu_user_s=0, cpu_system_s=0)
    assert (report.lost, report.duplicates, report.unmatched) == (0, 2, 1)


def test_early_receipt_is_claimed_by_its_response_and_a_second_one_is_a_duplicate() -> None:
    tally = books(0)
    receipt(tally, b"5")
    receipt(tally, b"5")
    tally.claim(b"5")
    report = tally.report(cpu_user_s=0, cpu_system_s=0)
    assert (report.lost, report.duplicates, report.unmatched) == (0, 1, 0)


def test_rates_are_of_the_steady_middle() -> None:
    tally = Tally(1000, receipts_expected=True)
    tally.sent = tally.answered = tally.accepted = tally.finals = 1000
    # Slow at both ends, 100 a second between.
    tally.marks = [(0.0, 0, 0), (50.0, 100, 100)]
    tally.marks += [(50.0 + i, 100 + 100 * i, 100 + 100 * i) for i in range(1, 9)]
    tally.marks += [(158.0, 1000, 1000)]
    report = tally.report(cpu_user_s=0, cpu_system_s=0)
    assert report.lifecycle_per_s == report.accepted_per_s == 100.0
    assert (report.steady_from, report.steady_to, report.steady_messages) == (50.0, 58.0, 800)


def test_empty_run_reports_zeros() -> None:
    report = Tally(0, receipts_expected=True).report(cpu_user_s=0, cpu_system_s=0)
    assert (report.sent, report.lifecycle_per_s, report.accept_ms) == (0, 0.0, Percentiles())


def test_percentiles_are_in_milliseconds() -> None:
    assert percentiles(array("f", [n / 1000 for n in range(101)])) == Percentiles(50.0, 95.0, 99.0, 100.0)
