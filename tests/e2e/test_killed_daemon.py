"""A daemon killed under load: what was acknowledged is kept, delivered and told, and little is sent twice."""

import re
from collections import Counter
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


async def test_what_was_acknowledged_before_a_kill_is_delivered_and_told_once(tmp_path: Path) -> None:
    data = str(tmp_path)
    acknowledged: list[bytes] = []
    async with SimCarrier(Behaviour(response_latency_s=0.05), **UPSTREAM) as sim:
        carrier = {"carrier": [upstream("c", sim.port, window=WINDOW)]}
        async with world(
            tmp_path, carriers={}, document=carrier | {"route": [{"prefix": "", "carriers": ["c"]}]}
        ):
            pass
        with program("-m", "gateway", "serve", "--data", data) as process:
            said = await trio.to_thread.run_sync(wait_for, process, "listening")
            async with bound(int(said["address"].rpartition(":")[2]), kind="transmitter") as peer:
                await until(lambda: sim.links)
                for n in range(MESSAGES):
                    await peer.send(submit_sm(to=b"8613700000%03d" % n))
                while pdu := await peer.next():
                    assert isinstance(pdu, SubmitSmResp)
                    if pdu.command_status == 0:
                        acknowledged.append(pdu.message_id)
                    if len(acknowledged) == MESSAGES // 3:
                        process.kill()
        assert 0 < len(sim.log.parts) < MESSAGES, "it was killed in the middle"
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
            assert await trio.to_thread.run_sync(process.wait, 30) == 0
        assert set(told.values()) == {1}
        sent = Counter(sim.log.destinations())
        assert sum(sent.values()) - len(sent) <= WINDOW, "only what was unanswered at the kill goes again"
    async with world(tmp_path, carriers={}, applied=False):
        pass  # its end proves the files
