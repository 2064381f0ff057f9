"""The HTTP listener of the real daemon: messages in, figures and health out, until it drains."""

import re
from pathlib import Path

import trio

from store.model import State
from tests.gateway.http_client import Client

from .world import PASSWORD, PEOPLE, config, until, world

KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_secret"
DOCUMENT = {**PEOPLE, "api_key": [{"user": "acme", "key": KEY}]}
HTTP = {"listen": "127.0.0.1:0"}


def value(metrics: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
    assert found, f"{name} is not in\n{metrics}"
    return float(found[1])


async def test_messages_health_and_metrics_over_http(tmp_path: Path) -> None:
    settings = config(http=HTTP)
    async with world(tmp_path, settings=settings, document=DOCUMENT) as gateway, gateway.customer() as esme:
        client = Client(await trio.open_tcp_stream(*gateway.daemon.addresses["http"]))
        health = await client.ask("GET", "/healthz")
        assert (health.status, health.json["status"], health.json["carriers_up"]) == (200, "ok", 1)
        wanted = {"to": "+8613700000001", "text": "短信"}
        reply = await client.ask("POST", "/v1/messages", wanted, Authorization=f"Bearer {KEY}")
        assert reply.status == 202
        (sent,) = await esme.submit("text", "8613700000002")
        await until(lambda: sent.states == ["DELIVRD"] and len(gateway.sim.log.receipts) == 2)
        await gateway.until_state(sent.message_id, State.DELIVERED)

        metrics = (await client.ask("GET", "/metrics")).body.decode()
        assert value(metrics, 'sluice_carrier_parts_accepted_total{carrier="c"}') == 2
        assert value(metrics, 'sluice_carrier_up{carrier="c"}') == 1
        assert value(metrics, 'sluice_carrier_queue_parts{carrier="c"}') == 0
        assert value(metrics, 'sluice_bind_window_max{bind="1",carrier="c"}') == 100
        assert value(metrics, "sluice_receipts_parked") == 0
        assert value(metrics, "sluice_accept_seconds_count") == 1
        assert value(metrics, "sluice_receipt_seconds_count") == 1
        assert value(metrics, 'sluice_commit_seconds{quantile="0.5"}') > 0
        assert 'sluice_carrier_limited_by{by="window",carrier="c"}' in metrics
        assert "8613700000002" not in metrics and PASSWORD not in metrics
        await trio.aclose_forcefully(client.stream)


async def test_health_fails_while_the_daemon_drains(tmp_path: Path) -> None:
    settings = config(http=HTTP)
    async with world(tmp_path, settings=settings, carriers={}) as gateway:
        client = Client(await trio.open_tcp_stream(*gateway.daemon.addresses["http"]))
        assert (await client.ask("GET", "/healthz")).status == 200
        gateway.core.draining = True
        reply = await client.ask("GET", "/healthz")
        assert (reply.status, reply.json["status"]) == (503, "failing")
        gateway.core.draining = False
        await trio.aclose_forcefully(client.stream)
