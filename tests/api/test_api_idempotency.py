"""Idempotency keys: the same request twice is one message, across restarts and crashes."""

from pathlib import Path

import pytest
import trio

from gateway.api import ids
from gateway.api.idempotency import KEEP_MS
from store.api_db import ApiChanges, ApiStore, KeyRow
from tests.api.test_api_webhooks import ALLOWED, MANAGER, WITH_KEYS
from tests.api.world import OTHER_KEY, TO, Api, running
from tests.gateway.http_client import Reply

BODY = {"to": TO, "text": "x"}


async def once(api: Api, key: str = "k-1", body: object = BODY, path: str = "/v1/messages") -> Reply:
    return await api.post(path, body, Idempotency_Key=key)


async def test_the_same_request_twice_is_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        first, second = await once(api), await once(api)
        assert (first.status, first.body) == (second.status, second.body)
        assert second.headers["idempotency-replayed"] == "true"
        assert second.headers["location"] == first.headers["location"]
        assert "idempotency-replayed" not in first.headers
        assert len((await api.get("/v1/messages"))["data"]) == 1
        assert (await once(other)).json["id"] != first.json["id"]


async def test_a_key_outlives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        first = await once(await world.connect())
    async with running(tmp_path) as world:
        second = await once(await world.connect())
        assert second.body == first.body
        assert second.headers["idempotency-replayed"] == "true"


async def test_a_key_is_for_one_request_only(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await once(api)
        for body, path in (({"to": TO, "text": "y"}, "/v1/messages"), (BODY, "/v1/messages?")):
            reply = await once(api, body=body, path=path)
            assert (reply.status, reply.json["code"]) == (422, "idempotency-mismatch")


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"to": TO, "text": "y"}),
        ("/v1/messages", b'{"to": "%b", "text": "x" }' % TO.encode()),
        ("/v1/messages?", BODY),
        ("/v1/batches", {"defaults": {"text": "x"}, "recipients": [TO]}),
    ],
    ids=["another text", "another space", "another target", "another operation"],
)
async def test_a_key_with_another_request_is_a_mismatch(
    path: str, body: object, restarted: bool, tmp_path: Path
) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await once(api)
        if not restarted:
            await mismatch(api, path, body)
    if restarted:
        async with running(tmp_path) as world:
            await mismatch(await world.connect(), path, body)


async def mismatch(api: Api, path: str, body: object) -> None:
    reply = await once(api, body=body, path=path)
    assert (reply.status, reply.json["code"], "retryable" in reply.json) == (
        422,
        "idempotency-mismatch",
        False,
    )
    assert len((await api.get("/v1/messages"))["data"]) == 1
    assert (await once(api)).headers["idempotency-replayed"] == "true"


async def test_of_other_bodies_at_once_one_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        clients = [await world.connect() for _ in range(8)]
        for number, api in enumerate(clients):
            body = {"to": TO, "text": f"text {number}"}
            await api.client.send(api.octets("POST", "/v1/messages", body, Idempotency_Key="k"))
        statuses = sorted([(await api.client.reply()).status for api in clients])
        assert statuses[0] == 202 and set(statuses[1:]) <= {409, 422}
        assert len((await clients[0].get("/v1/messages"))["data"]) == 1


