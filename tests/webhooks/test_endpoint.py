"""An endpoint at work: what is posted, what becomes of it when it is not taken, and what a restart finds."""

from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from gateway.events.shapes import INBOUND, STATUS
from gateway.webhooks.attempts import SCHEDULE_S
from gateway.webhooks.lane import FAILURES_TO_OPEN
from store import webhook_rows
from tests.webhooks.world import (
    OTHER_SECRET,
    PUBLIC,
    SECRET,
    TAKEN,
    Posted,
    World,
    hook,
    status_line,
    until,
    world,
)

Clock = trio.testing.MockClock
CALLBACKS = hook("", hosts=("*.example",))


def rows(w: World, webhook: int = 3) -> list[webhook_rows.DeliveryRow]:
    """Deliveries that wait for another attempt, whenever."""
    return webhook_rows.due(webhook, 1 << 60, 1000, (), w.store)


def dead(w: World, webhook: int = 3) -> list[webhook_rows.DeliveryRow]:
    return webhook_rows.dead(webhook, 1 << 60, 1000, w.store)


async def test_events_come_signed_in_order_and_in_hundreds(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        w.log.add(250)
        async with w.running(hook(concurrency=1)) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        assert [len(posted.seqs) for posted in w.receiver.posted] == [100, 100, 50]
        assert w.receiver.seqs() == [event.seq for event in w.log.events]
        for posted in w.receiver.posted:
            body = Verifier(SECRET).verify(posted.body, posted.headers)
            assert body["type"] == STATUS
            assert body["timestamp"] == body["data"][-1]["at"]
            with pytest.raises(WebhookVerificationError):
                Verifier(OTHER_SECRET).verify(posted.body, posted.headers)
            with pytest.raises(WebhookVerificationError):
                Verifier(SECRET).verify(posted.body.replace(b"delivered", b"forgeries"), posted.headers)
        assert len({posted.headers["webhook-id"] for posted in w.receiver.posted}) == 3


async def test_both_secrets_sign_during_a_rotation_and_one_afterwards(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        until_ms = w.clock.wall_ms() + 60_000
        both = hook(overlap_until=until_ms)
        both = type(both)(
            **{n: getattr(both, n) for n in both.__struct_fields__} | {"secrets": (OTHER_SECRET, SECRET)}
        )
        async with w.running(both) as endpoint:
            w.log.add()
            await until(lambda: endpoint.position == w.log.head)
            await trio.sleep(60)
            w.log.add()
            await until(lambda: endpoint.position == w.log.head)
        first, second = w.receiver.posted
        for secret in (SECRET, OTHER_SECRET):
            assert Verifier(secret).verify(first.body, first.headers)
        assert Verifier(OTHER_SECRET).verify(second.body, second.headers)
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(second.body, second.headers)


async def test_one_request_holds_events_of_one_type(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        for _ in range(5):
            w.log.add(1, STATUS)
            w.log.add(1, INBOUND)
        async with w.running(hook()) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        assert sorted((posted.json["type"], len(posted.seqs)) for posted in w.receiver.posted) == [
            (INBOUND, 5),
            (STATUS, 5),
        ]


async def test_only_the_types_that_were_asked_for_are_posted(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        w.log.add(150, STATUS)
        w.log.add(1, INBOUND)
        async with w.running(hook(events=(INBOUND,))) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        assert w.receiver.seqs() == [w.log.head]


async def test_a_failed_delivery_follows_the_schedule_with_one_id_and_dies(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(500))
        w.log.add(3)
        async with w.running(hook()) as endpoint:
            await until(lambda: bool(dead(w)))
            await trio.sleep(200_000)
            assert endpoint.counts.dead == 1
        posted = w.receiver.posted
        assert len(posted) == len(SCHEDULE_S)
        gaps = [b.at - a.at for a, b in pairwise(posted)]
        for gap, planned in zip(gaps, SCHEDULE_S[1:], strict=True):
            assert planned * 0.9 - 1 <= gap <= planned * 1.1 + 1
        assert gaps != list(SCHEDULE_S[1:])  # jitter
        assert len({p.headers["webhook-id"] for p in posted}) == 1
        assert len({p.body for p in posted}) == 1
        assert len({p.headers["webhook-timestamp"] for p in posted}) == len(posted)
        (letter,) = dead(w)
        assert (letter.events, letter.attempts, letter.status) == (3, 10, 500)
        assert letter.error == "The receiver answered 500."


async def test_later_events_do_not_wait_for_a_failed_one(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(500), TAKEN)
        w.log.add()
        first = w.log.head
        async with w.running(hook()) as endpoint:
            await until(lambda: len(w.receiver.posted) == 1)
            w.log.add()
            await until(lambda: len(w.receiver.posted) == 3)
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        assert w.receiver.seqs() == [first, w.log.head, first]


async def test_a_restart_in_the_middle_of_retries_goes_on_where_it_was(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(503))
        w.log.add(2)
        async with w.running(hook()):
            await until(lambda: len(w.receiver.posted) == 3)
            await until(lambda: [row.attempts for row in rows(w)] == [3])
        (row,) = rows(w)
        stopped = trio.current_time()
        await trio.sleep(100)
        w.receiver.answers(TAKEN)
        async with w.running(hook(), position=w.log.head):
            await until(lambda: not rows(w))
        last = w.receiver.posted[-1]
        assert len(w.receiver.posted) == 4
        assert last.at - stopped == pytest.approx(SCHEDULE_S[3], rel=0.11)
        assert last.body == w.receiver.posted[0].body
        assert last.headers["webhook-id"] == w.receiver.posted[0].headers["webhook-id"]
        assert row.first == w.log.events[0].seq


async def test_what_was_on_its_way_at_a_crash_is_posted_again_under_its_id(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:

        async def hang(posted: Posted) -> bytes:
            await trio.sleep(10)
            return TAKEN

        w.receiver.answer = hang
        w.log.add(5)
        async with w.running(hook()) as endpoint:
            await until(lambda: len(w.receiver.posted) == 1)
            assert endpoint.position == 0
        w.receiver.answer = w.receiver.take
        async with w.running(hook(), endpoint.position) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        a, b = w.receiver.posted
        assert (a.body, a.headers["webhook-id"]) == (b.body, b.headers["webhook-id"])


async def test_windows_that_end_out_of_order_move_the_position_in_order(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.log.add(300)
        slow = w.log.events[0].seq

        async def first_is_slow(posted: Posted) -> bytes:
            if posted.seqs[0] == slow:
                await trio.sleep(10)
            return TAKEN

        w.receiver.answer = first_is_slow
        async with w.running(hook(concurrency=3)) as endpoint:
            await until(lambda: len(w.receiver.posted) == 3)
            await trio.sleep(5)
            assert endpoint.position == 0
            await until(lambda: endpoint.position == w.log.head, 20)


async def test_410_ends_the_endpoint_and_keeps_what_it_did_not_take(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(410))
        w.log.add()
        async with w.running(hook()) as endpoint:
            await until(lambda: bool(w.gone))
            endpoint.apply(hook(state="gone"))
            w.log.add(5)
            await trio.sleep(100_000)
            assert len(w.receiver.posted) == 1
            w.receiver.answers(TAKEN)
            endpoint.apply(hook())
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        assert set(w.receiver.seqs()) == {event.seq for event in w.log.events}


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_a_plea_to_slow_down_is_heard_with_its_retry_after(
    status: int, tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(status, retry_after="600"), TAKEN)
        w.log.add()
        async with w.running(hook()) as endpoint:
            await until(lambda: len(w.receiver.posted) == 1)
            assert endpoint.circuit == "slow"
            w.log.add(500)
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        begin, *rest = (posted.at for posted in w.receiver.posted)
        assert rest[0] - begin >= 600
        assert len(rest) == 6


async def test_a_dead_receiver_is_asked_ever_more_rarely_and_its_log_is_not_read(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.refuses = True
        w.log.add(5_000)
        async with w.running(hook()) as endpoint:
            await until(lambda: endpoint.circuit == "open")
            readings, tries = w.log.readings, len(w.receiver.connected)
            await trio.sleep(3_600)
            assert len(w.receiver.connected) - tries <= 30
            assert w.log.readings - readings <= 60
            w.receiver.refuses = False
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        assert set(w.receiver.seqs()) == {event.seq for event in w.log.events}
        assert FAILURES_TO_OPEN <= tries <= 12


async def test_a_hanging_receiver_holds_no_more_than_its_places(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        running = most = 0

        async def hang(posted: Posted) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await trio.sleep(14)
            finally:
                running -= 1
            return TAKEN

        w.receiver.answer = hang
        w.log.add(2_000)
        async with w.running(hook(concurrency=2)) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        assert most == 2


async def test_a_paused_endpoint_waits_and_loses_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        async with w.running(hook(state="paused")) as endpoint:
            w.log.add(10)
            await trio.sleep(100_000)
            assert not w.receiver.posted
            endpoint.apply(hook())
            await until(lambda: endpoint.position == w.log.head)
        assert w.receiver.seqs() == [event.seq for event in w.log.events]


async def test_few_events_wait_a_moment_for_company_and_no_longer(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w, w.running(hook()) as endpoint:
        began = trio.current_time()
        for _ in range(100):
            w.log.add(2)
            await trio.sleep(0.01)
        await until(lambda: endpoint.position == w.log.head, 1)
        assert len(w.receiver.posted) <= 30
        assert w.receiver.posted[0].at - began <= 0.06


async def test_events_that_are_no_longer_kept_become_a_dead_letter(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(500), TAKEN)
        w.log.add()
        async with w.running(hook()):
            await until(lambda: bool(rows(w)))
            w.log.events.clear()
            await until(lambda: bool(dead(w)))
        assert dead(w)[0].error == "The events are no longer kept."


async def test_a_changed_url_is_used_at_once_and_old_connections_are_not(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.names["old.example"], w.names["new.example"] = [[ip_address(PUBLIC)]], [[ip_address("8.8.8.8")]]
        w.receiver.answers(TAKEN, TAKEN, status_line(500))
        async with w.running(hook("http://old.example/")) as endpoint:
            for _ in range(3):  # a connection is kept, and a delivery waits for its next attempt
                w.log.add()
                await until(lambda: endpoint.position == w.log.head)
            for _ in range(10):
                endpoint.apply(hook("http://new.example/"))
            w.receiver.answers(TAKEN)
            before = len(w.receiver.posted)
            w.log.add()
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        for posted in w.receiver.posted[before:]:
            assert (posted.headers["host"], posted.address) == ("new.example", "8.8.8.8")
        assert set(w.receiver.seqs()) == {event.seq for event in w.log.events}


async def test_a_url_that_changes_while_a_place_is_waited_for_takes_its_own_connection(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:

        async def slow(posted: Posted) -> bytes:
            await trio.sleep(5)
            return TAKEN

        w.receiver.answer = slow
        w.names["new.example"] = [[ip_address("8.8.8.8")]]
        w.log.add(1, STATUS)
        w.log.add(1, INBOUND)  # two deliveries of one window, and one place
        async with w.running(hook("http://old.example/", concurrency=1)) as endpoint:
            await until(lambda: len(w.receiver.posted) == 1)
            endpoint.apply(hook("http://new.example/", concurrency=1))
            await until(lambda: endpoint.position == w.log.head and not rows(w))
        old, new = w.receiver.posted
        assert (old.headers["host"], old.address) == ("old.example", PUBLIC)
        assert (new.headers["host"], new.address) == ("new.example", "8.8.8.8")


async def test_receivers_beyond_the_bound_are_forgotten_with_their_connections(
    tmp_path: Path, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.webhooks.endpoint.LANES_MAX", 5)
    async with world(tmp_path) as w:
        for number in range(30):
            w.log.add(1, callback_url=f"http://h{number}.example/")
        async with w.running(CALLBACKS) as endpoint:
            await until(lambda: endpoint.position == w.log.head and not rows(w))
            w.log.add(1, callback_url="http://last.example/")
            await until(lambda: len(w.receiver.posted) == 31)
            await trio.sleep(30)
            assert w.receiver.open <= 6
            await endpoint.close_idle()
            await trio.sleep(1)
            assert w.receiver.open == 0


# -- URLs of messages -----------------------------------------------------------------------------


async def test_messages_that_name_urls_are_told_of_there_and_others_nowhere(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.log.add(2, callback_url="http://a.example/1")
        w.log.add(2)
        w.log.add(1, callback_url="http://b.example/2")
        w.log.add(1, callback_url="http://evil.test/")
        async with w.running(CALLBACKS) as endpoint:
            await until(lambda: endpoint.position == w.log.head)
        told = {(p.headers["host"], p.path): p for p in w.receiver.posted}
        assert {key: len(posted.seqs) for key, posted in told.items()} == {
            ("a.example", "/1"): 2,
            ("b.example", "/2"): 1,
        }
        for posted in told.values():
            Verifier(SECRET).verify(posted.body, posted.headers)
        (letter,) = dead(w)
        assert "not one of the hosts" in letter.error


async def test_a_dead_url_does_not_hold_up_another(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:

        async def one_hangs(posted: Posted) -> bytes:
            if posted.headers["host"] == "dead.example":
                await trio.sleep(1e6)
            return TAKEN

        w.receiver.answer = one_hangs
        async with w.running(CALLBACKS) as endpoint:
            for _ in range(20):
                w.log.add(1, callback_url="http://dead.example/")
                w.log.add(1, callback_url="http://alive.example/")
                began = trio.current_time()
                count = sum(p.headers["host"] == "alive.example" for p in w.receiver.posted)
                await until(
                    lambda count=count: (
                        sum(p.headers["host"] == "alive.example" for p in w.receiver.posted) > count
                    )  # type: ignore[misc]
                )
                assert trio.current_time() - began < 1
            await until(lambda: endpoint.circuit == "open")


async def test_410_of_a_messages_url_ends_that_delivery_only(tmp_path: Path, autojump_clock: Clock) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(410), TAKEN)
        w.log.add(1, callback_url="http://a.example/1")
        async with w.running(CALLBACKS) as endpoint:
            await until(lambda: bool(dead(w)))
            w.log.add(1, callback_url="http://a.example/2")
            await until(lambda: endpoint.position == w.log.head)
        assert not w.gone
        assert len(w.receiver.posted) == 2


# -- replay ---------------------------------------------------------------------------------------


async def test_dead_letters_in_a_range_are_revived_and_others_stay_dead(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(500))
        w.log.add(250)
        async with w.running(hook(concurrency=1)) as endpoint:
            await until(lambda: len(dead(w)) == 3)
            w.receiver.answers(TAKEN)
            before = len(w.receiver.posted)
            third, second, first = dead(w)
            now_ms = w.clock.wall_ms()
            assert webhook_rows.revive(3, second.first, second.last, now_ms, w.store) == (1, 100)
            endpoint.poke()
            await until(lambda: len(dead(w)) == 2 and not rows(w))
        assert [posted.seqs[0] for posted in w.receiver.posted[before:]] == [second.first]
        assert dead(w) == [third, first]


async def test_dead_letters_are_forgotten_by_age_and_with_their_endpoint(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    async with world(tmp_path) as w:
        letters = [
            webhook_rows.DeliveryRow(0, webhook, "", STATUS, 1, 2, 2, dead_at=dead_at)
            for webhook, dead_at in ((3, 100), (3, 200), (4, 200), (5, 0))
        ]
        webhook_rows.save_deliveries(letters, w.store)
        webhook_rows.save_positions({3: 1, 4: 2}, w.store)
        assert not webhook_rows.forget({3, 5}, 150, w.store)
        assert [letter.dead_at for letter in dead(w)] == [200]
        assert not dead(w, 4)
        assert len(rows(w, 5)) == 1
        assert webhook_rows.positions(w.store) == {3: 1}
