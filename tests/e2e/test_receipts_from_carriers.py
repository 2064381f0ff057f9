"""Receipts as carriers send them: early, late, twice, reordered, elsewhere, unknown, forged, in another base."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.control import ControlClient
from gateway.daemon import serve_extras
from gateway.sim.answers import Delivery
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.message import (
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    address,
    data_sm_body,
    sm_body,
    tlv,
)
from gateway.sim.wire import DATA_SM, DELIVER_SM, SUBMIT_SM
from gateway.status import status_report
from store.model import State

from .world import UPSTREAM, World, config, stays, until, world


def receipt(message_id: str, to: str, *, state: str = "DELIVRD", esm_class: int = 4) -> bytes:
    text = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2611222201 done date:2611222202 stat:{state} err:000"
    )
    return sm_body(address(to), address("10690001"), text.encode(), esm_class=esm_class)


async def several(gateway: World, esme: SimEsme, count: int = 20, text: str = "text") -> None:
    for n in range(count):
        await esme.send(text, f"86137000000{n:02}")
    await until(lambda: not esme.books.unanswered)


def parked(gateway: World) -> int:
    return len({entry.id for some in gateway.core.outcomes.parked.values() for entry, _ in some})


def told_once(esme: SimEsme) -> bool:
    report = esme.report()
    return not report.missing and not report.duplicates and not report.unmatched


@pytest.mark.parametrize(
    "behaviour",
    [
        {"early_receipts": 1.0, "response_latency_s": 0.1},
        {"receipts_delay_s": 0.4},
        {"duplicate_receipts": 1.0, "duplicate_copies": 3},
        {"receipts_jitter_s": 0.3},
        {"other_bind_receipts": 1.0},
        {"late_intermediates": 1.0, "intermediate_receipts": 1.0},
        {"receipt_pdu": "data_sm"},
        {"receipt_form": "tlv"},
        {"receipt_form": "both", "receipt_esm_class": 0},
        {"receipt_coding": "ucs2"},
        {"receipt_coding": "ascii-as-ucs2"},
        {"id_form": "hex"},
        {"id_form": "upper-lower"},
        {"id_form": "zeros"},
        {"id_form": "uuid"},
        {"duplicate_responses": 1.0},
        {"response_jitter_s": 0.1},
        {"coalesce_s": 0.05},
        {"split_octets": 7},
        {"receipt_retry_s": 0.2},
    ],
    ids=lambda given: "+".join(given),
)
async def test_every_message_gets_one_receipt_however_the_carrier_sends_it(
    tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    async with (
        world(tmp_path, Behaviour(**behaviour), carrier={"binds": 2}) as gateway,
        gateway.customer(window=50) as esme,
    ):
        await several(gateway, esme)
        await until(lambda: told_once(esme))
        await until(lambda: parked(gateway) == 0)
        await stays(lambda: told_once(esme), 0.1)
        for sent in esme.books.sent:
            await gateway.until_state(sent.message_id, State.DELIVERED)


@pytest.mark.parametrize("pdu", ["deliver_sm", "data_sm", "submit_sm"])
async def test_an_early_receipt_survives_a_restart_and_finds_its_answer(tmp_path: Path, pdu: str) -> None:
    """The receipt is parked; the daemon restarts; a message is sent and its answer has the id."""
    async with world(tmp_path) as gateway:
        command_id, body = DELIVER_SM, receipt("1", "8613700000001", state="UNDELIV")
        if pdu == "data_sm":
            text = tlv(RECEIPTED_MESSAGE_ID, b"1\0") + tlv(MESSAGE_STATE, b"\5")
            addresses = address("8613700000001"), address("10690001")
            command_id, body = DATA_SM, data_sm_body(*addresses, esm_class=4, data_coding=0, tlvs=text)
        elif pdu == "submit_sm":
            command_id = SUBMIT_SM
            await rebind_as_bound_in(gateway)
        gateway.sim.answers.deliver(Delivery(command_id, body, "1", "UNDELIV"))
        await until(lambda: parked(gateway) == 1)
        await until(lambda: [seen.status for seen in gateway.sim.log.receipts] == [0])
    async with world(tmp_path, carrier={"mode": "client"}) as gateway, gateway.customer() as esme:
        assert parked(gateway) == 1
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: "UNDELIV" in sent.states)
        await until(lambda: parked(gateway) == 0)


async def rebind_as_bound_in(gateway: World) -> None:
    """The only carrier binds to us instead, in the dialect whose receipts are submit_sm."""
    await gateway.apply({"carrier": [{"name": "c", "mode": "bound-in", **UPSTREAM}]})
    await until(lambda: not gateway.sim.links)
    stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
    _, status = await gateway.sim.bind_in(stream, dialect="submit_sm")
    assert status == 0


@pytest.mark.parametrize("pdu", ["deliver_sm", "data_sm"])
async def test_a_receipt_for_no_message_is_acknowledged_kept_and_shown(tmp_path: Path, pdu: str) -> None:
    odd = Behaviour(unknown_receipts=1.0, receipt_pdu=pdu, receipt_form="both")
    async with world(tmp_path, odd) as gateway, gateway.customer() as esme:
        await gateway.nursery.start(serve_extras, gateway.daemon)
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"] and parked(gateway) == 1)
        await until(lambda: [seen.status for seen in gateway.sim.log.receipts] == [0, 0])
        client = ControlClient(gateway.daemon.data)
        (row,) = await trio.to_thread.run_sync(lambda: client.call("receipts.parked"))
        assert (row["carrier"], row["smsc_message_id"]) == ("c", "4000000000")
        assert (row["message_state"], row["reason"]) == ("DELIVERED", "unknown id")
    async with world(tmp_path, applied=False, carriers={}) as gateway:
        assert parked(gateway) == 1


async def test_a_receipt_of_another_number_moves_no_message(tmp_path: Path) -> None:
    async with (
        world(tmp_path, Behaviour(receipts=False)) as gateway,
        gateway.customer() as esme,
    ):
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: gateway.carrier().accepted == 1)
        smsc_id = gateway.sim.log.parts[0].message_id
        gateway.sim.send_deliver(receipt(smsc_id, "8613999999999"))
        await until(lambda: parked(gateway) == 1)
        assert await gateway.state(sent.message_id) == State.SENT
        gateway.sim.send_deliver(receipt(smsc_id, "13700000001"))  # the subscriber, without country code
        await until(lambda: sent.states == ["DELIVRD"])


async def test_a_subscriber_cannot_forge_a_receipt_by_texting_one(tmp_path: Path) -> None:
    document = {"number": [{"address": "10690001", "account": "acme"}]}
    async with (
        world(tmp_path, Behaviour(receipts=False), document=document) as gateway,
        gateway.customer() as esme,
    ):
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: gateway.carrier().accepted == 1)
        smsc_id = gateway.sim.log.parts[0].message_id
        gateway.sim.send_deliver(receipt(smsc_id, "8613700000001", esm_class=0))
        await until(lambda: len(esme.books.inbound) == 1)
        assert sent.states == []
        assert await gateway.state(sent.message_id) == State.SENT


async def test_a_carrier_without_the_bit_can_be_read_by_its_text(tmp_path: Path) -> None:
    bare = Behaviour(receipt_esm_class=0)
    async with (
        world(tmp_path, bare, carrier={"receipt_by_text": True}) as gateway,
        gateway.customer() as esme,
    ):
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])


async def test_a_final_state_never_changes(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(receipts=False)) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: gateway.carrier().accepted == 1)
        smsc_id = gateway.sim.log.parts[0].message_id
        for state in ("UNDELIV", "DELIVRD", "ENROUTE", "EXPIRED"):
            gateway.sim.send_deliver(receipt(smsc_id, "8613700000001", state=state))
        await until(lambda: gateway.core.outcomes.duplicate_receipts == 3)
        await gateway.until_state(sent.message_id, State.FAILED)
        assert sent.states == ["UNDELIV"]


@pytest.mark.parametrize(
    ("form", "learned"),
    [("hex-decimal", "hex-response-dec-receipt"), ("decimal-hex", "dec-response-hex-receipt")],
)
async def test_a_carriers_habit_is_learned_shown_and_remembered(
    tmp_path: Path, form: str, learned: str
) -> None:
    habit = Behaviour(id_form=form, id_first=50_000_000)
    async with world(tmp_path, habit) as gateway, gateway.customer() as esme:
        await several(gateway, esme, 10)
        await until(lambda: told_once(esme))
        (shown,) = status_report(gateway.daemon).carriers
        assert shown.message_id_rule == learned
    async with world(tmp_path, applied=False, carriers={}) as gateway:
        assert gateway.carrier().correlation.habits.rule == learned


async def test_a_configured_rule_is_used_from_the_first_receipt(tmp_path: Path) -> None:
    habit = Behaviour(id_form="hex-decimal", id_first=50_000_000)
    settings = {"message_id": "hex-response-dec-receipt"}
    async with world(tmp_path, habit, carrier=settings) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])


async def test_the_same_id_of_two_carriers_is_two_messages(tmp_path: Path) -> None:
    carriers = {
        "a": SimCarrier(Behaviour(receipts_delay_s=0.2), **UPSTREAM),
        "b": SimCarrier(Behaviour(receipts_delay_s=0.2, states={"UNDELIV": 1}), **UPSTREAM),
    }
    document = {"route": [{"prefix": "86", "carriers": ["a"]}, {"prefix": "44", "carriers": ["b"]}]}
    async with (
        world(tmp_path, carriers=carriers, document=document) as gateway,
        gateway.customer() as esme,
    ):
        (one,) = await esme.submit("text", "8613700000001")
        (two,) = await esme.submit("text", "447700900001")
        await until(lambda: one.states == ["DELIVRD"] and two.states == ["UNDELIV"])
        ids = [gateway.carriers[name].log.parts[0].message_id for name in "ab"]
        assert ids[0] == ids[1]


async def test_ids_that_left_memory_are_found_in_the_store(tmp_path: Path) -> None:
    settings = config(limits={"correlation_entries_max": 5})
    async with (
        world(tmp_path, Behaviour(receipts_delay_s=0.8), settings=settings) as gateway,
        gateway.customer(window=50) as esme,
    ):
        await several(gateway, esme, 40)
        await until(lambda: gateway.carrier().accepted == 40)
        await gateway.daemon.housekeeping.write_evicted(gateway.carrier().id)
        assert len(gateway.carrier().correlation.live) <= 5
        await until(lambda: told_once(esme))
        assert parked(gateway) == 0


async def test_a_response_without_an_id_is_an_acceptance_that_cannot_be_followed(tmp_path: Path) -> None:
    nameless = Behaviour(id_form="empty")
    async with world(tmp_path, nameless) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await gateway.until_state(sent.message_id, State.SENT)
        await stays(lambda: len(gateway.sim.log.parts) == 1)


async def test_a_receipt_that_cannot_be_read_is_kept_and_acknowledged(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        body = sm_body(address("8613700000001"), address("10690001"), b"\xff\xfe\x00 what?", esm_class=4)
        gateway.sim.send_deliver(body)
        tagged = tlv(RECEIPTED_MESSAGE_ID, b"abc") + tlv(MESSAGE_STATE, b"\xff")
        gateway.sim.send_deliver(
            sm_body(address("8613700000001"), address("1"), b"", esm_class=4, tlvs=tagged)
        )
        await until(lambda: [seen.status for seen in gateway.sim.log.receipts] == [0, 0])
        rows = await gateway.read(lambda s: s.parked(0, 10))
        assert [row.reason for row in rows] == ["unreadable", "unknown id"]
