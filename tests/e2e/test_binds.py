"""Customers that bind: how, how many, from where, and what a refusal costs whom."""

from pathlib import Path

import pytest
import trio

from gateway.sim.esme import Refused
from gateway.smpp.constants import Status, Tag
from gateway.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    SubmitSmResp,
)

from .peer import bound, connected, submit_sm
from .world import PASSWORD, PATIENCE_S, config, until, world


async def test_a_transceiver_submits_and_gets_its_receipt(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])


async def test_a_transmitter_submits_and_its_receipts_go_to_the_receiver(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer(bind="pair") as esme:
        sent = [await esme.submit("text", f"861370000000{n}") for n in range(5)]
        await until(lambda: all(one.states == ["DELIVRD"] for (one,) in sent))
        states = {bind.session.state.value: bind.session.statistics() for bind in gateway.account().binds}
        assert states["bound_rx"].pdus_out["deliver_sm"] == 5
        assert "deliver_sm" not in states["bound_tx"].pdus_out


async def test_a_receiver_may_not_submit_and_a_customer_may_not_deliver(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port, kind="receiver") as peer:
            assert (await peer.submit()).command_status == Status.ESME_RINVBNDSTS
        async with bound(gateway.port) as peer:
            forged = DeliverSm(esm_class=4, short_message=b"id:1 stat:DELIVRD err:000")
            assert (await peer.ask(forged, DeliverSmResp)).command_status == Status.ESME_RINVBNDSTS
            assert (await peer.submit()).command_status == 0


async def test_several_binds_of_an_account_share_its_work(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer(binds=3, window=2) as esme:
        for n in range(30):
            await esme.send("text", f"86137000000{n:02}")
        await until(lambda: not esme.books.unanswered and not esme.books.missing)
        submits = [b.session.statistics().pdus_in.get("submit_sm", 0) for b in gateway.account().binds]
        delivers = [b.session.statistics().pdus_out.get("deliver_sm", 0) for b in gateway.account().binds]
        assert min(submits) > 0
        assert min(delivers) > 0
        assert esme.report().duplicates == 0


async def test_one_bind_more_than_allowed_is_already_bound_and_a_slot_comes_free(tmp_path: Path) -> None:
    document = {"account": [{"user": "acme", "system_id": "acme", "password": PASSWORD, "binds": 2}]}
    async with world(tmp_path, document=document) as gateway, gateway.customer(binds=2) as esme:
        with pytest.raises(Refused) as refused:
            await esme.bind_one()
        assert refused.value.status == Status.ESME_RALYBND
        esme.binds[0].drop()
        await until(lambda: len(gateway.account().binds) == 1)
        await esme.bind_one()


async def test_too_many_binds_do_not_get_a_customer_banned(tmp_path: Path) -> None:
    document = {"account": [{"user": "acme", "system_id": "acme", "password": PASSWORD, "binds": 1}]}
    settings = config(smpp={"bind_failures_max": 2, "bind_failure_delay_s": 0})
    async with world(tmp_path, document=document, settings=settings) as gateway:
        async with bound(gateway.port):
            for _ in range(4):
                async with connected(gateway.port) as peer:
                    assert await peer.bind() == Status.ESME_RALYBND
        await until(lambda: not gateway.account().binds)
        async with bound(gateway.port):
            pass


async def test_an_allow_list_keeps_others_out_with_the_same_answer_as_a_wrong_password(
    tmp_path: Path,
) -> None:
    document = {
        "account": [
            {"user": "acme", "system_id": "acme", "password": PASSWORD, "allow": ["10.0.0.0/8"]},
            {"user": "acme", "system_id": "near", "password": PASSWORD, "allow": ["127.0.0.0/8"]},
        ]
    }
    settings = config(smpp={"password_octets_max": 8})
    async with world(tmp_path, document=document, settings=settings) as gateway:
        for system_id, password, status in (
            ("acme", PASSWORD, Status.ESME_RBINDFAIL),
            ("near", "wrong", Status.ESME_RBINDFAIL),
            ("nobody", PASSWORD, Status.ESME_RBINDFAIL),
            ("near", PASSWORD + "xxx", Status.ESME_RBINDFAIL),
            ("near", PASSWORD, 0),
        ):
            async with connected(gateway.port) as peer:
                assert await peer.bind(system_id, password) == status
                assert await peer.is_closed(PATIENCE_S if status else 0.05) is bool(status)


async def test_a_refused_bind_is_answered_late(tmp_path: Path) -> None:
    settings = config(smpp={"bind_failure_delay_s": 0.4})
    async with world(tmp_path, settings=settings) as gateway, connected(gateway.port) as peer:
        begun = trio.current_time()
        assert await peer.bind(password="wrong") == Status.ESME_RBINDFAIL
        assert trio.current_time() - begun >= 0.4


async def test_guessing_is_banned_and_bound_customers_go_on(tmp_path: Path) -> None:
    settings = config(smpp={"bind_failures_max": 3, "bind_failure_delay_s": 0, "bind_ban_s": 3})
    async with world(tmp_path, settings=settings) as gateway, gateway.customer() as esme:
        for _ in range(3):
            async with connected(gateway.port) as peer:
                assert await peer.bind(password="wrong") == Status.ESME_RBINDFAIL
        banned_at = trio.current_time()
        async with connected(gateway.port) as peer:
            assert await peer.bind() == -1  # closed without a word, even with the right password
        (sent,) = await esme.submit("text", "8613700000001")
        assert sent.status == 0
        await trio.sleep_until(banned_at + 3.1)
        async with bound(gateway.port):
            pass


async def test_what_is_pipelined_behind_a_bind_is_answered_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, connected(gateway.port) as peer:
        bind = BindTransceiver(system_id=b"acme", password=PASSWORD.encode())
        await peer.send(bind, submit_sm(to=b"8613700000001"), submit_sm(to=b"8613700000002"))
        assert (await peer.expect(BindTransceiverResp)).command_status == 0
        first, second = await peer.expect(SubmitSmResp), await peer.expect(SubmitSmResp)
        assert (first.sequence_number, second.sequence_number) == (2, 3)
        assert int(first.message_id) < int(second.message_id)


async def test_a_3_3_customer_sees_no_tlvs_and_short_ids_that_can_be_used(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, connected(gateway.port) as peer:
        await peer.send(
            BindTransceiver(system_id=b"acme", password=PASSWORD.encode(), interface_version=0x33)
        )
        assert (await peer.expect(BindTransceiverResp)).tlvs == ()
        answer = await peer.submit()
        assert len(answer.message_id) == 8
        receipt = await peer.receive()
        assert receipt.tlvs == ()
        assert receipt.short_message.startswith(b"id:" + answer.message_id + b" ")


async def test_a_3_4_customer_is_told_our_version(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, connected(gateway.port) as peer:
        await peer.send(BindTransceiver(system_id=b"acme", password=PASSWORD.encode()))
        answer = await peer.expect(BindTransceiverResp)
        assert answer.tlvs == ((Tag.SC_INTERFACE_VERSION, b"\x34"),)
        assert answer.system_id == b"sluice"


async def test_an_account_that_is_disabled_is_unbound_and_kept_out(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, connected(gateway.port) as peer:
        assert await peer.bind() == 0
        await gateway.apply({"account": [{"user": "acme", "system_id": "acme", "state": "disabled"}]})
        assert await peer.is_closed()
        async with connected(gateway.port) as again:
            assert await again.bind() == Status.ESME_RBINDFAIL


async def test_a_new_password_counts_for_the_next_bind(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port):
            await gateway.apply({"account": [{"user": "acme", "system_id": "acme", "password": "fresh"}]})
        async with connected(gateway.port) as peer:
            assert await peer.bind() == Status.ESME_RBINDFAIL
        async with connected(gateway.port) as peer:
            assert await peer.bind(password="fresh") == 0


async def test_enquire_link_is_answered_before_the_bind(tmp_path: Path) -> None:
    from gateway.smpp.pdu import EnquireLinkResp

    async with world(tmp_path) as gateway, connected(gateway.port) as peer:
        await peer.ask(EnquireLink(), EnquireLinkResp)
        assert (await peer.ask(submit_sm(), SubmitSmResp)).command_status == Status.ESME_RINVBNDSTS
        assert await peer.bind() == 0


async def test_submits_followed_by_an_unbind_or_a_closing_are_all_answered_and_kept(tmp_path: Path) -> None:
    from gateway.smpp.pdu import Unbind, UnbindResp

    async with world(tmp_path) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.send(*(submit_sm(to=b"861370000%04d" % n) for n in range(20)), Unbind())
            for _ in range(20):
                assert (await peer.expect(SubmitSmResp)).command_status == 0
            await peer.expect(UnbindResp)
            assert await peer.is_closed()
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.send(*(submit_sm(to=b"861380000%04d" % n) for n in range(10)))
            assert isinstance(peer.stream, trio.SocketStream)
            await peer.stream.send_eof()
            for _ in range(10):
                assert (await peer.expect(SubmitSmResp)).command_status == 0
            assert await peer.is_closed()
        await until(lambda: len(gateway.sim.log.parts) == 30)
