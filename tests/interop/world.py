"""A customer's account, a carrier that it is routed to, and the gateway between them."""

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import trio
from smpplib.gsm import GSM_CHARACTER_TABLE

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.message import Message

from .gateway_process import PASSWORD, Gateway

ENGLISH = "Your parcel [no. 7] costs 5€ ~ {pay} \\ by @noon_ | ok^"  # every kind of escape in GSM 03.38
CHINESE = "您好,您的验证码是123456,请勿泄露😀"  # with a surrogate pair
LONG_ENGLISH = " ".join(f"{ENGLISH} ({n})" for n in range(6))
LONG_CHINESE = "".join(f"{CHINESE}第{n}段。" for n in range(8))
UDHI = 0x40
# Limits are for a machine that does eight other things; no test waits for one of them.
WORLD_S_MAX = 120.0
UNTIL_S_MAX = 30.0

_serial = itertools.count(1)


class World(msgspec.Struct):
    """Who binds with what, and the carrier at the other end."""

    gateway: Gateway
    system_id: str
    number: str  # inbound messages to it are this account's
    carrier_name: str
    password: str = PASSWORD

    @property
    def port(self) -> int:
        return self.gateway.ports.smpp


async def apply(gateway: Gateway, **tables: list[dict[str, Any]]) -> None:
    """`sluice apply`, without stopping this loop."""
    await trio.to_thread.run_sync(partial(gateway.apply, **tables))


@asynccontextmanager
async def open_world(
    gateway: Gateway,
    carrier_port: int,
    *,
    carrier: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
) -> AsyncIterator[World]:
    """An account of its own with a carrier of its own; at the end the carrier is paused and unbound."""
    serial = next(_serial)
    world = World(gateway, f"acme{serial}", f"1069{serial:04d}", f"carrier{serial}")
    settings = {
        "name": world.carrier_name,
        "host": "127.0.0.1",
        "port": carrier_port,
        "system_id": "carrier",
        "password": "password",
        "reconnect_s_min": 0.1,
        "reconnect_s_max": 0.5,
        **(carrier or {}),
    }
    rules = {"user": "acme", "system_id": world.system_id, "password": PASSWORD, **(account or {})}
    await apply(
        gateway,
        carrier=[settings],
        account=[rules],
        route=[{"prefix": "", "account": world.system_id, "carriers": [world.carrier_name]}],
        number=[{"address": f"{world.number}*", "account": world.system_id}],
    )
    try:
        with trio.fail_after(WORLD_S_MAX):
            yield world
    finally:
        with trio.CancelScope(shield=True):
            await apply(gateway, carrier=[{"name": world.carrier_name, "state": "paused"}])


@asynccontextmanager
async def simulated(
    gateway: Gateway,
    behaviour: Behaviour | None = None,
    *,
    carrier: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
) -> AsyncIterator[tuple[World, SimCarrier]]:
    """A world whose carrier is the simulated one, bound."""
    async with (
        SimCarrier(behaviour) as sim,
        open_world(gateway, sim.port, carrier=carrier, account=account) as world,
    ):
        await sim.wait_bound()
        yield world, sim


async def until(condition: Callable[[], bool], what: str, *, at_most_s: float = UNTIL_S_MAX) -> None:
    """Wait for something that other processes bring about."""
    with trio.move_on_after(at_most_s):
        while not condition():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"{what}: not within {at_most_s:g} s")


def gsm_text(octets: bytes) -> str:
    """Unpacked GSM 03.38 read with smpplib's table, so that no table of ours checks itself."""
    text = ""
    escaped = 0
    for octet in octets:
        if octet == 0x1B and not escaped:
            escaped = 0x80
            continue
        text += GSM_CHARACTER_TABLE[octet + escaped]
        escaped = 0
    return text


def text_of(octets: bytes, data_coding: int) -> str:
    if data_coding == 8:
        return octets.decode("utf-16-be")
    return gsm_text(octets)


def texts_seen(messages: list[Message]) -> list[str]:
    """What a handset would show: parts joined by their concatenation headers, in the order of arrival."""
    whole: dict[tuple[Any, ...], dict[int, bytes]] = defaultdict(dict)
    for n, message in enumerate(messages):
        reference, total, number = message.part
        key = (message.destination, reference, total, message.data_coding, 0 if total > 1 else n)
        text = message.text
        if message.esm_class & UDHI:
            text = text[text[0] + 1 :]
        assert number not in whole[key], "one part came twice"
        whole[key][number] = text
    shown = []
    for (_, _, total, data_coding, _), parts in whole.items():
        assert sorted(parts) == list(range(1, total + 1)), "a part is missing"
        # Part by part: a handset decodes each by itself.
        shown.append("".join(text_of(parts[n], data_coding) for n in range(1, total + 1)))
    return shown


def messages_of(carrier: SimCarrier) -> list[Message]:
    return [part.message for part in carrier.log.parts]
