"""Our binds to carriers: how they come up, go down, are refused, are lost, and what becomes of the rest."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.faulty_link import FaultyLink
from gateway.sim.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    GENERIC_NACK,
    header_only,
    pdu,
    read_frame,
)
from store.model import LINK_LOST, NO_ANSWER, PartFlag, State

from .world import PATIENCE_S, UPSTREAM, World, stays, until, upstream, world


def bind_commands(carrier: SimCarrier) -> Counter[int]:
    return Counter(link.bind_command for link in carrier.links if link.bound)


async def flood(esme: SimEsme, count: int) -> None:
    for n in range(count):
        await esme.send("text", f"8613700000{n:03}")


async def one_each(esme: SimEsme) -> None:
    await until(lambda: not esme.books.missing and not esme.books.unanswered)
    assert esme.report().duplicates == 0


# -- binding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "binds", "wanted"),
    [
        ("transceiver", 3, {BIND_TRANSCEIVER: 3}),
        ("pair", 2, {BIND_TRANSMITTER: 2, BIND_RECEIVER: 2}),
    ],
)
async def test_as_many_binds_as_wanted_share_the_messages(
    tmp_path: Path, bind: str, binds: int, wanted: dict[int, int]
) -> None:
    settings = {"bind": bind, "binds": binds, "window": 3}
    async with world(tmp_path, carrier=settings) as gateway, gateway.customer(window=100) as esme:
        await gateway.up(binds=sum(wanted.values()))
        assert bind_commands(gateway.sim) == wanted
        await flood(esme, 60)
        await one_each(esme)
        assert len({part.link for part in gateway.sim.log.parts}) == binds


async def test_a_transmitter_alone_sends_and_a_receiver_alone_hears(tmp_path: Path) -> None:
    sim = SimCarrier(**UPSTREAM)
    document = {
        "carrier": [],
        "route": [{"prefix": "", "carriers": ["tx"]}],
    }
    async with sim:
        document["carrier"] = [  # type: ignore[assignment]
            upstream("tx", sim.port, bind="transmitter"),
            upstream("rx", sim.port, bind="receiver"),
        ]
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up("tx")
            await gateway.up("rx")
            assert gateway.carrier("tx").up and not gateway.carrier("rx").up
            async with gateway.customer() as esme:
                (sent,) = await esme.submit("text", "8613700000001")
                await gateway.until_state(sent.message_id, State.SENT)


async def test_a_carrier_without_transceiver_is_bound_as_a_pair_also_after_an_apply(tmp_path: Path) -> None:
    """An SMPP 3.3 message centre answers bind_transceiver with generic_nack RINVCMDID."""
    nacked: list[int] = []
    async with SimCarrier(**UPSTREAM) as sim, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]

        async def serve(stream: trio.SocketStream) -> None:
            data = await stream.receive_some(16)
            command_id = int.from_bytes(data[4:8], "big")
            if command_id == BIND_TRANSCEIVER:
                nacked.append(command_id)
                await stream.send_all(header_only(GENERIC_NACK, int.from_bytes(data[12:16], "big"), 3))
                await stream.aclose()
            else:
                await sim.serve_stream(trio.StapledStream(stream, Ahead(stream, bytes(data))))

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        document = {
            "carrier": [upstream("c", port)],
            "route": [{"prefix": "", "carriers": ["c"]}],
        }
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up(binds=2)
            assert bind_commands(sim) == {BIND_TRANSMITTER: 1, BIND_RECEIVER: 1}
            async with gateway.customer() as esme:
                (sent,) = await esme.submit("text", "8613700000001")
                await until(lambda: sent.states == ["DELIVRD"])
            await gateway.apply({"word": [{"text": "unrelated"}]})
            await stays(lambda: bind_commands(sim) == {BIND_TRANSMITTER: 1, BIND_RECEIVER: 1}, 0.3)
            assert len(nacked) == 1
            await gateway.apply({"carrier": [upstream("c", port, system_type="new")]})
            await until(lambda: len(nacked) == 2)  # other settings may mean another message centre
            await gateway.up(binds=2)
        nursery.cancel_scope.cancel()


class Ahead(trio.abc.ReceiveStream):
    """A stream whose first octets were read already."""

    def __init__(self, stream: trio.SocketStream, octets: bytes) -> None:
        self._stream, self._octets = stream, octets

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        octets, self._octets = self._octets, b""
        return octets or bytes(await self._stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_wrong_credentials_are_tried_slowly_and_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    carrier = {"password": "wrong", "reconnect_s_max": 0.1}
    async with world(tmp_path, carrier=carrier, bound=False) as gateway:
        trouble = gateway.daemon.dialer.trouble
        await until(lambda: trouble.get(gateway.carrier().id, "").startswith("bind refused"))
        await stays(lambda: gateway.sim.counts["binds_refused"] == 1, 1.0)
        await gateway.apply({"carrier": [upstream("c", gateway.sim.port, password="upstream")]})
        await gateway.up()  # mended settings are tried at once
        assert trouble == {}
    logged = capfd.readouterr()
    text = logged.out + logged.err
    assert text.count("carrier not bound") == 1
    assert "wrong" not in text


async def test_reconnecting_backs_off_with_jitter(tmp_path: Path) -> None:
    attempts: list[float] = []
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]

        async def hang_up(stream: trio.SocketStream) -> None:
            attempts.append(trio.current_time())
            await stream.aclose()

        nursery.start_soon(trio.serve_listeners, hang_up, listeners)
        carriers = [upstream("c", port, reconnect_s_min=0.1, reconnect_s_max=0.8)]
        async with world(tmp_path, carriers={}, document={"carrier": carriers}) as gateway:
            await until(lambda: len(attempts) >= 6)
            assert "closed the connection" in gateway.daemon.dialer.trouble[gateway.carrier().id]
        nursery.cancel_scope.cancel()
    pauses = [after - before for before, after in pairwise(attempts)]
    for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8, 0.8), strict=False):
        assert least * 0.7 <= pause <= least + 5
    shares = {
        round(pause / least, 2) for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8, 0.8), strict=False)
    }
    assert len(shares) > 1


async def test_a_carrier_that_does_not_answer_the_bind_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.links.dialer.BIND_S", 0.2)
    mute = Behaviour(bind_latency_s=30)
    async with world(tmp_path, mute, bound=False) as gateway:
        trouble = gateway.daemon.dialer.trouble
        await until(lambda: trouble.get(gateway.carrier().id) == "no answer to connect or bind in time")


async def test_a_carrier_whose_name_nobody_knows_is_said(tmp_path: Path) -> None:
    carriers = [{"name": "c", "host": "no.such.host.invalid", "port": 1, **UPSTREAM}]
    async with world(tmp_path, carriers={}, document={"carrier": carriers}) as gateway:
        trouble = gateway.daemon.dialer.trouble
        await until(lambda: "cannot connect" in trouble.get(gateway.carrier().id, ""))


# -- unbinding ----------------------------------------------------------------------------------------


async def test_new_settings_rebind_politely_and_lose_nothing(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.2)
    async with world(tmp_path, slow) as gateway, gateway.customer(window=100) as esme:
        await flood(esme, 20)
        await until(lambda: len(gateway.sim.log.parts) == 20)
        old = gateway.sim.links[0]
        await gateway.apply({"carrier": [upstream("c", gateway.sim.port, system_type="new")]})
        await until(lambda: bool(gateway.sim.links) and gateway.sim.links[0] is not old)
        await gateway.up()
        await one_each(esme)
        assert gateway.carrier().maybe_duplicates == 0
        assert not gateway.sim.log.duplicates()


async def test_a_carrier_that_is_gone_from_the_settings_is_unbound(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        await gateway.apply(
            {"route": [{"prefix": "", "remove": True}], "carrier": [{"name": "c", "remove": True}]}
        )
        await until(lambda: not gateway.sim.links)
        await stays(lambda: not gateway.sim.links)


async def test_fewer_binds_leave_and_more_come(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"binds": 4}) as gateway:
        await gateway.up(binds=4)
        for count in (2, 5):
            await gateway.apply({"carrier": [upstream("c", gateway.sim.port, binds=count)]})
            await until(lambda count=count: len(gateway.sim.links) == count)  # type: ignore[misc]
            await stays(lambda count=count: len(gateway.sim.links) == count, 0.1)  # type: ignore[misc]


async def test_a_carrier_that_unbinds_gets_its_answers_and_is_bound_again(tmp_path: Path) -> None:
    leaving = Behaviour(unbind_after=5, response_latency_s=0.05, receipts_delay_s=0.3)
    async with world(tmp_path, leaving) as gateway, gateway.customer(window=100) as esme:
        await flood(esme, 12)
        await one_each(esme)
        assert gateway.carrier().maybe_duplicates == 0
        assert not gateway.sim.log.duplicates()


async def test_drain_waits_for_answers_and_sends_no_more(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.3, receipts=False)
    async with world(tmp_path, slow, carrier={"window": 5}) as gateway:
        async with gateway.customer(window=100) as esme:
            await flood(esme, 40)
            await until(lambda: not esme.books.unanswered)
            begun = trio.current_time()
            await gateway.drain()
            assert trio.current_time() - begun < 2
        assert gateway.carrier().accepted == len(gateway.sim.log.parts) <= 15
        assert gateway.carrier().maybe_duplicates == 0


# -- what is under way --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["resend", "hold", "fail"])
async def test_no_answer_in_time_follows_the_carriers_policy(tmp_path: Path, policy: str) -> None:
    deaf = Behaviour(lost_responses=1.0, receipts=False)
    carrier = {"on_unknown": policy, "response_timeout_s": 0.3}
    async with world(tmp_path, deaf, carrier=carrier) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: gateway.carrier().maybe_duplicates >= 1)
        if policy == "resend":
            await until(lambda: len(gateway.sim.log.parts) >= 2)
            gateway.sim.behaviour = Behaviour()
            await until(lambda: sent.states == ["DELIVRD"])
            life = await gateway.life(sent.message_id)
            assert life.parts[0].flags & PartFlag.MAYBE_DUPLICATE
            assert [attempt.status for attempt in life.attempts][:1] == [NO_ANSWER]
            assert life.attempts[-1].status == 0
            assert gateway.carrier().maybe_duplicates == len(life.attempts) - 1
        else:
            wanted = State.HELD if policy == "hold" else State.UNKNOWN
            await gateway.until_state(sent.message_id, wanted)
            gateway.sim.behaviour = Behaviour()
            await stays(lambda: len(gateway.sim.log.parts) == 1, 0.4)  # never sent again
            if policy == "fail":
                await until(lambda: sent.states == ["UNKNOWN"])


async def test_a_held_message_is_ended_by_its_late_receipt(tmp_path: Path) -> None:
    late = Behaviour(response_latency_s=0.6)
    carrier = {"on_unknown": "hold", "response_timeout_s": 0.2}
    async with world(tmp_path, late, carrier=carrier) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await gateway.until_state(sent.message_id, State.HELD)
        await until(lambda: sent.states == ["DELIVRD"])
        assert len(gateway.sim.log.parts) == 1


async def test_a_late_answer_stops_the_resending(tmp_path: Path) -> None:
    """The answer comes after the timeout, while the message waits for its second turn."""
    late = Behaviour(response_latency_s=0.6, receipts_delay_s=0.1)
    carrier = {"response_timeout_s": 0.2, "window": 1}
    async with world(tmp_path, late, carrier=carrier) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])
        await stays(lambda: sent.states == ["DELIVRD"], 0.5)
        assert esme.report().duplicates == 0


@pytest.mark.parametrize("ending", ["reset_after", "disconnect_after"])
async def test_what_was_under_way_when_the_link_was_lost_is_sent_again_and_marked(
    tmp_path: Path, ending: str
) -> None:
    lost = Behaviour(response_latency_s=0.2, **{ending: 10})
    async with world(tmp_path, lost, carrier={"window": 10}) as gateway, gateway.customer(window=100) as esme:
        await flood(esme, 25)
        await until(lambda: gateway.carrier().maybe_duplicates == 10)
        gateway.sim.behaviour = Behaviour()
        await one_each(esme)
        marked = 0
        for sent in esme.books.sent:
            life = await gateway.life(sent.message_id)
            if life.parts[0].flags & PartFlag.MAYBE_DUPLICATE:
                marked += 1
                assert [attempt.status for attempt in life.attempts] == [LINK_LOST, 0]
        assert marked == 10
        duplicates = gateway.sim.log.duplicates()
        assert len(duplicates) <= 10


async def test_a_link_that_goes_silent_is_noticed_and_replaced(tmp_path: Path) -> None:
    async with SimCarrier(**UPSTREAM) as sim, FaultyLink(sim.port) as wire:
        carriers = [upstream("c", wire.port, enquire_link_s=0.2, response_timeout_s=0.3)]
        document: dict[str, Any] = {"carrier": carriers, "route": [{"prefix": "", "carriers": ["c"]}]}
        async with world(tmp_path, carriers={}, document=document) as gateway, gateway.customer() as esme:
            await gateway.up()
            first = gateway.carrier().binds[0].number
            wire.black_hole()
            (sent,) = await esme.submit("text", "8613700000001")
            await until(lambda: all(bind.number != first for bind in gateway.carrier().binds))
            wire.heal()
            await until(lambda: sent.states == ["DELIVRD"])


async def test_the_carriers_enquire_link_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(enquire_link_s=0.1)) as gateway:
        await until(lambda: gateway.sim.counts["other_responses"] >= 3)


async def test_a_silent_carrier_is_asked_whether_it_is_there(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"enquire_link_s": 0.2}) as gateway:
        await until(lambda: gateway.sim.counts["enquire_links"] >= 2)
        assert len(gateway.sim.links) == 1


async def test_answers_that_belong_to_nothing_harm_nobody(tmp_path: Path) -> None:
    confused = Behaviour(wrong_sequence_numbers=0.3, generic_nacks=0.2, duplicate_responses=0.3)
    carrier = {"response_timeout_s": 0.3}
    async with world(tmp_path, confused, carrier=carrier) as gateway, gateway.customer(window=50) as esme:
        await flood(esme, 30)
        await until(lambda: gateway.carrier().maybe_duplicates > 0)
        gateway.sim.behaviour = Behaviour()
        await one_each(esme)


# -- carriers that connect in -------------------------------------------------------------------------


def connecting(mode: str, **settings: Any) -> dict[str, Any]:
    return {
        "carrier": [{"name": "c", "mode": mode, **UPSTREAM, **settings}],
        "route": [{"prefix": "", "carriers": ["c"]}],
        "number": [{"address": "10690000", "account": "acme"}],
    }


async def outbound_stream(gateway: World) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", gateway.port)


async def test_a_carrier_may_ask_us_to_bind(tmp_path: Path) -> None:
    async with SimCarrier(**UPSTREAM) as sim:
        async with world(tmp_path, carriers={}, document=connecting("outbind")) as gateway:
            await sim.outbind(await outbound_stream(gateway))
            await gateway.up()
            async with gateway.customer() as esme:
                (sent,) = await esme.submit("text", "8613700000001")
                await until(lambda: sent.states == ["DELIVRD"])
                sim.send_mo("hello", destination="10690000")
                await until(lambda: len(esme.books.inbound) == 1)
            assert sim.links[0].bind_command == BIND_TRANSCEIVER


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"system_id": "unknown"}])
async def test_a_bad_outbind_is_closed_without_a_word(
    tmp_path: Path, wrong: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    async with SimCarrier(**UPSTREAM) as sim:
        async with world(tmp_path, carriers={}, document=connecting("outbind")) as gateway:
            link = await sim.outbind(await outbound_stream(gateway), **wrong)
            with trio.fail_after(PATIENCE_S):
                await link._over.wait()
            assert not gateway.carrier().binds and not link.bind_command
            link = await sim.outbind(await outbound_stream(gateway))  # the right one still may
            await gateway.up()
    logged = capfd.readouterr()
    assert "Traceback" not in logged.out + logged.err


async def test_a_carrier_that_refuses_the_bind_it_asked_for_is_said_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with SimCarrier(Behaviour(bind_status=0x0D), **UPSTREAM) as sim:
        async with world(tmp_path, carriers={}, document=connecting("outbind")) as gateway:
            for _ in range(2):
                await sim.outbind(await outbound_stream(gateway))
            trouble = gateway.daemon.dialer.trouble
            await until(lambda: "refused after its outbind" in trouble.get(gateway.carrier().id, ""))
        async with world(tmp_path, carriers={}, document=connecting("outbind")) as gateway:
            stream = await outbound_stream(gateway)
            await stream.send_all(pdu(0x0B, 1, b"sluice\0upstream\0"))
            await read_frame(stream)
            await stream.aclose()  # no answer to the bind
            await until(
                lambda: "outbind failed" in gateway.daemon.dialer.trouble.get(gateway.carrier().id, "")
            )
    logged = capfd.readouterr()
    assert "Traceback" not in logged.out + logged.err


@pytest.mark.parametrize("dialect", ["deliver_sm", "submit_sm"])
async def test_a_carrier_may_bind_to_us_and_push_in_either_dialect(tmp_path: Path, dialect: str) -> None:
    async with SimCarrier(Behaviour(receipts_delay_s=0.1), **UPSTREAM) as sim:
        settings = connecting("bound-in", binds=2, window=3)
        async with world(tmp_path, carriers={}, document=settings) as gateway:
            for _ in range(2):
                _, status = await sim.bind_in(await outbound_stream(gateway), dialect=dialect)
                assert status == 0
            _, status = await sim.bind_in(await outbound_stream(gateway), dialect=dialect)
            assert status == 0x05  # as many binds as agreed
            async with gateway.customer(window=50) as esme:
                await flood(esme, 20)
                await one_each(esme)
                sim.send_mo("回复", destination="10690000")
                await until(lambda: len(esme.books.inbound) == 1)
            assert max(sim.log.window_max.values()) == 3
            assert [seen.status for seen in sim.log.receipts] == [0] * 21


async def test_a_carrier_that_binds_as_transmitter_only_delivers(tmp_path: Path) -> None:
    async with SimCarrier(**UPSTREAM) as sim:
        async with world(tmp_path, carriers={}, document=connecting("bound-in")) as gateway:
            await sim.bind_in(await outbound_stream(gateway), bind="transmitter")
            await until(lambda: len(gateway.carrier().binds) == 1)
            assert not gateway.carrier().up


async def test_a_carrier_that_binds_in_is_judged_like_a_customer(tmp_path: Path) -> None:
    async with SimCarrier(**UPSTREAM) as sim:
        settings = connecting("bound-in", allow=["10.0.0.0/8"])
        async with world(tmp_path, carriers={}, document=settings) as gateway:
            _, status = await sim.bind_in(await outbound_stream(gateway))
            assert status == 0x0D
            await gateway.apply({"carrier": [{"name": "c", "allow": ["127.0.0.0/8"]}]})
            _, status = await sim.bind_in(await outbound_stream(gateway), password="wrong")
            assert status == 0x0D
            link, status = await sim.bind_in(await outbound_stream(gateway))
            assert status == 0
            await gateway.apply({"carrier": [{"name": "c", "state": "paused"}]})
            with trio.fail_after(PATIENCE_S):
                await link.wait_closed()
            _, status = await sim.bind_in(await outbound_stream(gateway))
            assert status == 0x0D


async def test_a_bound_in_carrier_has_its_own_timers(tmp_path: Path) -> None:
    async with SimCarrier(Behaviour(lost_responses=1), **UPSTREAM) as sim:
        settings = connecting("bound-in", response_timeout_s=0.3, enquire_link_s=0.2, on_unknown="fail")
        async with world(tmp_path, carriers={}, document=settings) as gateway:
            await sim.bind_in(await outbound_stream(gateway))
            async with gateway.customer() as esme:
                (sent,) = await esme.submit("text", "8613700000001")
                await until(lambda: sent.states == ["UNKNOWN"])
            await until(lambda: sim.counts["enquire_links"] >= 1)


async def test_an_outbind_on_a_bound_session_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    from gateway.smpp.constants import Status
    from gateway.smpp.pdu import GenericNack, Outbind

    from .peer import bound

    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        nack = await peer.ask(Outbind(system_id=b"sluice", password=b"upstream"), GenericNack)
        assert nack.command_status == Status.ESME_RINVBNDSTS
        assert (await peer.submit()).command_status == 0


async def test_a_broken_wire_costs_nothing_but_time(tmp_path: Path) -> None:
    """Cuts in the middle of PDUs, fragments, delays: every message ends once."""
    async with SimCarrier(Behaviour(receipt_retry_s=0.3), **UPSTREAM) as sim, FaultyLink(sim.port) as wire:
        document: dict[str, Any] = {
            "carrier": [upstream("c", wire.port, window=20)],
            "route": [{"prefix": "", "carriers": ["c"]}],
        }
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up()
            wire.fragment_octets = 100
            async with gateway.customer(window=200) as esme:
                for cut in (1000, 2500, 777):
                    wire.cut_after(cut, "up")
                    wire.cut_after(cut, "down")
                    await flood(esme, 40)
                    await until(lambda: not esme.books.unanswered)
                wire.heal()
                await until(lambda: not esme.books.missing)
                assert esme.report().duplicates == 0
