"""query_sm, cancel_sm, replace_sm, replace_if_present_flag, submit_multi and data_sm against the store."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sim.behaviour import Behaviour
from gateway.sim.message import Message
from gateway.smpp.constants import MessageState, Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DistributionList,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSmResp,
)
from store.model import State

from .peer import bound, submit_sm
from .world import PASSWORD, World, stays, until, world

TWO = {
    "account": [
        {"user": "acme", "system_id": "acme", "password": PASSWORD},
        {"user": "acme", "system_id": "other", "password": PASSWORD},
    ]
}
PAUSED = {"state": "paused"}
SOURCE = b"10690001"


def in_an_hour() -> bytes:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%y%m%d%H%M%S000+").encode()


def seen(gateway: World) -> list[Message]:
    return [part.message for part in gateway.sim.log.parts]


# -- query --------------------------------------------------------------------------------------------


async def test_query_tells_a_waiting_message_from_one_that_is_over(tmp_path: Path) -> None:
    slow = Behaviour(receipts_delay_s=0.4, states={"UNDELIV": 1})
    async with world(tmp_path, slow) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit()
        query = QuerySm(message_id=answer.message_id, source_addr=SOURCE)
        waiting = await peer.ask(query, QuerySmResp)
        assert (waiting.command_status, waiting.message_state, waiting.final_date) == (
            0,
            MessageState.ENROUTE,
            b"",
        )
        await gateway.until_state(int(answer.message_id), State.FAILED)
        over = await peer.ask(QuerySm(message_id=answer.message_id, source_addr=SOURCE), QuerySmResp)
        assert over.message_id == answer.message_id
        assert over.message_state == MessageState.UNDELIVERABLE
        assert len(over.final_date) == 16


async def test_query_tells_a_long_message_by_all_its_parts(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit(b"", tlvs=((0x0424, b"x" * 400),))
        await until(lambda: len(gateway.sim.log.receipts) == 3)
        await gateway.until_state(int(answer.message_id), State.DELIVERED)
        over = await peer.ask(QuerySm(message_id=answer.message_id, source_addr=SOURCE), QuerySmResp)
        assert over.message_state == MessageState.DELIVERED


async def test_unknown_foreign_and_misaddressed_messages_look_alike(tmp_path: Path) -> None:
    async with world(tmp_path, document=TWO) as gateway:
        async with bound(gateway.port) as peer, bound(gateway.port, system_id="other") as other:
            answer = await peer.submit()
            mine = answer.message_id
            for asker, message_id, source in (
                (other, mine, SOURCE),
                (peer, mine, b"1069999"),
                (peer, b"1234567890123456789", SOURCE),
                (peer, b"abc", SOURCE),
                (peer, b"", SOURCE),
            ):
                await asker.send(QuerySm(message_id=message_id, source_addr=source))
                pdu = await asker.next()
                while not isinstance(pdu, QuerySmResp):
                    pdu = await asker.next()
                assert pdu.command_status == Status.ESME_RQUERYFAIL


# -- cancel -------------------------------------------------------------------------------------------


async def test_a_waiting_message_is_cancelled_by_its_id_once(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit()
        reserved = gateway.core.quota.balances[gateway.account().user.id].reserved
        assert reserved == 1
        cancel = CancelSm(message_id=answer.message_id, source_addr=SOURCE)
        await peer.send(cancel)
        first, second = await peer.next(), await peer.next()
        statuses = [pdu.command_status for pdu in (first, second) if isinstance(pdu, CancelSmResp)]
        assert statuses == [0]
        assert await gateway.state(int(answer.message_id)) == State.CANCELLED
        assert gateway.core.quota.balances[gateway.account().user.id].reserved == 0
        await peer.send(CancelSm(message_id=answer.message_id, source_addr=SOURCE))
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        await gateway.up()
        await stays(lambda: not gateway.sim.log.parts, 0.3)


async def test_a_cancelled_message_gives_a_receipt_to_who_asked_for_failures(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            ids = [(await peer.submit(registered_delivery=wish)).message_id for wish in (0, 1, 2, 3)]
            for message_id in ids:
                answer = await peer.ask(CancelSm(message_id=message_id, source_addr=SOURCE), CancelSmResp)
                assert answer.command_status == 0
        async with bound(gateway.port, kind="receiver") as receiver:
            told = [(await receiver.receive()).short_message for _ in range(2)]
            assert [text.split()[0] for text in told] == [b"id:" + ids[1], b"id:" + ids[2]]
            assert all(b"stat:DELETED" in text for text in told)


async def test_cancel_by_source_and_destination_takes_all_of_them_and_no_others(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False, document=TWO) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            to = b"8613700000001"
            mine = [await peer.submit(to=to) for _ in range(3)]
            typed = await peer.submit(to=to, service_type=b"CMT")
            elsewhere = await peer.submit(to=b"8613700000002")
            sender = await peer.submit(to=to, source_addr=b"10690002")
            async with bound(gateway.port, kind="transmitter", system_id="other") as other:
                foreign = await other.submit(to=to)
            ask = CancelSm(service_type=b"CMT", source_addr=SOURCE, destination_addr=to)
            assert (await peer.ask(ask, CancelSmResp)).command_status == 0
            assert await gateway.state(int(typed.message_id)) == State.CANCELLED
            assert await gateway.state(int(mine[0].message_id)) == State.QUEUED
            ask = CancelSm(source_addr=SOURCE, destination_addr=b"+" + to)
            assert (await peer.ask(ask, CancelSmResp)).command_status == 0
            for answer in mine:
                assert await gateway.state(int(answer.message_id)) == State.CANCELLED
            for answer in (elsewhere, sender, foreign):
                assert await gateway.state(int(answer.message_id)) == State.QUEUED


async def test_cancel_without_id_and_addresses_cancels_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit()
            for ask in (
                CancelSm(),
                CancelSm(source_addr=SOURCE),
                CancelSm(destination_addr=b"8613700000001"),
            ):
                assert (await peer.ask(ask, CancelSmResp)).command_status == Status.ESME_RINVMSGID
            assert await gateway.state(int(answer.message_id)) == State.QUEUED


async def test_what_a_carrier_has_or_somebody_else_sent_cannot_be_cancelled(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(receipts=False), document=TWO) as gateway:
        async with bound(gateway.port) as peer, bound(gateway.port, system_id="other") as other:
            answer = await peer.submit()
            await until(lambda: gateway.carrier().accepted == 1)
            ask = CancelSm(message_id=answer.message_id, source_addr=SOURCE)
            assert (await peer.ask(ask, CancelSmResp)).command_status == Status.ESME_RCANCELFAIL
            ask = CancelSm(message_id=answer.message_id, source_addr=SOURCE)
            assert (await other.ask(ask, CancelSmResp)).command_status == Status.ESME_RINVMSGID
            assert await gateway.state(int(answer.message_id)) == State.SENT


async def test_a_scheduled_message_is_cancelled(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit(schedule_delivery_time=in_an_hour())
        assert await gateway.state(int(answer.message_id)) == State.SCHEDULED
        ask = CancelSm(message_id=answer.message_id, source_addr=SOURCE)
        assert (await peer.ask(ask, CancelSmResp)).command_status == 0
        assert await gateway.state(int(answer.message_id)) == State.CANCELLED


# -- replace ------------------------------------------------------------------------------------------


async def test_a_waiting_message_is_replaced_under_its_id(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit(b"old")
        replace = ReplaceSm(
            message_id=answer.message_id, source_addr=SOURCE, short_message=b"new", registered_delivery=1
        )
        assert (await peer.ask(replace, ReplaceSmResp)).command_status == 0
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        receipt = await peer.receive()
        assert receipt.short_message.startswith(b"id:" + answer.message_id)
        assert [message.text for message in seen(gateway)] == [b"new"]


async def test_a_replacement_passes_the_same_rules(tmp_path: Path) -> None:
    document = {"word": [{"text": "poison", "action": "reject"}, {"text": "secret", "action": "mask"}]}
    async with world(tmp_path, carrier=PAUSED, bound=False, document=document) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit(b"old")

            async def replace(text: bytes) -> int:
                given = ReplaceSm(message_id=answer.message_id, source_addr=SOURCE, short_message=text)
                return (await peer.ask(given, ReplaceSmResp)).command_status

            assert await replace(b"poison") == Status.ESME_RSUBMITFAIL
            assert await replace(b"a secret") == 0
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            await until(lambda: seen(gateway))
            assert seen(gateway)[0].text == b"a ******"


@pytest.mark.parametrize("case", ["sent", "long", "foreign", "unknown"])
async def test_what_cannot_be_replaced_stays_as_it_is(tmp_path: Path, case: str) -> None:
    carrier = {} if case == "sent" else PAUSED
    async with (
        world(
            tmp_path, Behaviour(receipts=False), carrier=carrier, bound=case == "sent", document=TWO
        ) as gateway,
        bound(gateway.port) as peer,
        bound(gateway.port, system_id="other") as other,
    ):
        if case == "long":
            answer = await peer.submit(b"", tlvs=((0x0424, b"x" * 400),))
        else:
            answer = await peer.submit(b"old")
        if case == "sent":
            await until(lambda: gateway.carrier().accepted == 1)
        message_id = b"1234567890123456789" if case == "unknown" else answer.message_id
        asker = other if case == "foreign" else peer
        replace = ReplaceSm(message_id=message_id, source_addr=SOURCE, short_message=b"new")
        wanted = {
            "foreign": Status.ESME_RINVMSGID, "unknown": Status.ESME_RINVMSGID,
        }.get(case, Status.ESME_RREPLACEFAIL)  # fmt: skip
        assert (await asker.ask(replace, ReplaceSmResp)).command_status == wanted
        life = await gateway.life(int(answer.message_id))
        assert b"new" not in life.parts[0].body


async def test_replace_if_present_ends_the_waiting_one_and_takes_a_new_one_where_there_is_none(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            first = await peer.submit(b"one", replace_if_present_flag=1)
            typed = await peer.submit(b"typed", service_type=b"CMT")
            second = await peer.submit(b"two", replace_if_present_flag=1)
            assert len({first.message_id, typed.message_id, second.message_id}) == 3
            assert await gateway.state(int(first.message_id)) == State.CANCELLED
            assert await gateway.state(int(typed.message_id)) == State.QUEUED
            assert (await peer.submit(replace_if_present_flag=2)).command_status == Status.ESME_RINVREPFLAG
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            await until(lambda: len(seen(gateway)) == 2)
            assert {message.text for message in seen(gateway)} == {b"typed", b"two"}


# -- other ways to submit -----------------------------------------------------------------------------


def multi(*destinations: SmeAddress | DistributionList, text: bytes = b"text") -> SubmitMulti:
    return SubmitMulti(
        source_addr=SOURCE, destinations=destinations, short_message=text, registered_delivery=1
    )


async def test_submit_multi_is_one_id_and_a_message_and_receipt_for_each_number(tmp_path: Path) -> None:
    document = {"blacklist": [{"scope": "global", "numbers": ["8613700000002"]}]}
    async with world(tmp_path, document=document) as gateway, bound(gateway.port) as peer:
        numbers = [b"8613700000001", b"8613700000002", b"8613700000003"]
        request = multi(*(SmeAddress(1, 1, number) for number in numbers), DistributionList(b"friends"))
        answer = await peer.ask(request, SubmitMultiResp)
        refused = {entry.address: entry.error_status_code for entry in answer.unsuccess}
        assert refused == {
            b"friends": Status.ESME_RINVDLNAME,
            b"8613700000002": Status.ESME_RINVDSTADR,
        }
        receipts = [await peer.receive() for _ in range(2)]
        assert {receipt.source_addr for receipt in receipts} == {numbers[0], numbers[2]}
        assert all(receipt.short_message.startswith(b"id:" + answer.message_id) for receipt in receipts)
        assert sorted(gateway.sim.log.destinations()) == ["8613700000001", "8613700000003"]
        assert gateway.account().accepted == 2


async def test_submit_multi_that_nobody_can_have_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        nobody = encode(multi(SmeAddress(1, 1, b"1")))
        at = nobody.index(b"\x01\x01\x01\x011\0")
        octets = nobody[:at] + b"\0" + nobody[at + 6 :]
        await peer.stream.send_all(len(octets).to_bytes(4, "big") + octets[4:])
        assert (await peer.expect(SubmitMultiResp)).command_status == Status.ESME_RINVNUMDESTS
        replacing = multi(SmeAddress(1, 1, b"8613700000001"))
        replacing.replace_if_present_flag = 1
        assert (await peer.ask(replacing, SubmitMultiResp)).command_status == Status.ESME_RINVREPFLAG
        request = multi(SmeAddress(1, 1, b"none"))
        assert (await peer.ask(request, SubmitMultiResp)).command_status == Status.ESME_RINVDSTADR


async def test_a_long_submit_multi_reaches_everybody_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        request = multi(*(SmeAddress(1, 1, b"86137000000%02d" % n) for n in range(20)), text=b"")
        request.tlvs = ((0x0424, b"x" * 400),)
        answer = await peer.ask(request, SubmitMultiResp)
        assert (answer.command_status, answer.unsuccess) == (0, ())
        receipts = [await peer.receive() for _ in range(20)]
        assert len({receipt.source_addr for receipt in receipts}) == 20
        assert len(seen(gateway)) == 60
        assert not gateway.sim.log.broken_orders()


async def test_data_sm_is_a_submit_with_its_own_response(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        request = DataSm(
            source_addr=SOURCE, destination_addr=b"8613700000001", registered_delivery=1, data_coding=8,
            tlvs=((0x0424, "短信".encode("utf-16-be")),),
        )  # fmt: skip
        answer = await peer.ask(request, DataSmResp)
        assert answer.command_status == 0
        receipt = await peer.receive()
        assert receipt.short_message.startswith(b"id:" + answer.message_id)
        (message,) = seen(gateway)
        assert message.text.decode("utf-16-be") == "短信"
        empty = DataSm(source_addr=SOURCE, destination_addr=b"8613700000001")
        assert (await peer.ask(empty, DataSmResp)).command_status == Status.ESME_RMISSINGTLV


async def test_a_refusal_says_which_field_is_wrong_and_costs_the_next_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        for fields, status in (
            ({"priority_flag": 4}, Status.ESME_RINVPRTFLG),
            ({"esm_class": 2}, Status.ESME_RINVESMCLASS),
            ({"esm_class": 4}, Status.ESME_RINVESMCLASS),
            ({"sm_default_msg_id": 1}, Status.ESME_RINVDFTMSGID),
            ({"schedule_delivery_time": b"000000000000000X"}, Status.ESME_RINVSCHED),
            ({"validity_period": b"000000000000000X"}, Status.ESME_RINVEXPIRY),
            ({"to": b"12"}, Status.ESME_RINVDSTADR),
            ({"to": b"not-a-number"}, Status.ESME_RINVDSTADR),
        ):
            assert (await peer.submit(**fields)).command_status == status  # type: ignore[arg-type]
        assert (await peer.submit()).command_status == 0
        pipelined = [submit_sm(priority_flag=9), submit_sm(to=b"8613700000002"), submit_sm(to=b"x")]
        await peer.send(*pipelined)
        answers = [await peer.expect(SubmitSmResp) for _ in range(3)]
        assert [bool(answer.command_status) for answer in answers] == [True, False, True]
