"""The carrier's fast path says what the full path says, however the octets arrive."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.fast import FastPath
from gateway.sim.message import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, address, read_sm, sm_body
from gateway.sim.wire import PDU_OCTETS_MAX, LostFraming, header_only, pdu, split_frames

from .helpers import LOGIN, fixed_wall

WALL = fixed_wall()
addresses = st.text("0123456789abc", max_size=20)
messages = st.builds(
    lambda source, destination, text, registered, validity: sm_body(
        address(source, 5, 0),
        address(destination),
        text,
        registered_delivery=registered,
        data_coding=8,
        validity_period=validity,
    ),
    addresses,
    addresses,
    st.binary(max_size=254),
    st.sampled_from([0, 1, 0x11]),
    st.sampled_from([b"", b"000001000000000R"]),
)


@given(st.lists(messages, max_size=6), st.sampled_from(["decimal", "hex", "hex-decimal"]), st.booleans())
def test_fast_answers_read_back_as_responses_and_receipts(bodies: list[bytes], form: str, tlv: bool) -> None:
    path = FastPath(id_form=form, tlv=tlv)
    data = b"".join(pdu(4, number, body) for number, body in enumerate(bodies, 7))
    answers = path.answer(data, WALL)
    assert answers.consumed == len(data)
    responses, used = split_frames(answers.responses)
    assert used == len(answers.responses)
    assert [response[:3] for response in responses] == [(0x80000004, 0, n) for n in range(7, 7 + len(bodies))]
    receipts, used = split_frames(answers.receipts)
    assert used == len(answers.receipts)
    asked = [(body, n) for n, body in enumerate(bodies) if read_sm(body).registered_delivery]
    assert len(receipts) == len(asked)
    for (body, n), (command_id, _status, _sequence, receipt_octets) in zip(asked, receipts, strict=True):
        message, receipt = read_sm(body), read_sm(receipt_octets)
        assert command_id == 5
        assert (receipt.source, receipt.destination) == (message.destination, message.source)
        assert (receipt.esm_class, receipt.data_coding) == (4, 0)
        response_id = responses[n][3].rstrip(b"\0")
        receipt_id = receipt.text.split(b" ")[0].removeprefix(b"id:")
        if form == "hex-decimal":
            assert int(response_id, 16) == int(receipt_id)
        else:
            assert response_id == receipt_id
        assert b"done date:2611222213 stat:DELIVRD" in receipt.text
        assert receipt.tlvs == (
            {RECEIPTED_MESSAGE_ID: receipt_id + b"\0", MESSAGE_STATE: b"\2"} if tlv else {}
        )


@given(st.lists(messages, min_size=1, max_size=4), st.data())
def test_fast_path_gives_the_same_octets_for_any_cut(bodies: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(pdu(4, number, body) for number, body in enumerate(bodies, 1)) + header_only(0x15, 99)
    whole = FastPath().answer(octets, WALL)
    cut = data.draw(st.integers(0, len(octets)))
    path = FastPath()
    first = path.answer(octets[:cut], WALL)
    second = path.answer(octets[first.consumed :], WALL)
    assert first.responses + second.responses == whole.responses
    assert first.receipts + second.receipts == whole.receipts


@pytest.mark.parametrize("length", [0, 15, PDU_OCTETS_MAX + 1])
def test_impossible_length_is_lost_framing(length: int) -> None:
    with pytest.raises(LostFraming):
        FastPath().answer(length.to_bytes(4, "big") + bytes(12), WALL)


def test_fast_path_counts_answers_and_hands_over_the_rest() -> None:
    path = FastPath(receipts=False)
    unbind = header_only(6, 3)
    answers = path.answer(header_only(0x80000005, 1) + header_only(0x80000005, 2, 8) + unbind, WALL)
    assert answers.others == [unbind]
    assert (path.receipts_answered, path.receipts_refused) == (2, 1)


@pytest.mark.parametrize("knob", [{"throttled": 0.1}, {"mo_rate": 1.0}, {"id_form": "uuid"}])
def test_fast_carrier_refuses_what_it_cannot_do(knob: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="fast path"):
        SimCarrier(Behaviour(**knob), fast=True)  # type: ignore[arg-type]


async def test_fast_carrier_whole_lifecycle_with_delayed_receipts(autojump_clock: object) -> None:
    behaviour = Behaviour(receipts_delay_s=2.0, receipt_form="both")
    async with (
        SimCarrier(behaviour, fast=True, listen=False, wall=fixed_wall) as carrier,
        SimEsme(EsmeOptions(**LOGIN, messages=100, binds=2), connect=carrier.connect) as esme,
    ):
        report = await esme.run()
        assert (report.accepted, report.missing, report.unmatched) == (100, 0, 0)
        assert report.receipt_ms.p50 == pytest.approx(2000, abs=1)
        assert carrier.statistics()["deliveries_answered"] == 100


async def test_fast_receipts_of_a_lost_bind_wait_for_another(autojump_clock: object) -> None:
    behaviour = Behaviour(receipts_delay_s=2.0)
    async with (
        SimCarrier(behaviour, fast=True, listen=False) as carrier,
        SimEsme(EsmeOptions(**LOGIN), connect=carrier.connect) as esme,
    ):
        bind = await esme.bind_one()
        await esme.submit("x", "8613700000001")
        bind.drop()
        await trio.sleep(3)
        assert carrier.statistics()["held"] == 1
        await esme.bind_one()
        await trio.sleep(1)
        assert esme.report().missing == 0
