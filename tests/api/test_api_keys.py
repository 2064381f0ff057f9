"""API keys: who may do what from where, until when; strangers learn nothing and are slowed down."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.api.world import KEY, OTHER_KEY, TO, Api, World, running

BODY = {"to": TO, "text": "x"}


def key_entry(**settings: Any) -> dict[str, Any]:
    return {"api_key": [{"user": "acme", "key": KEY, **settings}]}


async def statuses(api: Api) -> list[int]:
    return [
        (await api.post("/v1/messages", BODY)).status,
        (await api.ask("GET", "/v1/balance")).status,
        (await api.ask("GET", "/v1/inbound")).status,
    ]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["send"], [202, 403, 403]),
        (["read"], [403, 200, 403]),
        (["inbound"], [403, 403, 200]),
        ([], [403] * 3),
    ],
)
async def test_a_key_may_do_what_its_scopes_say(
    scopes: list[str], expected: list[int], tmp_path: Path
) -> None:
    async with running(tmp_path) as world:
        await world.apply(key_entry(scopes=scopes))
        assert await statuses(await world.connect()) == expected


async def test_requests_without_a_valid_key_are_challenged(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect("gw_live_wrong-but-long-enough")
        reply = await api.post("/v1/messages", BODY)
        assert (reply.status, reply.json["code"]) == (401, "unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer")
        for value in (f"Basic {KEY}", KEY, f"Bearer {KEY[:-1]}", "Bearer", "Bearer  ", "Bearer \x80"):
            assert (
                await api.client.ask("GET", "/v1/balance", Authorization=value.encode().decode("latin-1"))
            ).status == 401
        assert (await api.client.ask("GET", "/v1/balance")).status == 401
        assert (await api.client.ask("GET", "/v1/balance", Authorization=f"bearer  {KEY}")).status == 200
        twice = f"GET /v1/balance HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n" * 1
        await api.client.send((twice + f"Authorization: Bearer {KEY}\r\n\r\n").encode())
        assert (await api.client.reply()).status == 401


async def test_a_key_works_from_its_addresses_only(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply(key_entry(allow=["10.0.0.0/8"]))
        assert await statuses(await world.connect()) == [401, 401, 401]
        await world.apply(key_entry(allow=["127.0.0.0/8"]))
        assert await statuses(await world.connect()) == [202, 200, 200]
        await world.apply({"account": [{"system_id": "api:acme", "allow": ["10.0.0.0/8"]}]})
        assert await statuses(await world.connect()) == [401, 401, 401]


async def test_a_key_ends_when_it_expires_is_disabled_or_revoked(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        assert await statuses(api) == [202, 200, 200]
        await world.apply(key_entry(expires=datetime.now(UTC).isoformat()))
        assert await statuses(api) == [401, 401, 401]
        await world.apply(key_entry(expires="2999-01-01T00:00:00+08:00"))
        assert await statuses(api) == [202, 200, 200]
        await world.apply(key_entry(state="disabled"))
        assert await statuses(api) == [401, 401, 401]
        await world.apply(key_entry(state="active"))
        await world.apply({"user": [{"login": "acme", "state": "disabled"}]})
        assert await statuses(api) == [403, 403, 403]
        await world.apply({"user": [{"login": "acme", "state": "active"}]})
        await world.apply(key_entry(remove=True))
        assert await statuses(api) == [401, 401, 401]


async def test_two_keys_of_an_account_see_the_same(tmp_path: Path) -> None:
    successor = "gw_live_successor-of-the-old-key-of-acme"
    async with running(tmp_path) as world:
        await world.apply({"api_key": [{"user": "acme", "key": successor}]})
        old, new = await world.connect(), await world.connect(successor)
        sent = await old.send()
        assert (await new.get(f"/v1/messages/{sent['id']}"))["id"] == sent["id"]
        await world.apply(key_entry(remove=True))
        assert (await old.post("/v1/messages", BODY)).status == 401
        await new.send()


async def test_guessing_is_slowed_down_and_valid_keys_are_not(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        stranger, api = await world.connect("gw_live_guess-guess-guess-guess"), await world.connect()
        answers = [(await stranger.ask("GET", "/v1/balance")).status for _ in range(30)]
        assert answers == [401] * 20 + [429] * 10
        assert (await api.ask("GET", "/v1/balance")).status == 200


async def test_metrics_ask_for_a_key_where_they_are_not_public(tmp_path: Path) -> None:
    async with running(tmp_path, http={"metrics_public": False}) as world:
        api = await world.connect(OTHER_KEY)
        assert (await api.client.ask("GET", "/metrics")).status == 401
        assert (await api.ask("GET", "/metrics")).status == 200
        assert (await api.client.ask("GET", "/healthz")).status == 200


async def test_no_key_is_kept_anywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await (await world.connect()).send()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if b"secret-of-acme" in path.read_bytes()]
        assert isinstance(world, World)
