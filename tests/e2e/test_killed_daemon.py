"""A daemon killed under load: what was acknowledged is kept, delivered and told once, and little is sent twice."""

import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.pdu import SubmitSmResp

from .peer import Peer, bound, submit_sm
from .test_processes import program, wait_for
from .world import UPSTREAM, until, upstream, world

MESSAGES = 300
WINDOW = 10
SENT_BEFORE = 60  # so many have left when the daemon is killed
AGAIN_MAX = 3 * WINDOW  # sent again: a window without answers, and answers that no round had made durable


async def load(peer: Peer) -> None:
    """Submits, faster than the carrier takes them, until the connection breaks."""
    with suppress(trio.BrokenResourceError):
        for n in range(MESSAGES):
            await peer.send(submit_sm(to=b"8613700000%03d" % n))
            await trio.sleep(0.004)


async def acknowledgements(peer: Peer, ids: list[bytes]) -> None:
    """The ids of what is accepted, until the connection breaks."""
    while pdu := await peer.next():
        assert isinstance(pdu, SubmitSmResp)
        if pdu.command_status == 0:
            ids.append(pdu.message_id)


async def test_what_was_acknowledged_before_a_kill_is_delivered_and_told_once(tmp_path: Path) -> None:
    data = str(tmp_path)
    acknowledged: list[bytes] = []
    async with SimCarrier(Behaviour(response_latency_s=0.1), **UPSTREAM) as sim:
        carrier = {"carrier": [upstream("c", sim.port, window=WINDOW)]}
        async with world(
            tmp_path, carriers={}, document=carrier | {"route": [{"prefix": "", "carriers": ["c"]}]}
        ):
            pass
        with program("-m", "gateway", "serve", "--data", data) as process:
            said = await trio.to_thread.run_sync(wait_for, process, "listening")
            async with bound(int(said["address"].rpartition(":")[2]), kind="transmitter") as peer:
                await until(lambda: sim.links)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(load, peer)
                    nursery.start_soon(acknowledgements, peer, acknowledged)
                    await until(lambda: len(sim.log.parts) >= SENT_BEFORE and acknowledged)
                    process.kill()
        assert SENT_BEFORE <= len(sim.log.parts) < MESSAGES, "it was killed in the middle"
        told: Counter[bytes] = Counter()

        async def take_receipt(peer: Peer) -> None:
            receipt = await peer.receive()
            found = re.match(rb"id:(\d+) .*stat:DELIVRD", receipt.short_message)
            assert found, receipt.short_message
            told[found[1]] += 1

        with program("-m", "gateway", "serve", "--data", data) as process:
            said = await trio.to_thread.run_sync(wait_for, process, "listening")
            async with bound(int(said["address"].rpartition(":")[2]), kind="receiver") as peer:
                while not told.keys() >= set(acknowledged):
                    await take_receipt(peer)
                with trio.move_on_after(0.5):  # whatever else is told
                    while True:
                        await take_receipt(peer)
            process.terminate()
            assert await trio.to_thread.run_sync(process.wait, 120) == 0
        # Nobody had been told anything before the kill, so nothing can have been told and not recorded.
        assert [message_id for message_id, times in told.items() if times > 1] == []
        sent = Counter(sim.log.destinations())
        assert sum(sent.values()) - len(sent) <= AGAIN_MAX
    async with world(tmp_path, carriers={}, applied=False):
        pass  # its end proves the files
