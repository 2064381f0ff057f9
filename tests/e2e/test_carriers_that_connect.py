"""Carriers that connect to us: an outbind asks us to bind on that connection, a reverse bind binds to us."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from store.model import State

from .peer import bound
from .world import PATIENCE_S, UPSTREAM, until, world


def document(mode: str, **more: Any) -> dict[str, list[dict[str, Any]]]:
    carrier = {"name": "in", "mode": mode, "host": "", "port": 0, **UPSTREAM, **more}
    return {
        "carrier": [carrier],
        "route": [{"prefix": "", "carriers": ["in"]}],
        "number": [{"address": "1069*", "account": "acme"}],
    }


def sim(**behaviour: Any) -> SimCarrier:
    return SimCarrier(Behaviour(**behaviour), listen=False, **UPSTREAM)


async def test_an_outbind_with_the_right_password_gets_our_bind_and_then_our_messages(tmp_path: Path) -> None:
    async with (
        sim() as carrier,
        world(tmp_path, carriers={}, document=document("outbind")) as gateway,
    ):
        stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
        await carrier.outbind(stream)
        with trio.fail_after(PATIENCE_S):
            await carrier.wait_bound()
        async with bound(gateway.port) as peer:
            answer = await peer.submit()
            await peer.receive()
        assert await gateway.state(int(answer.message_id)) == State.DELIVERED


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"system_id": "nobody"}])
async def test_a_bad_outbind_is_closed_without_a_pdu(tmp_path: Path, login: dict[str, str]) -> None:
    async with sim() as carrier, world(tmp_path, carriers={}, document=document("outbind")) as gateway:
        stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
        link = await carrier.outbind(stream, **login)
        await until(lambda: link.closed)
        assert not gateway.carrier("in").binds
        assert not link.bound


@pytest.mark.parametrize("dialect", ["deliver_sm", "submit_sm"])
async def test_a_carrier_that_binds_to_us_takes_messages_and_brings_receipts_and_mo(
    tmp_path: Path, dialect: str
) -> None:
    tables = document("bound-in", mo_as=dialect)
    async with sim() as carrier, world(tmp_path, carriers={}, document=tables) as gateway:
        stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
        _, status = await carrier.bind_in(stream, dialect=dialect)
        assert status == 0
        await gateway.up("in")
        async with bound(gateway.port) as peer:
            answer = await peer.submit()
            receipt = await peer.receive()
            assert b"id:" + answer.message_id in receipt.short_message
            carrier.send_mo("您好", destination="10690001")
            assert (await peer.receive()).short_message.decode("utf-16-be") == "您好"
        assert await gateway.state(int(answer.message_id)) == State.DELIVERED


async def test_a_reverse_bind_with_a_wrong_password_is_refused(tmp_path: Path) -> None:
    async with sim() as carrier, world(tmp_path, carriers={}, document=document("bound-in")) as gateway:
        stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
        _, status = await carrier.bind_in(stream, password="wrong")
        assert status != 0
        assert not gateway.carrier("in").binds


async def test_a_carrier_that_connects_has_no_more_binds_than_agreed_and_only_from_its_addresses(
    tmp_path: Path,
) -> None:
    async with sim() as carrier, world(tmp_path, carriers={}, document=document("bound-in")) as gateway:
        _, first = await carrier.bind_in(await trio.open_tcp_stream("127.0.0.1", gateway.port))
        _, second = await carrier.bind_in(await trio.open_tcp_stream("127.0.0.1", gateway.port))
        assert first == 0
        assert second != 0
        await gateway.apply({"carrier": [{"name": "in", "binds": 2, "allow": ["10.0.0.0/8"]}]})
        _, third = await carrier.bind_in(await trio.open_tcp_stream("127.0.0.1", gateway.port))
        assert third != 0
