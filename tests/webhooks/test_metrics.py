"""What /metrics tells of webhooks."""

from pathlib import Path

from tests.api.test_api_webhooks import ALLOWED, MANAGER, WITH_KEYS, added, receiving, until
from tests.api.world import KEY, bound, delivering


async def test_metrics_count_requests_events_and_endpoints(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        manager = await world.connect(MANAGER)
        path, _ = await added(manager, url=url)
        api = await world.connect(KEY)
        for _ in range(3):
            await api.send()
        await until(lambda: sum(len(posted.seqs) for posted in receiver.posted) == 3)
        await manager.until(path, delivered=3)
        await manager.ask("PATCH", path, {"state": "paused"})
        text = (await api.client.ask("GET", "/metrics")).body.decode()
        assert "sluice_webhook_events_delivered_total 3.0" in text
        assert f'sluice_webhook_requests_total{{result="taken"}} {len(receiver.posted)}.0' in text
        assert 'sluice_webhook_endpoints{state="paused"} 1.0' in text
        assert 'sluice_webhook_endpoints{state="active"} 0.0' in text
        assert "sluice_webhook_dead_letters_total 0.0" in text