async def test_a_refused_request_does_not_use_its_key_up(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        assert (await once(api, body={"to": TO})).status == 422
        assert (await once(api, body={"to": TO, "text": "赌博"})).status == 422
        assert (await once(api)).status == 202


async def test_two_at_once_are_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        clients = [await world.connect() for _ in range(8)]
        for api in clients:
            await api.client.send(api.octets("POST", "/v1/messages", BODY, Idempotency_Key="k"))
        replies = [await api.client.reply() for api in clients]
        assert {reply.status for reply in replies} <= {202, 409}
        assert len({reply.body for reply in replies if reply.status == 202}) == 1
        refused = [reply for reply in replies if reply.status == 409]
        assert all(reply.json["code"] == "idempotency-in-progress" for reply in refused)
        assert all(reply.headers["retry-after"] == "1" for reply in refused)
        assert len((await clients[0].get("/v1/messages"))["data"]) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel"])
async def test_a_key_is_visible_ascii(key: str, tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await once(await world.connect(), key)
        assert (reply.status, reply.json["errors"][0]["code"]) == (422, "bad-idempotency-key")


async def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        first = await once(api)
        clock = world.core.clock
        later = clock.wall_ms() + KEEP_MS + 1
        world.front.server.clock.wall_ms = lambda: later  # type: ignore[method-assign]
        assert (await once(api)).json["id"] != first.json["id"]


async def crashed(tmp_path: Path, *, stored: bool) -> tuple[str, str]:
    """A key whose message was (or was not) stored, and whose answer was not; the ids of before and after."""
    async with running(tmp_path) as world:
        api = await world.connect()
        first = await once(api)
        account = world.core.accounts_by_system_id["api:acme"].id
        row = (await world.front.ledger.read(lambda s: s.find_keys([(account, "k-1")])))[(account, "k-1")]
    with ApiStore.open(tmp_path) as store:
        subject = row.subject if stored else row.subject + 1000
        store.apply(ApiChanges(keys=[KeyRow(account, "k-1", row.fingerprint, row.created_at, subject)]))
    async with running(tmp_path) as world:
        second = await once(await world.connect())
        assert second.status == 202
        return first.json["id"], second.json["id"]


async def test_a_message_that_was_stored_before_a_crash_is_answered_again(tmp_path: Path) -> None:
    before, after = await crashed(tmp_path, stored=True)
    assert before == after


async def test_a_message_that_never_was_is_made_after_a_crash(tmp_path: Path) -> None:
    before, after = await crashed(tmp_path, stored=False)
    assert before != after


async def test_a_full_disk_refuses_the_message_with_its_key(tmp_path: Path) -> None:
    from store.api_db import ApiFull

    async with running(tmp_path) as world:
        api = await world.connect()
        apply = world.front.store.apply

        def full(changes: ApiChanges) -> None:
            raise ApiFull("the disk is full")

        world.front.store.apply = full  # type: ignore[method-assign]
        assert (await once(api)).status == 503
        assert world.core.quota.balances[1].reserved == 0
        world.front.store.apply = apply  # type: ignore[method-assign]
        assert (await once(api)).status == 202


async def test_old_rows_are_purged(tmp_path: Path) -> None:
    with ApiStore.open(tmp_path) as store:
        store.apply(
            ApiChanges(
                keys=[KeyRow(1, f"k{n}", b"", 1000 + n, 5) for n in range(10)],
                references=[(1, "r", n) for n in range(10)],
            )
        )
        assert not store.purge(keys_before_ms=1005, messages_before=4)
        assert len(store.find_keys([(1, f"k{n}") for n in range(10)])) == 5
        assert store.messages_by_reference(1, "r", 100, 100) == [9, 8, 7, 6, 5, 4]
    await trio.lowlevel.checkpoint()


def test_ids_sort_as_they_were_minted() -> None:
    numbers = [0, 1, 31, 32, 1 << 30, (1 << 63) - 1]
    shown = [ids.show("msg", number) for number in numbers]
    assert shown == sorted(shown)
    assert [ids.read("msg", text) for text in shown] == numbers
    assert {len(text) for text in shown} == {17}
    for wrong in (
        "",
        "msg_",
        "bat_0000000000000",
        "msg_000000000000U",
        "msg_00000000000000",
        "msg_Z000000000000",
    ):
        assert ids.read("msg", wrong) == 0
    assert ids.read("msg", "1234567890123456789") == 1234567890123456789
    assert ids.read("msg", shown[4].lower()) == 1 << 30


async def test_a_post_that_sends_nothing_takes_a_key_as_well(tmp_path: Path) -> None:
    """A repeated rotation would throw away the secret that the first answer told."""
    async with running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world:
        api = await world.connect(MANAGER)
        body = {"name": "crm", "url": "http://127.0.0.1:9/sms"}
        added = await once(api, "a", body, "/v1/webhooks")
        assert added.status == 201
        path = added.headers["location"] + "/rotate"
        rotated = await once(api, "b", {}, path)
    async with running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world:
        api = await world.connect(MANAGER)
        for first, again in (
            (added, await once(api, "a", body, "/v1/webhooks")),
            (rotated, await once(api, "b", {}, path)),
        ):
            assert (again.status, again.body) == (first.status, first.body)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.headers.get("location") == first.headers.get("location")
        assert len((await api.get("/v1/webhooks"))["data"]) == 1
        [webhook] = world.core.directory.webhooks.values()
        assert webhook.secrets[0] == rotated.json["secret"]
        mismatch = await once(api, "b", {"overlap": "PT1H"}, path)
        assert (mismatch.status, mismatch.json["code"]) == (422, "idempotency-mismatch")
        refused = await once(api, "c", {"overlap": "P30D"}, path)
        assert refused.status == 422
        assert (await once(api, "c", {}, path)).status == 200  # a refusal uses no key up
    held = b"".join(file.read_bytes() for file in tmp_path.glob("api.db*"))
    for answer in (added, rotated):
        assert answer.json["secret"].encode() not in held


async def test_a_repeated_estimate_or_cancel_is_answered_alike(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        estimate = await once(api, "e", BODY, "/v1/estimate")
        assert estimate.status == 200
        assert (await once(api, "e", BODY, "/v1/estimate")).body == estimate.body
        batch = (await api.post("/v1/batches", {"defaults": {"text": "x"}, "recipients": [TO]})).json["id"]
        cancelled = await once(api, "f", None, f"/v1/batches/{batch}/cancel")
        assert cancelled.json == {"cancelled": 1, "not_cancelled": 0}
        again = await once(api, "f", None, f"/v1/batches/{batch}/cancel")
        assert (again.json, again.headers["idempotency-replayed"]) == (cancelled.json, "true")
