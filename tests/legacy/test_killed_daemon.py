"""A daemon killed while reports are open: each is told after the restart, and few are told twice."""

from collections import Counter
from pathlib import Path

import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from tests.e2e.processes import Gateway, gateway_process
from tests.gateway.http_client import Client
from tests.legacy.receiver import LOCAL, receiving
from tests.legacy.world import DOCUMENT

MESSAGES = 60
SETTINGS = {
    "SLUICE__KANNEL__LISTEN": "127.0.0.1:0",
    "SLUICE__KANNEL__RETRY_S": "0.05",
    "SLUICE__KANNEL__RETRIES_MAX": "1000",
    "SLUICE__WEBHOOKS__ALLOW_PRIVATE": ",".join(LOCAL["allow_private"]),
}


async def send(gateway: Gateway, url: str, count: int) -> None:
    event = await gateway.wait_event("listening", name="kannel")
    port = int(event["address"].rpartition(":")[2])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Client(stream)
        for number in range(count):
            query = f"username=acme&password=secret&to=86138000{number:05}&text=x&dlr-mask=1&dlr-url={url}"
            reply = await client.ask("GET", f"/cgi-bin/sendsms?{query}")
            assert reply.status == 202


async def test_every_report_is_told_although_the_daemon_was_killed(tmp_path: Path) -> None:
    async with receiving() as receiver, SimCarrier(Behaviour(), system_id="sluice") as carrier:
        taken: Counter[str] = Counter()
        healthy = False

        def say(asked: object) -> tuple[int, bytes, str]:
            target = getattr(asked, "target", "")
            if not healthy and int(target.rpartition("=")[2]) % 2:
                return 500, b"", "text/plain"
            taken[target] += 1
            return 200, b"", "text/plain"

        receiver.say = say
        link = {"host": "127.0.0.1", "port": carrier.port, "system_id": "sluice", "password": "password"}
        async with gateway_process(tmp_path / "data", **SETTINGS) as gateway:
            await gateway.apply({**DOCUMENT, "carrier": [{"name": "carrier", **link}]})
            await send(gateway, receiver.url("/?to=%25p").replace("?", "%3F"), MESSAGES)
            with trio.fail_after(10):
                while len(taken) < MESSAGES // 2:
                    await trio.sleep(0.01)
            await gateway.kill()
        healthy = True
        async with gateway_process(tmp_path / "data", **SETTINGS):
            with trio.fail_after(20):
                while len(taken) < MESSAGES:
                    await trio.sleep(0.01)
            await trio.sleep(1.5)  # whoever is told twice is told by now
        assert set(taken) == {f"/?to=86138000{number:05}" for number in range(MESSAGES)}
        # What was open when it was killed, and the events behind the oldest of them, may come again.
        assert all(count <= 2 for count in taken.values())


async def test_the_listeners_are_off_by_default(tmp_path: Path) -> None:
    async with gateway_process(tmp_path / "data") as gateway:
        assert {e["name"] for e in gateway.events() if e.get("event") == "listening"} == {"smpp"}
