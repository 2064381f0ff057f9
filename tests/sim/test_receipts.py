"""The receipts of a simulated carrier: when, how often, on which bind, in which form."""

import pytest
import trio

from gateway.sim.behaviour import RECEIPT_TEXTS, Behaviour
from gateway.sim.message import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, read_data_sm, read_sm
from gateway.sim.receipt_forms import TEXT_FORMS, receipt_body, receipt_text
from gateway.sim.wire import DATA_SM, DELIVER_SM

from .helpers import fixed_wall, pair, talk

MESSAGE = read_sm(b"\0\5\0shop\0\1\x018613700000001\0\0\0\0\0\0\1\0\0\0\2hi")


async def test_delayed_receipts_come_that_much_after_the_response(autojump_clock: object) -> None:
    _carrier, report = await talk(Behaviour(receipts_delay_s=3.0), messages=5)
    assert report.receipt_ms.p50 == report.receipt_ms.max == pytest.approx(3000, abs=1)


async def test_early_receipts_are_counted_early_and_still_matched(autojump_clock: object) -> None:
    behaviour = Behaviour(early_receipts=1.0, response_latency_s=0.5)
    _carrier, report = await talk(behaviour, messages=20)
    assert (report.early, report.missing, report.unmatched) == (20, 0, 0)


async def test_early_without_latency_still_precedes_its_response(autojump_clock: object) -> None:
    _carrier, report = await talk(Behaviour(early_receipts=0.5), messages=40)
    assert 8 < report.early < 32
    assert report.missing == 0


async def test_duplicate_receipts_are_counted_as_such(autojump_clock: object) -> None:
    _carrier, report = await talk(Behaviour(duplicate_receipts=1.0, duplicate_copies=2), messages=10)
    assert (report.duplicates, report.missing) == (20, 0)


async def test_missing_receipts_are_missing(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(missing_receipts=0.4), messages=50, wait_s=2)
    assert 8 < report.missing < 32
    assert carrier.counts["receipts"] == 50 - report.missing


async def test_jitter_reorders_receipts(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(receipts_jitter_s=5.0), messages=30)
    order = [int(receipt.message_id) for receipt in carrier.log.receipts]
    assert sorted(order) == list(range(1, 31)) != order
    assert report.missing == 0


async def test_receipts_on_another_bind_than_the_message(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(other_bind_receipts=1.0), messages=20, binds=3)
    came_on = {part.message_id: part.link for part in carrier.log.parts}
    assert all(receipt.link != came_on[receipt.message_id] for receipt in carrier.log.receipts)
    assert report.missing == 0


async def test_unknown_receipts_are_unmatched(autojump_clock: object) -> None:
    async with pair(Behaviour(unknown_receipts=1.0)) as (_carrier, esme):
        await esme.bind_all()
        await esme.submit("x", "8613700000001")
        await trio.sleep(0.1)
        assert esme.report().unmatched == 1
        assert esme.books.parked == {"4000000000": ["DELIVRD"]}


async def test_intermediates_before_and_after_the_final_receipt(autojump_clock: object) -> None:
    async with pair(Behaviour(intermediate_receipts=1.0, late_intermediates=1.0)) as (_carrier, esme):
        await esme.bind_all()
        (sent,) = await esme.submit("x", "8613700000001")
        await trio.sleep(0.1)
        assert sent.states == ["ENROUTE", "DELIVRD", "ENROUTE"]


async def test_final_states_come_by_their_weights(autojump_clock: object) -> None:
    weights = {"DELIVRD": 0.8, "UNDELIV": 0.15, "EXPIRED": 0.05}
    _carrier, report = await talk(Behaviour(states=weights), messages=300, window=50)
    assert report.receipts.keys() == weights.keys()
    assert 200 < report.receipts["DELIVRD"] < 280
    assert report.missing == 0


@pytest.mark.parametrize(
    ("registered_delivery", "state", "receipts"),
    [
        (0, "DELIVRD", 0),
        (1, "DELIVRD", 1),
        (2, "DELIVRD", 0),
        (2, "UNDELIV", 1),
        (3, "DELIVRD", 1),
        (3, "UNDELIV", 0),
        (0x11, "DELIVRD", 1),
    ],
)
async def test_registered_delivery_is_honoured(
    autojump_clock: object, registered_delivery: int, state: str, receipts: int
) -> None:
    behaviour = Behaviour(states={state: 1.0})
    carrier, _report = await talk(behaviour, messages=1, registered_delivery=registered_delivery, wait_s=0.1)
    assert carrier.counts["receipts"] == receipts


async def test_receipts_switched_off_never_come(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(receipts=False), messages=3, wait_s=0.1)
    assert carrier.counts["receipts"] == 0
    assert report.missing == 3


@pytest.mark.parametrize("form", RECEIPT_TEXTS)
def test_every_text_form_has_a_template_and_names_the_state(form: str) -> None:
    text = receipt_text(form, "0123", "UNDELIV", fixed_wall())
    assert "stat:UNDELIV" in text
    assert ("id:0123 " in text) == (form != "state-only")


