"""What a peer can make us keep, and for how long: timers, gates and bounds, at the cost of that peer alone."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from gateway.smpp.constants import Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    DataSm,
    DataSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    QuerySm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)

from .peer import Peer, bound, connected, submit_sm
from .world import PASSWORD, PATIENCE_S, blocked_store, config, stays, until, world

ACCOUNT = {"user": "acme", "system_id": "acme", "password": PASSWORD}


# -- framing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        bytes.fromhex("0000000F000000150000000000000001"),
        bytes.fromhex("FFFFFFFF000000150000000000000001"),
        bytes.fromhex("00000000"),
    ],
)
@pytest.mark.parametrize("is_bound", [True, False])
async def test_a_length_that_no_pdu_has_is_nacked_at_its_fourth_octet_and_ends_the_session(
    tmp_path: Path, octets: bytes, is_bound: bool
) -> None:
    async with world(tmp_path, carriers={}) as gateway, connected(gateway.port) as peer:
        if is_bound:
            assert await peer.bind() == 0
        await peer.stream.send_all(octets)
        nack = await peer.expect(GenericNack)
        assert (nack.command_status, nack.sequence_number) == (Status.ESME_RINVCMDLEN, 0)
        assert await peer.is_closed()


async def test_the_length_gate_of_strangers_is_lower(tmp_path: Path) -> None:
    huge = (2048).to_bytes(4, "big") + bytes.fromhex("000000020000000000000001")
    async with world(tmp_path, carriers={}) as gateway:
        async with connected(gateway.port) as peer:
            await peer.stream.send_all(huge)
            assert (await peer.expect(GenericNack)).command_status == Status.ESME_RINVCMDLEN
        async with bound(gateway.port) as peer:
            await peer.stream.send_all(huge)
            await stays(lambda: gateway.account().binds, 0.1)


async def test_other_protocols_are_closed_with_one_line_and_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, carriers={}) as gateway:
        for _ in range(5):
            async with connected(gateway.port) as peer:
                await peer.stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await peer.is_closed()
    logged = capfd.readouterr()
    assert (logged.out + logged.err).count("HTTP") == 1
    assert "Traceback" not in logged.out + logged.err


async def test_a_peer_that_resets_is_no_fault_of_ours(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path) as gateway:
        for before in (b"", b"\0\0\0\x2f", b"\x16\x03\x01"):
            async with connected(gateway.port) as peer:
                await peer.stream.send_all(before + b"\0")
                await peer.reset()
        async with bound(gateway.port) as peer:
            await peer.send(*(submit_sm(to=b"861370000%04d" % n) for n in range(50)))
            await peer.reset()
        await until(lambda: not gateway.account().binds and not gateway.daemon.server.connections)
    logged = capfd.readouterr()
    assert "Traceback" not in logged.out + logged.err


# -- timers -------------------------------------------------------------------------------------------


async def test_a_connection_that_does_not_bind_is_closed(tmp_path: Path) -> None:
    settings = config(smpp={"session_init_s": 2})
    async with world(tmp_path, settings=settings) as gateway:
        async with connected(gateway.port) as silent, connected(gateway.port) as begun:
            await begun.stream.send_all(b"\0\0\0")
            assert await silent.is_closed()
            assert await begun.is_closed()
        async with bound(gateway.port) as peer:
            await trio.sleep(2.5)
            assert (await peer.submit()).command_status == 0


async def test_a_pdu_must_be_whole_in_time_however_it_dribbles(tmp_path: Path) -> None:
    settings = config(smpp={"partial_pdu_s": 0.5, "enquire_link_s": 30})
    async with world(tmp_path, settings=settings) as gateway, gateway.customer() as other:
        async with bound(gateway.port) as peer:
            begun = trio.current_time()
            await peer.stream.send_all((200).to_bytes(4, "big"))
            with trio.move_on_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError):
                while True:
                    await trio.sleep(0.1)
                    await peer.stream.send_all(b"\0")
            assert 0.4 < trio.current_time() - begun < PATIENCE_S
        (sent,) = await other.submit("text", "8613700000001")
        assert sent.status == 0


async def test_an_idle_customer_is_asked_and_one_that_is_gone_makes_room(tmp_path: Path) -> None:
    settings = config(smpp={"enquire_link_s": 0.3, "response_timeout_s": 2})
    document = {"account": [{**ACCOUNT, "binds": 2}]}
    async with (
        world(tmp_path, settings=settings, document=document) as gateway,
        gateway.customer() as alive,
        gateway.customer(bound=False, enquire_link_silence=True) as gone,
    ):
        await gone.bind_all()
        await until(lambda: len(gateway.account().binds) == 1)
        await stays(lambda: len(gateway.account().binds) == 1, 1.2)
        assert alive.books.counts["enquire_links"] >= 2
        async with bound(gateway.port):
            pass


async def test_a_customer_without_messages_is_unbound_and_enquire_links_do_not_help(tmp_path: Path) -> None:
    settings = config(smpp={"inactivity_s": 2})
    async with world(tmp_path, settings=settings) as gateway, bound(gateway.port) as peer:
        begun = trio.current_time()
        for _ in range(4):
            await peer.ask(EnquireLink(), EnquireLinkResp)
            await trio.sleep(0.1)
        unbind = await peer.expect(Unbind)
        assert trio.current_time() - begun > 1.5
        await peer.send(UnbindResp(unbind.sequence_number))
        assert await peer.is_closed()


async def test_a_peer_that_never_reads_is_cut_and_hurts_nobody(tmp_path: Path) -> None:
    settings = config(smpp={"write_timeout_s": 0.5}, limits={"output_octets_max": 65_536})
    async with world(tmp_path, settings=settings) as gateway, gateway.customer() as other:
        async with bound(gateway.port) as peer:
            (mine,) = [b for b in gateway.account().binds if b.number != 1]
            for stream in (peer.stream, mine.stream):  # type: ignore[attr-defined]
                assert isinstance(stream, trio.SocketStream)
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
            flood = b"".join(encode(EnquireLink(number)) for number in range(1, 5000))
            begun = trio.current_time()
            with trio.move_on_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError):
                while True:
                    await peer.stream.send_all(flood)
            took_s = trio.current_time() - begun
            assert len(mine.session.out) < 300_000  # type: ignore[attr-defined]
            assert 0.4 < took_s < PATIENCE_S
        (sent,) = await other.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])


# -- a slow disk --------------------------------------------------------------------------------------


async def ask_alive(peer: Peer) -> float:
    """How long an enquire_link takes; what else comes is dropped."""
    begun = trio.current_time()
    await peer.send(EnquireLink())
    with trio.fail_after(PATIENCE_S):
        while not isinstance(await peer.next(), EnquireLinkResp):
            pass
    return trio.current_time() - begun


async def test_enquire_link_is_answered_in_time_while_the_disk_hangs(tmp_path: Path) -> None:
    document = {"account": [{**ACCOUNT, "window": 10}]}
    data_sm = DataSm(
        source_addr=b"1069",
        destination_addr=b"8613700000001",
        tlvs=((0x0424, b"text"),),
        registered_delivery=1,
    )
    async with world(tmp_path, document=document) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit()
        await peer.receive()
        with blocked_store(gateway):
            await peer.send(*(submit_sm(to=b"86137000000%02d" % n) for n in range(10)))  # the window is full
            assert await ask_alive(peer) < PATIENCE_S / 4
            await peer.send(data_sm)
            assert await ask_alive(peer) < PATIENCE_S / 4
            await peer.send(QuerySm(message_id=answer.message_id, source_addr=b"10690001"))
            assert await ask_alive(peer) < PATIENCE_S / 4


async def test_what_hung_with_the_disk_is_answered_when_it_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        with blocked_store(gateway):
            await peer.send(*(submit_sm(to=b"86137000000%02d" % n) for n in range(10)))
            assert await ask_alive(peer) < PATIENCE_S / 4
        for number in range(10):
            answer = await peer.expect(SubmitSmResp)
            assert (answer.command_status, answer.sequence_number) == (0, number + 2)


async def test_the_answers_follow_an_unbind_that_came_while_the_disk_hung(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        with blocked_store(gateway):
            await peer.send(submit_sm(), submit_sm(to=b"8613700000002"), Unbind())
            await trio.sleep(0.5)
        for _ in range(2):
            assert (await peer.expect(SubmitSmResp)).command_status == 0
        await peer.expect(UnbindResp)


# -- more than was agreed -----------------------------------------------------------------------------


async def test_more_than_the_window_is_throttled_after_a_bounded_stop(tmp_path: Path) -> None:
    document = {"account": [{**ACCOUNT, "window": 10}]}
    async with world(tmp_path, document=document) as gateway, bound(gateway.port) as peer:
        with blocked_store(gateway):
            begun = trio.current_time()
            await peer.send(*(submit_sm(to=b"86137000000%02d" % n) for n in range(40)))
            for _ in range(30):
                assert (await peer.expect(SubmitSmResp)).command_status == Status.ESME_RTHROTTLED
            assert 0.3 < trio.current_time() - begun < PATIENCE_S / 2
            assert gateway.account().binds[0].unanswered == 10  # type: ignore[attr-defined]
        for _ in range(10):
            pdu = await peer.next()
            assert isinstance(pdu, SubmitSmResp) or pdu is not None


async def test_more_than_the_window_is_taken_where_the_disk_keeps_up(tmp_path: Path) -> None:
    document = {"account": [{**ACCOUNT, "window": 10}]}
    async with (
        world(tmp_path, document=document) as gateway,
        gateway.customer(window=200, flood=True) as esme,
    ):
        for n in range(200):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: not esme.books.unanswered and not esme.books.missing)
        assert esme.report().refused == {}


async def test_the_rate_of_an_account_holds_over_all_its_binds_and_the_rest_is_throttled(
    tmp_path: Path,
) -> None:
    document = {"account": [{**ACCOUNT, "rate": 20, "burst": 5}]}
    async with (
        world(tmp_path, document=document) as gateway,
        gateway.customer(binds=2, window=200, flood=True) as esme,
    ):
        begun = trio.current_time()
        for n in range(100):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: not esme.books.unanswered)
        took_s = trio.current_time() - begun
        report = esme.report()
        assert 5 <= report.accepted <= 5 + 20 * took_s + 1
        assert report.refused == {"00000058": 100 - report.accepted}
        await until(lambda: not esme.books.missing)


async def test_rates_count_parts(tmp_path: Path) -> None:
    document = {"account": [{**ACCOUNT, "rate": 10, "burst": 10}]}
    async with (
        world(tmp_path, document=document) as gateway,
        gateway.customer(long="payload", window=50, flood=True) as esme,
    ):
        begun = trio.current_time()
        for n in range(4):
            await esme.submit("x" * 1000, f"8613700000{n:03}")  # seven parts each
        parts = 7 * esme.report().accepted
        assert parts <= 10 + 10 * (trio.current_time() - begun) + 7
        assert esme.report().refused


async def test_data_sm_pays_for_the_rate_as_well(tmp_path: Path) -> None:
    document = {"account": [{**ACCOUNT, "rate": 1, "burst": 2}]}
    async with world(tmp_path, document=document) as gateway, bound(gateway.port, kind="transmitter") as peer:
        statuses = []
        for n in range(4):
            request = DataSm(destination_addr=b"861370000000%d" % n, tlvs=((0x0424, b"text"),))
            statuses.append((await peer.ask(request, DataSmResp)).command_status)
        assert statuses[:2] == [0, 0]
        assert Status.ESME_RTHROTTLED in statuses


async def test_strangers_and_connections_are_bounded(tmp_path: Path) -> None:
    settings = config(limits={"unbound_connections_max": 3, "connections_per_address_max": 5})
    async with world(tmp_path, settings=settings) as gateway, AsyncExitStack() as stack:
        port = gateway.port
        async with connected(port), connected(port), connected(port), connected(port) as fourth:
            assert await fourth.is_closed()
        await until(lambda: not gateway.daemon.server.connections)
        for _ in range(5):
            await stack.enter_async_context(bound(port))
        async with connected(port) as sixth:
            assert await sixth.is_closed()
        assert len(gateway.account().binds) == 5
