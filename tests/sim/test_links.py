"""How the link of a simulated carrier goes wrong, and who may bind."""

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import Refused, SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.message import read_sm
from gateway.sim.wire import bind_body, header_only, pdu, read_frame, split_frames

from .helpers import LOGIN, pair


@pytest.mark.parametrize(
    ("login", "status"),
    [({"system_id": "other"}, 0x0F), ({"password": "wrong"}, 0x0E), ({}, 0)],
)
async def test_only_the_right_login_binds(autojump_clock: object, login: dict[str, str], status: int) -> None:
    async with pair(**login) as (carrier, esme):
        if status:
            with pytest.raises(Refused) as refusal:
                await esme.bind_all()
            assert refusal.value.status == status
            assert carrier.counts["binds_refused"] == 1
        else:
            await esme.bind_all()
            assert len(carrier.receivers()) == 1


async def test_binds_are_refused_or_late_on_request(autojump_clock: object) -> None:
    async with pair(Behaviour(bind_status=0x0D)) as (_carrier, esme):
        with pytest.raises(Refused):
            await esme.bind_all()
    async with pair(Behaviour(bind_latency_s=7)) as (_carrier, esme):
        before = trio.current_time()
        await esme.bind_all()
        assert trio.current_time() - before == pytest.approx(7)


async def test_unbind_after_asks_the_peer_to_leave(autojump_clock: object) -> None:
    async with pair(Behaviour(unbind_after=3), messages=10, rate=10.0, wait_s=1) as (carrier, esme):
        report = await esme.run()
        assert carrier.counts["submits"] == 3
    assert (report.submitted, report.accepted, report.missing) == (3, 3, 0)


async def test_disconnect_after_loses_the_answers(autojump_clock: object) -> None:
    async with pair(Behaviour(disconnect_after=3), messages=3, wait_s=1) as (carrier, esme):
        report = await esme.run()
        assert carrier.counts["submits"] == 3
    assert report.unanswered >= 1
    assert report.binds_lost == 1


async def test_reset_after_breaks_a_tcp_connection() -> None:
    async with (
        SimCarrier(Behaviour(reset_after=1)) as carrier,
        SimEsme(EsmeOptions(**LOGIN, port=carrier.port)) as esme,
    ):
        await esme.bind_all()
        await esme.send("x", "8613700000001")
        await esme.binds[0].wait_closed()
        assert esme.report().binds_lost == 1


async def test_deaf_carrier_reads_no_more_and_mute_carrier_answers_no_more(autojump_clock: object) -> None:
    for behaviour, read in ((Behaviour(deaf_after=2), 2), (Behaviour(mute_after=2), 4)):
        async with pair(behaviour, enquire_link_s=1.0, window=10) as (carrier, esme):
            await esme.bind_all()
            for number in range(4):
                await esme.send("x", str(8613700000001 + number))
                await trio.sleep(0.1)
            await trio.sleep(10)
            assert carrier.counts["submits"] == read
            assert esme.report().accepted == 2
            assert esme.binds[0].alive
            assert esme.books.counts["response_80000015"] == 0


async def test_enquire_link_is_answered_or_not(autojump_clock: object) -> None:
    for silence, answers in ((False, 3), (True, 0)):
        async with pair(Behaviour(enquire_link_silence=silence), enquire_link_s=1.0) as (carrier, esme):
            await esme.bind_all()
            await trio.sleep(3.5)
            assert carrier.counts["enquire_links"] == 3
            assert esme.books.counts["response_80000015"] == answers


async def test_carrier_enquires_too(autojump_clock: object) -> None:
    async with pair(Behaviour(enquire_link_s=2.0)) as (_carrier, esme):
        await esme.bind_all()
        await trio.sleep(5)
        assert esme.books.counts["enquire_links"] == 2


