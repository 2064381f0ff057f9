"""Verdicts: every number that is stored for a reason has a name, an SMPP status and words in two languages."""

import re

import pytest

from filters.statuses import STATUSES, explain_status, status_name
from filters.verdict import NONE, OURS_FROM, VERDICTS, Reason, explain, name_of, smpp_status
from gateway.smpp.constants import Status
from store.model import LINK_LOST, NO_ANSWER, NO_ERROR

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_reason_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Reason)


def test_reasons_stay_clear_of_statuses_and_of_none() -> None:
    assert NONE == NO_ERROR
    for reason in Reason:
        assert OURS_FROM <= reason < 0x7FF0
    assert max(STATUSES) < OURS_FROM


def test_names_are_unique_and_stable_in_form() -> None:
    names = [verdict.name for verdict in VERDICTS.values()]
    assert len(set(names)) == len(names)
    for reason, verdict in VERDICTS.items():
        assert verdict.name == reason.name.lower().replace("_", "-")


def test_every_sentence_is_one_in_its_language() -> None:
    for verdict in VERDICTS.values():
        assert verdict.en.endswith(".")
        assert not CHINESE.search(verdict.en)
        assert verdict.zh.endswith("。")
        assert CHINESE.search(verdict.zh)
    for status in STATUSES.values():
        assert status.en.endswith(".")
        assert not CHINESE.search(status.en)
        assert status.zh.endswith("。")
        assert CHINESE.search(status.zh)


def test_a_submit_is_answered_with_a_status_that_smpp_knows() -> None:
    for reason, verdict in VERDICTS.items():
        assert smpp_status(reason) == verdict.smpp_status
        assert Status(verdict.smpp_status) is not Status.ESME_ROK
        assert verdict.smpp_status < 0x100  # 3.4 peers know no others


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.INVALID_NUMBER, Status.ESME_RINVDSTADR),
        (Reason.SENDER_NOT_ALLOWED, Status.ESME_RINVSRCADR),
        (Reason.RATE_EXCEEDED, Status.ESME_RTHROTTLED),
        (Reason.TOO_LONG, Status.ESME_RINVMSGLEN),
        (Reason.DISK_LOW, Status.ESME_RMSGQFUL),
        (Reason.BLACKLISTED_GLOBAL, Status.ESME_RINVDSTADR),
    ],
)
def test_the_status_says_what_is_wrong(reason: Reason, status: Status) -> None:
    assert smpp_status(reason) == status


def test_only_what_may_pass_later_is_temporary() -> None:
    temporary = {reason for reason, verdict in VERDICTS.items() if not verdict.permanent}
    assert temporary == {
        Reason.QUOTA_EXCEEDED, Reason.RATE_EXCEEDED, Reason.DISK_LOW, Reason.DISK_FULL, Reason.SHUTTING_DOWN,
    }  # fmt: skip


def test_the_table_of_statuses_is_that_of_the_protocol() -> None:
    assert {int(status): status.name for status in Status} == {
        value: status.name for value, status in STATUSES.items()
    }


def test_statuses_that_are_tried_again_are_temporary() -> None:
    for status in (Status.ESME_RSYSERR, Status.ESME_RMSGQFUL, Status.ESME_RTHROTTLED, Status.ESME_RX_T_APPN):
        assert not STATUSES[status].permanent


@pytest.mark.parametrize(
    "error", [*Reason, *STATUSES, 0x22, 0x4A1, 0x3FFF, 0x4FFF, 0x12345678, NO_ANSWER, LINK_LOST]
)
def test_any_stored_number_is_explained_in_both_languages(error: int) -> None:
    assert explain(error)
    assert not CHINESE.search(explain(error))
    assert CHINESE.search(explain(error, "zh"))
    assert explain(error, "zh-CN") == explain(error, "zh")
    assert name_of(error)


def test_no_error_needs_no_words() -> None:
    assert explain(NONE) == explain(NONE, "zh") == ""
    assert name_of(NONE) == "none"


def test_a_vendor_status_keeps_its_number() -> None:
    assert "0x04A1" in explain_status(0x4A1)
    assert "own" in explain_status(0x4A1)
    assert status_name(0x58) == "ESME_RTHROTTLED"
    assert smpp_status(0x58) == 0x58
