"""Faults of customers and strangers: they vanish, dribble, never read, never answer, storm, announce 4 GiB.

`acme` is an honest customer all the while; its traffic must go on. `blue` is the one that misbehaves, on its own
account and later, as an honest customer again, takes the receipts that are still due to it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from random import Random

import trio

from gateway.sim.wire import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    FaultyLink,
    LostFraming,
    bind_body,
    bind_by_hand,
    header_only,
    pdu,
    read_frame,
)
from tests.faults.customer import Customer
from tests.faults.scenario import Scenario
from tests.faults.world import CUSTOMERS, World, WorldOptions

ACME_ONLY = WorldOptions(customers=("acme",), rate=100.0)
# Of what gets through without the fault, measured again after a miss: the whole machine may have become slower.
ACME_GOES_ON = 0.5
GROWTH_MAX = 50_000_000
NOTICED_S = 30.0
CONTROL_S = 4.0
CONNECT_S = 300.0
ANNOUNCED = 0xFFFF_FFFF
GONE = (trio.BrokenResourceError, trio.ClosedResourceError, LostFraming, OSError)


def blue(world: World) -> Customer:
    """The account that misbehaves: makes messages that the books know of."""
    return Customer(world.books, "blue", CUSTOMERS["blue"], lambda: world.daemon.port, rate=100.0)


@asynccontextmanager
async def acme_goes_on(world: World) -> AsyncIterator[None]:
    """acme submits while the block runs, and gets through."""
    (acme,) = world.customers
    before, binds = len(world.books.accepted), acme.binds
    started = trio.current_time()
    async with world.load():
        yield
    seconds = trio.current_time() - started
    mine = sum(sent.account == "acme" for sent in world.books.accepted[before:])
    pace, calm = mine / seconds, min(acme.rate, world.calm_rate)
    if pace < ACME_GOES_ON * calm:
        # Slower, but perhaps the whole machine is: what gets through without the fault?
        before = len(world.books.accepted)
        await world.load_for(CONTROL_S)
        calm = min(calm, (len(world.books.accepted) - before) / CONTROL_S)
    if pace < ACME_GOES_ON * calm:
        world.wrong(
            "others_go_on", f"acme got {pace:.0f} messages a second through, {calm:.0f} without the fault"
        )
    if acme.binds != binds:
        world.wrong("others_go_on", f"acme lost its bind {acme.binds - binds} times")


async def collect(world: World, customer: Customer) -> None:
    """The one that misbehaved comes back as an honest customer."""
    world.customers.append(customer)
    world.nursery.start_soon(customer.run)
    await world.settle()


async def bound(world: World, customer: Customer, port: int | None = None) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", port or world.daemon.port)
    status, _ = await bind_by_hand(stream, BIND_TRANSCEIVER, customer.system_id.encode(), b"secret12")
    if status:
        world.wrong("it_lets_customers_in", f"{customer.system_id} could not bind: status {status:x}")
    return stream


def submits(customer: Customer, number: int, sequence: "count[int]") -> bytes:
    """So many submit_sm in a row, known to the books."""
    return b"".join(
        pdu(SUBMIT_SM, next(sequence), customer.make(trio.current_time())[1]) for _ in range(number)
    )


async def vanish(world: World, times: int, dice: Random) -> None:
    """Customers vanish without a FIN between submit_sm and receipts; the bind is noticed to be dead."""
    await world.warm_up()
    customer, sequence = blue(world), count(2)
    async with acme_goes_on(world):
        for _ in range(times):
            async with FaultyLink(world.daemon.port) as link:
                stream = await bound(world, customer, link.port)
                await stream.send_all(submits(customer, 100, sequence))
                await trio.sleep(dice.uniform(0.02, 0.3))
                link.black_hole()
                await wait_binds(world, "blue", 0, NOTICED_S)
                await trio.aclose_forcefully(stream)
    await collect(world, customer)


async def wait_binds(world: World, system_id: str, wanted: int, within_s: float) -> None:
    """Until the daemon knows of so many binds of an account."""
    with trio.move_on_after(within_s):
        while True:
            status = await world.daemon.status()
            binds = {a["system_id"]: a["binds"] for a in status["accounts"]} if status else {}
            if binds.get(system_id) == wanted:
                return
            await trio.sleep(0.2)
    world.wrong("dead_binds_are_noticed", f"{system_id} still had binds after {within_s:g} s")


async def dribble(world: World, times: int, dice: Random) -> None:
    """An octet of a submit_sm every tenth of a second, on many binds: cut after partial_pdu_s."""
    await world.warm_up()
    customer, sequence = blue(world), count(2)

    async def drip() -> None:
        stream = await bound(world, customer)
        octets = submits(customer, 1, sequence)
        started = trio.current_time()
        try:
            for at in range(len(octets)):
                await stream.send_all(octets[at : at + 1])
                await trio.sleep(0.1)
        except GONE:
            pass
        if trio.current_time() - started > 6.0:
            world.wrong("dribblers_are_cut", "a submit_sm might take more than 6 s to arrive")
        await trio.aclose_forcefully(stream)

    async with acme_goes_on(world), trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(drip)
    await collect(world, customer)


async def never_read(world: World, times: int, dice: Random) -> None:
    """Submit without reading a single answer: cut, with memory bounded."""
    await world.warm_up()
    world.daemon.forget_peak()
    before = world.daemon.rss_octets()
    customer, sequence = blue(world), count(2)

    async def flood() -> None:
        stream = await bound(world, customer)
        try:
            with trio.move_on_after(8.0) as scope:
                await stream.send_all(submits(customer, 200, sequence))
                ask = header_only(ENQUIRE_LINK, 1) * 4000
                while True:
                    await stream.send_all(ask)
            if scope.cancelled_caught:
                world.notes.append("a customer that never reads was held back, not cut, within 8 s")
        except GONE:
            pass
        await trio.aclose_forcefully(stream)

    async with acme_goes_on(world), trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(flood)
    growth = world.daemon.rss_peak_octets() - before
    world.notes.append(f"peak {growth / 2**20:+.0f} MiB")
    if growth > GROWTH_MAX + times * (8 << 20):
        world.wrong("memory_is_bounded", f"{growth >> 20} MiB for {times} customers that never read")
    await collect(world, customer)


async def never_answer(world: World, times: int, dice: Random) -> None:
    """Take receipts and answer none: tried again later, others unhindered."""
    await world.warm_up()
    customer, sequence = blue(world), count(2)

    async def listen() -> None:
        stream = await bound(world, customer)
        await stream.send_all(submits(customer, 200, sequence))
        rest = b""
        with trio.move_on_after(7.0):
            try:
                while True:
                    command_id, _, number, _, rest = await read_frame(stream, rest)
                    if command_id == ENQUIRE_LINK:
                        await stream.send_all(header_only(ENQUIRE_LINK | RESPONSE, number))
                    assert command_id in (ENQUIRE_LINK, DELIVER_SM, SUBMIT_SM | RESPONSE), command_id
            except GONE:
                pass
        await trio.aclose_forcefully(stream)

    async with acme_goes_on(world), trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(listen)
    await collect(world, customer)


async def bind_storm(world: World, times: int, dice: Random) -> None:
    """Binds with wrong passwords and unknown names from many addresses at once, as fast as they are refused."""
    await world.warm_up()
    refused = 0

    async def storm(number: int) -> None:
        nonlocal refused
        address = f"127.0.{1 + number // 200}.{1 + number % 200}"
        with trio.move_on_after(4.0):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", world.daemon.port, local_address=address)
                except OSError:
                    continue
                name = dice.choice((b"acme", b"blue", b"nobody", b"root"))
                try:
                    status, _ = await bind_by_hand(
                        stream, BIND_TRANSCEIVER, name, b"wrong%d" % dice.randrange(999)
                    )
                    refused += 1
                    if status == 0:
                        world.wrong("nobody_gets_in", "a wrong password was accepted")
                except GONE:
                    pass  # the daemon may close instead of answering
                finally:
                    await trio.aclose_forcefully(stream)

    async with acme_goes_on(world), trio.open_nursery() as nursery:
        for number in range(times):
            nursery.start_soon(storm, number)
    await trio.sleep(1.0)  # hashes that were asked for are worked off
    world.notes.append(f"{refused} binds refused")


async def announce(world: World, times: int, dice: Random, *, within_octets: int) -> None:
    """`times` connections at once, each announcing a PDU of 4 GiB; memory may grow by 50 MB."""
    await world.warm_up()
    world.daemon.forget_peak()
    before = world.daemon.rss_octets()
    # The announcement, and as many octets of the PDU as a kernel takes without asking.
    octets = ANNOUNCED.to_bytes(4, "big") + BIND_TRANSCEIVER.to_bytes(4, "big") + bytes(4) + b"\0\0\0\1"
    octets += bind_body(b"acme", b"secret12").ljust(900, b"x")
    held: list[trio.SocketStream] = []
    told: list[int] = []
    limit = trio.CapacityLimiter(200)
    peak = 0

    async def one(number: int) -> None:
        address = f"127.0.{1 + number // 150}.{1 + number % 150}"
        async with limit:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", world.daemon.port, local_address=address)
                held.append(stream)
                await stream.send_all(octets)
                command_id, status, _, _, _ = await read_frame(stream)
                if command_id == GENERIC_NACK:
                    told.append(status)
            except GONE:
                pass

    async with acme_goes_on(world):
        with trio.move_on_after(CONNECT_S):
            async with trio.open_nursery() as nursery:
                for number in range(times):
                    nursery.start_soon(one, number)
        peak = world.daemon.rss_peak_octets() - before
        await trio.sleep(1.0)
    for stream in held:
        await trio.aclose_forcefully(stream)
    world.notes.append(f"{len(held)} connections, {len(told)} told RINVCMDLEN, peak {peak / 2**20:+.0f} MiB")
    if len(held) < times * 0.95:
        world.wrong("the_fault_comes", f"only {len(held)} of {times} connections were made")
    if peak > within_octets:
        world.wrong("memory_is_bounded", f"{peak / 1e6:.0f} MB more at the peak")


NOTICE = {"SLUICE__SMPP__ENQUIRE_LINK_S": "1"}
OPEN_DOORS = {
    "SLUICE__LIMITS__CONNECTIONS_MAX": "12000",
    "SLUICE__LIMITS__UNBOUND_CONNECTIONS_MAX": "12000",
    "SLUICE__LIMITS__CONNECTIONS_PER_ADDRESS_MAX": "12000",
}


def misbehaving(
    name: str, fault: str, run: object, times: int, small: int = 1, **environment: str
) -> Scenario:
    options = WorldOptions(customers=("acme",), rate=100.0, environment=environment)
    return Scenario(name=name, fault=fault, run=run, times=times, small=small, options=options, memory=True)  # type: ignore[arg-type]


SCENARIOS = (
    misbehaving("vanish", "customer vanishes without a FIN after submitting", vanish, 5, **NOTICE),
    misbehaving("dribble", "customers dribble a submit_sm octet by octet", dribble, 10),
    misbehaving("never-read", "customers submit and never read", never_read, 5),
    misbehaving("never-answer", "customers never answer a deliver_sm", never_answer, 3),
    misbehaving("bind-storm", "binds with wrong passwords, from many addresses at once", bind_storm, 100, 20),
    misbehaving(
        "announce", "connections at once that announce PDUs of 4 GiB, every limit on connections lifted",
        partial(announce, within_octets=GROWTH_MAX), 10_000, 300, **OPEN_DOORS,
    ),
    misbehaving(
        "announce-limits", "the same, with limits as they come", partial(announce, within_octets=GROWTH_MAX),
        10_000, 300,
    ),
)  # fmt: skip
