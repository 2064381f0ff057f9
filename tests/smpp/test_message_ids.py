"""Ids of receipts and responses that mean the same message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.message_ids import RULES, HabitLearner, normal_forms, response_key
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.receipts import parse_receipt

# Published captures: the submit_sm_resp's id, the receipt text's id.
HEX_DEC_PAIRS = [
    ("38601fa", "0059113978"),
    ("6aad5", "0000436949"),
    ("18d0e03a", "0416342074"),
    ("70BA8A69", "1891273321"),
]
HEX_DEC = "hex-response-dec-receipt"
DEC_HEX = "dec-response-hex-receipt"


@pytest.mark.parametrize(("response_id", "receipt_id"), HEX_DEC_PAIRS)
def test_captured_pairs_meet_under_the_rule_and_only_there(response_id: str, receipt_id: str) -> None:
    key = response_key(response_id, HEX_DEC)
    assert normal_forms(receipt_id, HEX_DEC)[0] == key
    assert key not in normal_forms(receipt_id, "auto")
    assert normal_forms(response_id, DEC_HEX)[0] == response_key(receipt_id, DEC_HEX)


def test_the_tlv_repairs_what_the_text_converts() -> None:
    receipt = DeliverSm(
        esm_class=4,
        short_message=b"id:0059113978 stat:DELIVRD err:000",
        tlvs=((0x001E, b"38601fa\0"), (0x0427, b"\2")),
    )
    fields = parse_receipt(receipt)
    assert response_key("38601fa") in normal_forms(fields.message_id, "auto")
    bare = parse_receipt(DeliverSm(esm_class=4, short_message=receipt.short_message))
    assert response_key("38601fa") not in normal_forms(bare.message_id, "auto")
    assert response_key("38601fa") in normal_forms(bare.message_id, HEX_DEC)


@pytest.mark.parametrize(
    ("response_id", "receipt_id"),
    [
        ("abc", "abc"),
        ("ABC", "abc"),
        ("abc", "ABC"),
        ("0abc", "ABC"),
        ("1", "0000000001"),
        ("000", "0"),
        ("0", "00"),
    ],
)
def test_case_and_leading_zeros_never_matter_by_default(response_id: str, receipt_id: str) -> None:
    for rule in ("auto", "hex"):
        assert response_key(response_id, rule) in normal_forms(receipt_id, rule)


def test_the_rule_same_is_exact() -> None:
    assert response_key("0Ab", "same") == "0Ab"
    assert normal_forms("0Ab", "same") == ("0Ab",)
    assert response_key("0ab", "same") not in normal_forms("0Ab", "same")


def test_the_rule_dec_reads_numbers() -> None:
    assert response_key("0012", "dec") in normal_forms("+12", "dec")
    assert response_key("0012", "dec") in normal_forms("12", "dec")
    assert normal_forms("12ab", "dec") == ("12ab",)


def test_digits_alone_are_not_converted_without_a_rule() -> None:
    assert normal_forms("12345678", "auto") == ("12345678",)
    assert normal_forms("12345678", HEX_DEC) == ("bc614e", "12345678")
    assert normal_forms("12345678", HEX_DEC, from_tlv=True) == ("12345678", "bc614e")


def test_an_empty_id_has_no_key_to_be_found_by() -> None:
    for rule in RULES:
        assert response_key("", rule) == ""
        assert normal_forms("", rule) == ()
        assert HabitLearner(rule).keys("") == ()


@given(st.text(max_size=100), st.sampled_from(RULES), st.booleans())
def test_any_id_has_keys_and_its_own_response_among_them(receipt_id: str, rule: str, from_tlv: bool) -> None:
    keys = normal_forms(receipt_id, rule, from_tlv=from_tlv)
    assert len(keys) <= 2
    if receipt_id:
        assert response_key(receipt_id, rule) in keys
        assert HabitLearner(rule).keys(receipt_id, from_tlv=from_tlv) == keys


@given(st.integers(0, 2**64), st.integers(0, 20), st.booleans())
def test_numbers_meet_in_both_mixed_bases(number: int, width: int, upper: bool) -> None:
    decimal, hexadecimal = f"{number:0{width}d}", f"{number:X}" if upper else f"{number:x}"
    assert response_key(hexadecimal, HEX_DEC) in normal_forms(decimal, HEX_DEC)
    assert response_key(decimal, DEC_HEX) in normal_forms(hexadecimal, DEC_HEX)


def test_three_pairs_teach_the_habit() -> None:
    learner = HabitLearner()
    for response_id, receipt_id in HEX_DEC_PAIRS[:2]:
        assert not learner.matched(response_id, receipt_id)
        assert response_key("18d0e03a") not in learner.keys("0416342074")
    assert learner.matched(*HEX_DEC_PAIRS[2])
    assert learner.keys("1891273321")[0] == response_key("70BA8A69")
    habit = learner.habit()
    assert (habit.rule, habit.learnt, habit.hex_dec, habit.padded_to) == (HEX_DEC, True, 3, 10)


def test_before_it_is_learnt_the_conversion_is_only_a_trial() -> None:
    learner = HabitLearner()
    assert "38601fa" in learner.trials("0059113978")
    assert learner.trials("uuid-1") == ()
    for pair in HEX_DEC_PAIRS:
        learner.matched(*pair)
    assert "38601fa" not in learner.trials("0059113978")  # now among the keys


def test_equal_pairs_neither_teach_nor_unteach() -> None:
    learner = HabitLearner()
    for number in range(1000):
        assert not learner.matched(str(number), str(number))
    for pair in HEX_DEC_PAIRS[:2]:
        learner.matched(*pair)
    learner.matched("7", "7")  # the same in both bases
    assert learner.matched(*HEX_DEC_PAIRS[2])
    assert learner.habit().same == 1001


def test_a_pair_that_contradicts_starts_the_count_again() -> None:
    learner = HabitLearner()
    learner.matched("6aad5", "0000436949")
    learner.matched("38601fa", "0059113978")
    learner.matched("0000436949", "6aad5")
    assert not learner.matched("18d0e03a", "0416342074")
    assert learner.rule == "auto"


def test_a_carrier_that_changes_its_habit_is_learnt_again() -> None:
    learner = HabitLearner()
    for response_id, receipt_id in HEX_DEC_PAIRS:
        learner.matched(response_id, receipt_id)
    for response_id, receipt_id in HEX_DEC_PAIRS:
        learner.matched(receipt_id, response_id)
    assert learner.rule == DEC_HEX


def test_case_zeros_and_riddles_are_counted_apart() -> None:
    learner = HabitLearner()
    learner.matched("ABC", "abc")
    learner.matched("12", "0000000012")
    learner.matched("abc", "xyz")
    learner.matched("", "7")
    learner.matched("7", "")
    habit = learner.habit()
    assert (habit.case, habit.zeros, habit.other, habit.padded_to) == (1, 1, 1, 10)
    assert (habit.rule, habit.learnt) == ("auto", False)


def test_a_configured_rule_is_never_overruled() -> None:
    learner = HabitLearner("same")
    for pair in HEX_DEC_PAIRS:
        assert not learner.matched(*pair)
    assert learner.rule == "same"
    assert learner.trials("0059113978") == ()
    assert learner.habit().hex_dec == 4  # but it is shown


def test_a_rule_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'octal': one of auto, same, dec"):
        HabitLearner("octal")


def test_what_was_learnt_survives_a_restart() -> None:
    learner = HabitLearner()
    for pair in HEX_DEC_PAIRS:
        learner.matched(*pair)
    saved = learner.to_dict()
    again = HabitLearner.from_dict(saved)
    assert again.habit() == learner.habit()
    assert again.to_dict() == saved
    reconfigured = HabitLearner.from_dict(saved, configured="same")
    assert (reconfigured.rule, reconfigured.habit().hex_dec) == ("same", 4)
    half = HabitLearner()
    for pair in HEX_DEC_PAIRS[:2]:
        half.matched(*pair)
    assert HabitLearner.from_dict(half.to_dict()).matched(*HEX_DEC_PAIRS[2])
