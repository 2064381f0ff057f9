"""Rates: the account's, which all its keys share, and a key's own; the headers tell of the tighter one."""

from pathlib import Path
from typing import Any

from gateway.ratelimit import TokenBucket
from tests.api.world import DOCUMENT, KEY, TO, Api, running
from tests.stream.client import Stream

SLOW_KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_slow-key-of-acme"
LONG = "long " * 60  # two parts


def document(*, account: int, key: int, burst: int = 0) -> dict[str, Any]:
    own = {"user": "acme", "key": SLOW_KEY, "rate": key, "burst": burst}
    accounts = [
        {**one, "rate": account} if one["system_id"] == "api:acme" else one for one in DOCUMENT["account"]
    ]
    return {**DOCUMENT, "account": accounts, "api_key": [*DOCUMENT["api_key"], own]}


async def ask(api: Api, text: str = "x") -> Any:
    return await api.post("/v1/messages", {"to": TO, "text": text})


async def test_a_key_has_a_rate_of_its_own_within_its_accounts(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=50, key=5)) as world:
        slow, fast = await world.connect(SLOW_KEY), await world.connect(KEY)
        replies = [await ask(slow) for _ in range(8)]
        assert [reply.status for reply in replies[:5]] == [202] * 5
        refused = next(reply for reply in replies if reply.status == 429)
        assert refused.json["detail"].startswith("The key may send 5 parts a second.")
        assert int(refused.headers["retry-after"]) >= 1
        assert replies[0].headers["ratelimit-policy"] == '"submit";q=5;w=1'
        assert replies[0].headers["ratelimit"].startswith('"submit";r=4;')
        answer = await ask(fast)
        assert answer.status == 202
        assert answer.headers["ratelimit-policy"] == '"submit";q=50;w=1'


async def test_what_a_key_may_not_send_is_not_taken_from_its_account(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=20, key=1)) as world:
        slow, fast = await world.connect(SLOW_KEY), await world.connect(KEY)
        for _ in range(40):
            await ask(slow)
        assert [(await ask(fast)).status for _ in range(10)] == [202] * 10


async def test_an_exhausted_account_is_the_tighter_one(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=4, key=2, burst=100)) as world:
        slow, fast = await world.connect(SLOW_KEY), await world.connect(KEY)
        for _ in range(4):
            await ask(fast)
        refused = await ask(slow)
        if refused.status == 202:  # a token came back meanwhile
            refused = await ask(slow)
        assert refused.status == 429
        assert refused.json["detail"].startswith("The account may send 4 parts a second.")
        assert refused.headers["ratelimit-policy"] == '"submit";q=4;w=1'


async def test_all_parts_of_a_long_message_count(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=0, key=4)) as world:
        slow = await world.connect(SLOW_KEY)
        assert (await ask(slow, LONG)).headers["ratelimit"].startswith('"submit";r=2;')
        assert (await ask(slow, LONG)).headers["ratelimit"].startswith('"submit";r=0;')
        assert (await ask(slow)).status == 429


async def test_a_batch_waits_for_its_keys_rate_or_is_refused_where_that_is_long(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=1000, key=100, burst=10)) as world:
        slow = await world.connect(SLOW_KEY)
        body = {"defaults": {"text": "x"}, "recipients": [TO] * 30}
        before = world.core.clock.now()
        assert (await slow.post("/v1/batches", body)).json["accepted"] == 30
        assert world.core.clock.now() - before >= 0.15
        refused = await slow.post("/v1/batches", {**body, "recipients": [TO] * 2000})
        assert (refused.status, refused.json["code"]) == (429, "rate-limited")


async def test_the_stream_keeps_the_keys_rate(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=0, key=2)) as world:
        async with await Stream.connect(world, SLOW_KEY) as stream:
            answers = [await stream.submit(f"a{number}") for number in range(4)]
        assert [answer["op"] for answer in answers] == ["ack", "ack", "nack", "nack"]
        assert answers[3]["problem"]["code"] == "rate-limited"


async def test_other_changes_of_the_configuration_do_not_fill_the_bucket(tmp_path: Path) -> None:
    async with running(tmp_path, document=document(account=0, key=3)) as world:
        slow = await world.connect(SLOW_KEY)
        for _ in range(3):
            assert (await ask(slow)).status == 202
        await world.apply({"word": [{"text": "另一个", "action": "mask"}]})
        assert (await ask(slow)).status == 429


def test_left_is_what_may_pass_now() -> None:
    bucket = TokenBucket(10, 20, 0.0)
    assert bucket.take(20, 0.0) == 20
    bucket.owe(5, 0.0)
    assert (bucket.left(0.0), bucket.left(1.0), bucket.left(100.0)) == (0, 5, 20)
