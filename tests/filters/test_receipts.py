"""Receipts in words: every state of the standard, every MAP error, and whatever a carrier makes up."""

import pytest

from filters.receipts import MAP_ERRORS, STATES, explain_network_error, explain_stat
from filters.statuses import STATUSES

# SMPP 3.4 section 5.1.3, table 5-2.
OF_SMPP_34 = [
    *range(0x09), *range(0x0A, 0x10), 0x11, 0x13, 0x14, 0x15, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44, 0x45, 0x48, 0x49,
    0x50, 0x51, 0x53, 0x54, 0x55, 0x58, *range(0x61, 0x68), 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xFE, 0xFF,
]  # fmt: skip


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_every_state_of_a_receipt_has_words_in_both_languages() -> None:
    assert set(STATES) >= {"DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"}
    for word in STATES:
        english, chinese = explain_stat(word), explain_stat(word, "zh-CN")
        assert english.endswith(f"({word})")
        assert not is_chinese(english)
        assert is_chinese(chinese)
        assert word in chinese


def test_every_status_of_smpp_3_4_has_words_in_both_languages() -> None:
    assert [hex(status) for status in OF_SMPP_34 if status not in STATUSES] == []
    assert all(not is_chinese(one.en) and is_chinese(one.zh) for one in STATUSES.values())


@pytest.mark.parametrize("error", [*MAP_ERRORS, 0, 999, 12345])
def test_an_error_of_the_network_keeps_its_number(error: int) -> None:
    assert f"err {error}" in explain_network_error(error)
    assert f"err {error}" in explain_network_error(error, "zh")
    assert is_chinese(explain_network_error(error, "zh"))


def test_a_state_that_a_carrier_made_up_is_shown_as_it_came() -> None:
    assert "(MK:0001)" in explain_stat("MK:0001")
    assert "MK:0001" in explain_stat("MK:0001", "zh")
    assert explain_stat("undeliv").startswith("The network could not deliver it.")