def test_every_template_can_be_asked_for() -> None:
    assert set(TEXT_FORMS) == set(RECEIPT_TEXTS)


def test_dates_have_the_digits_of_their_form() -> None:
    def date(form: str) -> str:
        return receipt_text(form, "1", "DELIVRD", fixed_wall()).split("done date:")[1].split()[0]

    assert (date("standard"), date("seconds")) == ("2611222213", "261122221320")
    assert (date("fourteen"), date("year-first")) == ("20261122221320", "202611222213")


@pytest.mark.parametrize("pdu", ["deliver_sm", "data_sm"])
@pytest.mark.parametrize("form", ["text", "tlv", "both"])
@pytest.mark.parametrize("coding", ["ascii", "ucs2", "ascii-as-ucs2"])
def test_receipt_says_id_and_state_where_its_form_puts_them(pdu: str, form: str, coding: str) -> None:
    behaviour = Behaviour(receipt_pdu=pdu, receipt_form=form, receipt_coding=coding)
    command_id, body = receipt_body(behaviour, MESSAGE, ("0255", "ff"), "EXPIRED", fixed_wall())
    assert command_id == (DELIVER_SM if pdu == "deliver_sm" else DATA_SM)
    receipt = read_sm(body) if pdu == "deliver_sm" else read_data_sm(body)
    assert (receipt.source, receipt.destination) == (MESSAGE.destination, MESSAGE.source)
    assert receipt.esm_class == 4
    if form == "text":
        assert RECEIPTED_MESSAGE_ID not in receipt.tlvs
    else:
        assert (receipt.tlvs[RECEIPTED_MESSAGE_ID], receipt.tlvs[MESSAGE_STATE]) == (b"ff\0", b"\3")
    if form == "tlv":
        assert receipt.text == b""
    else:
        codec = "utf-16-be" if coding == "ucs2" else "ascii"
        assert receipt.text.decode(codec).startswith("id:0255 ")
        assert receipt.data_coding == (0 if coding == "ascii" else 8)


async def test_receipts_wait_for_a_bind_that_receives(autojump_clock: object) -> None:
    async with pair(bind="transmitter") as (carrier, esme):
        await esme.bind_all()
        await esme.submit("x", "8613700000001")
        await trio.sleep(1)
        assert carrier.statistics()["held"] == 1
        await esme.bind_one("receiver")
        await trio.sleep(1)
        assert esme.report().missing == 0
        assert carrier.log.receipts[0].link == 2


async def test_receipt_window_is_kept(autojump_clock: object) -> None:
    async with pair(Behaviour(receipt_window=2), messages=9, deliver_latency_s=1.0, window=9) as (
        carrier,
        esme,
    ):
        await esme.bind_all()
        for number in range(9):
            await esme.send("x", str(8613700000001 + number))
        await trio.sleep(0.5)
        assert len(carrier.log.receipts) == 2
        await trio.sleep(10)
        assert esme.report().missing == 0


async def test_unanswered_receipts_are_sent_again(autojump_clock: object) -> None:
    async with pair(Behaviour(receipt_retry_s=5.0), never_answers=True) as (carrier, esme):
        await esme.bind_all()
        await esme.submit("x", "8613700000001")
        await trio.sleep(14)
        assert carrier.counts["receipts_again"] == 2
        assert esme.report().duplicates == 2


async def test_refused_receipts_are_sent_again(autojump_clock: object) -> None:
    async with pair(Behaviour(receipt_retry_s=5.0), deliver_status=0x14) as (carrier, esme):
        await esme.bind_all()
        await esme.submit("x", "8613700000001")
        await trio.sleep(6)
        assert carrier.counts["deliveries_refused"] == 2
        assert [receipt.status for receipt in carrier.log.receipts] == [0x14, 0x14]


async def test_receipts_unanswered_on_a_dead_bind_go_to_the_next(autojump_clock: object) -> None:
    async with pair(Behaviour(receipt_retry_s=60.0), never_answers=True) as (carrier, esme):
        first = await esme.bind_one()
        await esme.bind_one()
        await esme.submit("x", "8613700000001", bind=first)
        await trio.sleep(1)
        first.drop()
        await trio.sleep(1)
        assert [receipt.link for receipt in carrier.log.receipts] == [1, 2]


async def test_mo_generator_sends_whole_and_shuffled_messages(autojump_clock: object) -> None:
    behaviour = Behaviour(mo_rate=2.0, mo_parts=3, mo_shuffled=True, mo_text="一二三四五六")
    async with pair(behaviour) as (_carrier, esme):
        await esme.bind_all()
        await trio.sleep(1.1)
        parts = esme.books.inbound
        assert [part.part for part in parts] == [(n, 3, k) for n in (0, 1) for k in (3, 2, 1)]
        assert [part.source_addr for part in parts] == ["8613900000000"] * 3 + ["8613900000001"] * 3
        text = b"".join(part.text[6:] for part in reversed(parts[:3])).decode("utf-16-be")
        assert text == "一二三四五六"
