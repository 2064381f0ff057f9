"""/metrics and /healthz tell what the daemon knows, in the format that Prometheus reads, and nothing secret."""

from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from gateway.health import STUCK_S, Health
from gateway.latency import Latency
from tests.api.world import TO, World, delivering, running
from tests.gateway.http_client import Client


async def scrape(world: World) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels."""
    api = await world.connect()
    reply = await api.client.ask("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


async def test_what_happened_is_counted(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        sent = await api.send()
        await api.post("/v1/messages", {"to": "rubbish", "text": "x"})
        await api.until(f"/v1/messages/{sent['id']}", status="delivered")
        found = await scrape(world)
        carrier = (("carrier", "carrier"),)
        assert found["sluice_carrier_up", carrier] == 1
        assert found["sluice_carrier_parts_sent_total", carrier] == 1
        assert found["sluice_carrier_parts_accepted_total", carrier] == 1
        assert found["sluice_carrier_receipts_total", carrier] == 1
        assert found["sluice_carrier_adaptive_factor", carrier] == 1
        assert found["sluice_bind_window_max", (("bind", "1"), *carrier)] == 100
        assert found["sluice_bind_state", (("bind", "1"), *carrier, ("state", "bound_trx"))] == 1
        limits = {
            key[1][0][1]: value for key, value in found.items() if key[0] == "sluice_carrier_limited_by"
        }
        assert sum(limits.values()) == limits["nothing to send"] == 1
        assert found["sluice_accounts_accepted_total", ()] == 1
        assert found["sluice_accounts_refused_total", (("reason", "invalid-number"),)] == 1
        assert found["sluice_commit_parts_total", ()] == 1
        assert found["sluice_commit_seconds", (("quantile", "0.99"),)] > 0
        assert found["sluice_disk_ok", ()] == 1
        assert found["sluice_receipts_parked", ()] == 0
        assert found["sluice_http_connections", ()] >= 1
        route = ("route", "/v1/messages")
        assert found["sluice_http_responses_total", (route, ("status", "202"))] == 1
        assert found["sluice_http_responses_total", (route, ("status", "422"))] == 1
        assert found["sluice_http_accept_seconds_count", ()] == 1
        assert found["process_resident_memory_bytes", ()] > 1_000_000
        assert found["process_cpu_seconds_total", ()] > 0


async def test_metrics_name_no_number_text_or_account(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await api.send(text="a text that is nobody's business")
        body = (await api.client.ask("GET", "/metrics")).body
        for secret in (TO[1:], "nobody's business", "acme", "1069"):
            assert secret.encode() not in body


async def health(client: Client) -> tuple[int, str, list[str]]:
    reply = await client.ask("GET", "/healthz")
    return reply.status, reply.json["status"], reply.json["reasons"]


async def test_health_says_why(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        client = (await world.connect()).client
        with trio.fail_after(5):
            while (await health(client))[1] != "ok":
                await trio.sleep(0.01)
        await world.apply({"carrier": [{"name": "carrier", "state": "paused"}]})
        assert await health(client) == (200, "ok", [])
        world.core.disk = "critical"
        assert await health(client) == (
            503,
            "failing",
            ["disk critical: no new messages are taken until there is room"],
        )
        world.core.disk = "ok"
        world.core.draining = True
        assert (await health(client))[:2] == (503, "failing")
        world.core.draining = False


async def test_health_without_a_carrier_is_degraded(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        status, word, reasons = await health((await world.connect()).client)
        assert (status, word) == (200, "degraded")
        assert "no carrier is up" in reasons[0]


async def test_health_sees_a_store_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as world:
        core = world.core
        watch = Health(core)
        now = core.clock.now()
        figures = core.committer.statistics()
        stuck = type(figures)(*(getattr(figures, name) for name in figures.__struct_fields__))
        monkeypatch.setattr(core.committer, "statistics", lambda: stuck)
        watch.tick(now)
        assert watch.report().status != "failing"
        waiting = type(figures)(stuck.rounds, stuck.parts, 3, 0, 0.0)
        monkeypatch.setattr(core.committer, "statistics", lambda: waiting)
        watch.tick(now + 1)
        monkeypatch.setattr(type(core.clock), "now", lambda self: now + STUCK_S + 2)
        watch.tick(now + STUCK_S + 2)
        report = watch.report()
        assert report.status == "failing"
        assert "has not answered" in report.reasons[0]


def test_a_histogram_counts_every_value_once() -> None:
    latency = Latency((1.0, 10.0, 100.0))
    for ms in (0.5, 1.0, 1.1, 10.0, 99.0, 1000.0):
        latency.observe(ms)
    latency.observe(5.0, 4)
    assert latency.counts == [2, 6, 1, 1]
    assert (latency.count, latency.sum_ms) == (10, 0.5 + 1 + 1.1 + 10 + 99 + 1000 + 20)
    assert (latency.quantile(0.2), latency.quantile(0.5), latency.quantile(0.9)) == (1.0, 10.0, 100.0)
    assert latency.quantile(1.0) == float("inf")
    assert Latency().quantile(0.5) == 0.0
