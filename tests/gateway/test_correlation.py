"""Which part a receipt speaks of: forms of ids, the number as a witness, bounds, and repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.correlation import MISS, Correlation, digits_of, same_subscriber
from gateway.smpp.constants import Tag
from gateway.smpp.message_ids import RULES, HabitLearner
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.receipts import ReceiptFields, parse_receipt
from store.model import Part, State
from tests.gateway.core_world import DEST, make_part


def fields(text_id: str = "", tlv_id: str = "") -> ReceiptFields:
    tlvs = ((int(Tag.RECEIPTED_MESSAGE_ID), tlv_id.encode() + b"\0"),) if tlv_id else ()
    text = b"id:%s stat:DELIVRD" % text_id.encode() if text_id else b"stat:DELIVRD"
    return parse_receipt(DeliverSm(esm_class=4, short_message=text, tlvs=tlvs))


def correlation(rule: str = "auto", *, live_max: int = 1000, **answered: int) -> Correlation:
    of = Correlation(HabitLearner(rule), live_max=live_max)
    for smsc_id, part_id in answered.items():
        of.remember(smsc_id.lstrip("_"), make_part(part_id))
    return of


def found(of: Correlation, receipt: ReceiptFields, dest: int = DEST) -> int:
    part = of.find(receipt, dest).part
    return part.id if part else 0


# Pairs of ids as carriers wrote them in responses and receipts.
CAPTURED = [
    ("38601fa", "0059113978"),
    ("6aad5", "0000436949"),
    ("18d0e03a", "0416342074"),
    ("70BA8A69", "1891273321"),
]


@pytest.mark.parametrize(("answered", "reported"), CAPTURED)
def test_a_hexadecimal_answer_is_found_by_its_decimal_receipt_under_the_rule(
    answered: str, reported: str
) -> None:
    of = correlation("hex-response-dec-receipt", **{f"_{answered}": 1})
    assert found(of, fields(reported), 0) == 1


@pytest.mark.parametrize(("answered", "reported"), CAPTURED)
def test_a_decimal_answer_is_found_by_its_hexadecimal_receipt_under_the_rule(
    answered: str, reported: str
) -> None:
    of = correlation("dec-response-hex-receipt", **{f"_{reported}": 1})
    assert found(of, fields(answered), 0) == 1


@pytest.mark.parametrize(("answered", "reported"), CAPTURED)
def test_without_a_rule_the_number_must_vouch_for_a_conversion(answered: str, reported: str) -> None:
    for dest, expected in ((DEST, 1), (0, 0), (DEST + 1, 0)):
        of = correlation(**{f"_{answered}": 1})
        assert found(of, fields(reported), dest) == expected


@pytest.mark.parametrize(("answered", "reported"), CAPTURED)
def test_another_rule_forbids_the_conversion_whoever_vouches(answered: str, reported: str) -> None:
    for rule in ("same", "dec", "hex"):
        assert found(correlation(rule, **{f"_{answered}": 1}), fields(reported)) == 0


@pytest.mark.parametrize(("answered", "reported"), CAPTURED)
def test_the_tlv_repairs_it_without_any_rule(answered: str, reported: str) -> None:
    of = correlation(**{f"_{answered}": 1})
    assert found(of, fields(reported, tlv_id=answered), 0) == 1


def test_three_pairs_teach_the_habit_which_then_needs_no_witness() -> None:
    of = correlation(**{f"_{answered}": n for n, (answered, _) in enumerate(CAPTURED, 1)})
    for n, (_, reported) in enumerate(CAPTURED[:3], 1):
        assert found(of, fields(reported)) == n
    assert of.habits.rule == "hex-response-dec-receipt"
    assert found(of, fields(CAPTURED[3][1]), 0) == 4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("answered", "reported"), [("00AB12cd", "ab12CD"), ("ab12cd", "0000AB12CD"), ("0", "000"), ("000", "0")]
)
def test_zeros_and_case_mean_nothing_under_any_rule(rule: str, answered: str, reported: str) -> None:
    of = correlation(rule, **{f"_{answered}": 1})
    assert found(of, fields(reported), 0) == 1


@given(st.from_regex(r"[0-9A-Za-z-]{1,40}", fullmatch=True), st.sampled_from(RULES))
def test_an_id_that_comes_back_as_it_was_is_found_and_a_repeat_is_known(smsc_id: str, rule: str) -> None:
    of = correlation(rule, **{f"_{smsc_id}": 5})
    receipt = fields(smsc_id)
    match = of.find(receipt, 0)
    assert match.part is not None and match.part.id == 5 and of.knows(receipt, DEST)
    of.finish(match.key)
    assert not of.live
    repeat = of.find(receipt, 0)
    assert (repeat.part, repeat.final_part_id) == (None, 5) and of.knows(receipt, DEST)


def test_a_receipt_without_an_id_means_nobody() -> None:
    of = correlation(_0=1, _abc=2)
    assert of.find(fields(), DEST) == MISS and not of.knows(fields(), DEST)


def test_ids_of_one_carrier_mean_nothing_for_another() -> None:
    one, other = correlation(_77=1), correlation(_77=2)
    assert (found(one, fields("77")), found(other, fields("77"))) == (1, 2)


def test_an_id_used_again_means_the_newer_part() -> None:
    of = correlation(_77=1)
    of.remember("77", make_part(2))
    assert found(of, fields("77")) == 2


# -- bounds -------------------------------------------------------------------------------------------


def test_over_the_bound_the_oldest_fifth_leaves_for_the_store() -> None:
    of = Correlation(HabitLearner(), live_max=10)
    for n in range(1, 11):
        of.remember(f"A{n:02}", make_part(n))
    assert of.evict() == []
    of.remember("A11", make_part(11))
    assert of.evict() == [("a01", 1), ("a02", 2)]
    assert len(of.live) == 9 and found(of, fields("A01")) == 0 and found(of, fields("A03")) == 3
    assert of.evict() == []


def test_even_the_smallest_bound_is_kept() -> None:
    of = Correlation(HabitLearner(), live_max=2)
    for n in range(1, 10):
        of.remember(str(n), make_part(n))
        of.evict()
        assert len(of.live) <= 2


def test_what_the_store_brings_back_is_live_or_known_to_be_final() -> None:
    of = correlation()
    of.bring_back("a1", make_part(1, state=State.SENT))
    of.bring_back("a2", make_part(2, state=State.FAILED))
    assert found(of, fields("a1")) == 1
    assert of.find(fields("a2"), 0).final_part_id == 2


def test_finished_ids_are_kept_for_two_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.correlation.FINAL_ENTRIES_MAX", 100)
    of, part = correlation(), make_part(7)
    for n in range(1, 401):
        of.remember(str(n), part)
        of.finish(str(n))
    assert len(of._final) + len(of._final_before) <= 200
    assert of.find(fields("400"), 0).final_part_id == of.find(fields("301"), 0).final_part_id == 7
    assert of.find(fields("1"), 0) == MISS
    of.finish("never answered")


def test_parts_that_ended_without_a_receipt_are_known_as_ended() -> None:
    of = correlation(_a1=1, _a2=2, _a3=1)
    of.end({1})
    assert list(of.live) == ["a2"]
    assert of.find(fields("a1"), 0).final_part_id == of.find(fields("a3"), 0).final_part_id == 1


# -- numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "number"),
    [(b"8613800138000", DEST), (b"+8613800138000", DEST), (b"008613800138000", DEST), (b"", 0), (b"Sluice", 0),
     (b"+", 0), (b"1" * 18, int("1" * 18)), (b"1" * 19, 0), (b"86 138", 0), (b"\xb2", 0)],
)  # fmt: skip
def test_the_number_in_an_address(address: bytes, number: int) -> None:
    assert digits_of(address) == number


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(DEST, DEST, True), (DEST, 13800138000, True), (DEST, 8613900138000, True), (DEST, 8613800138001, False),
     (10690, 10690, True), (10690, 8610690, False), (0, DEST, False)],
)  # fmt: skip
def test_numbers_are_one_subscriber_if_their_ends_agree(one: int, other: int, same: bool) -> None:
    assert same_subscriber(one, other) is same is same_subscriber(other, one)


def test_a_key_is_that_of_the_part_which_the_id_can_mean() -> None:
    of = correlation(_38601fa=1, _77=2)
    part: Part = of.live["38601fa"]
    assert of.key_of(part, "0059113978") == "38601fa"
    assert of.key_of(part, "77") == "77"
    assert of.key_of(make_part(9), "0AB") == "ab"


def test_an_id_that_only_looks_like_another_ones_conversion_is_not_known() -> None:
    """38 is 0x26: while 38 is in memory, a receipt for 26 must still be looked up in the store."""
    of = correlation()
    of.remember("38", make_part(1, dest=DEST))
    assert of.knows(fields("26"), DEST)
    assert not of.knows(fields("26"), DEST + 1)