async def test_coalesced_output_comes_in_one_piece(autojump_clock: object) -> None:
    async with pair(Behaviour(coalesce_s=1.0)) as (carrier, _esme):
        stream = await carrier.connect()
        await stream.send_all(pdu(9, 1, bind_body(b"carrier", b"password")))
        await trio.sleep(0.3)
        await stream.send_all(header_only(0x15, 2))
        await trio.sleep(0.3)
        await stream.send_all(header_only(0x15, 3))
        frames, _used = split_frames(bytes(await stream.receive_some()))
        assert [frame[2] for frame in frames] == [1, 2, 3]


async def test_split_output_comes_in_pieces_and_still_makes_sense(autojump_clock: object) -> None:
    async with pair(Behaviour(split_octets=5, split_pause_s=0.01), messages=4) as (carrier, esme):
        stream = await carrier.connect()
        await stream.send_all(header_only(0x15, 2))
        sizes = [len(await stream.receive_some()) for _ in range(4)]
        assert sizes == [5, 5, 5, 1]
        report = await esme.run()
        assert (report.accepted, report.missing) == (4, 0)


async def test_outbind_invites_the_peer_to_bind_on_the_same_stream(autojump_clock: object) -> None:
    async with SimCarrier(listen=False) as carrier:
        ours, theirs = trio.testing.memory_stream_pair()
        await carrier.outbind(ours, system_id="smsc", password="s")
        command_id, _status, sequence, body, rest = await read_frame(theirs)
        assert (command_id, sequence, body) == (0x0B, 1, b"smsc\0s\0")
        await theirs.send_all(pdu(1, 1, bind_body(b"carrier", b"password")))
        assert (await read_frame(theirs, rest))[:2] == (0x80000001, 0)
        (link,) = await carrier.wait_bound()
        assert link.receives


@pytest.mark.parametrize(("dialect", "command"), [("deliver_sm", 5), ("submit_sm", 4)])
async def test_carrier_that_connects_in_binds_then_behaves_as_carrier(
    autojump_clock: object, dialect: str, command: int
) -> None:
    async with SimCarrier(listen=False) as carrier, trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()

        async def gateway() -> None:
            bind, _status, sequence, body, rest = await read_frame(theirs)
            assert (bind, body[:4]) == (9, b"c-in")
            await theirs.send_all(pdu(bind | 0x80000000, sequence, b"gw\0"))
            await theirs.send_all(pdu(4, 1, b"\0\1\1s\0\1\1d\0\0\0\0\0\0\1\0\0\0\2hi"))
            frames = []
            while len(frames) < 2:
                frame = await read_frame(theirs, rest)
                frames.append(frame)
                rest = frame[4]
            assert [frame[0] for frame in frames] == [0x80000004, command]
            receipt = read_sm(frames[1][3])
            assert receipt.esm_class == 4
            await theirs.send_all(pdu(command | 0x80000000, frames[1][2], b"\0"))

        nursery.start_soon(gateway)
        link, status = await carrier.bind_in(ours, system_id="c-in", password="pw", dialect=dialect)
        assert status == 0 and link.bound
        await trio.sleep(1)
        assert carrier.counts["deliveries_answered"] == 1


async def test_refused_bind_in_says_so(autojump_clock: object) -> None:
    async with SimCarrier(listen=False) as carrier, trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()

        async def gateway() -> None:
            frame = await read_frame(theirs)
            await theirs.send_all(header_only(frame[0] | 0x80000000, frame[2], 0x0D))

        nursery.start_soon(gateway)
        _link, status = await carrier.bind_in(ours)
        assert status == 0x0D
        assert not carrier.links


async def test_lost_framing_closes_that_link_only(autojump_clock: object) -> None:
    async with pair() as (carrier, esme):
        await esme.bind_all()
        stream = await carrier.connect()
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        assert await stream.receive_some() == b""
        assert carrier.counts["links_broken"] == 1
        (sent,) = await esme.submit("x", "8613700000001")
        assert sent.status == 0
