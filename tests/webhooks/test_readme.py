"""The receiver that the README shows takes what we sign, and nothing else."""

import re
import threading
from http.server import HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.events.shapes import STATUS, LoggedEvent
from gateway.webhooks.addresses import Address, networks
from gateway.webhooks.attempts import attempt, body_of
from gateway.webhooks.client import Client
from gateway.webhooks.targets import UrlRules, read_url
from store.webhook_secrets import key_of, new_secret
from tests.webhooks.world import SECRET, TLS, FakeLog, TrioClock

README = Path(__file__).parents[2] / "README.md"


async def test_the_receiver_of_the_readme_verifies(capfd: pytest.CaptureFixture[str]) -> None:
    import trio

    (code,) = re.findall(
        r"```python\n(import http\.server.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(code.splitlines()) <= 11
    assert SECRET in code
    named: dict[str, object] = {}
    exec(code.rpartition("http.server.HTTPServer(")[0], named)
    server = HTTPServer(("127.0.0.1", 0), named["Receiver"])  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    clock = TrioClock()
    log = FakeLog(clock)
    log.add(3)
    events: list[LoggedEvent] = log.events

    async def resolve(name: str, account: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    rules = UrlRules(networks(["127.0.0.0/8"]))
    client = Client(1, rules, TLS, resolve, trio.open_tcp_stream, clock)
    target = read_url(f"http://receiver.example:{server.server_port}/", rules)
    try:
        for secret, status in ((SECRET, 204), (new_secret(), 401)):
            body = body_of(STATUS, events)
            result = await attempt(client, target, [key_of(secret)], "whd_1", body, clock, 5.0)
            assert result.status == status
    finally:
        await client.close()
        await trio.to_thread.run_sync(server.shutdown)
        thread.join()
        server.server_close()
    printed = [line.split()[0] for line in capfd.readouterr().out.splitlines()]
    assert printed == [str(event.seq) for event in events]
