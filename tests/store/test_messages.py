"""Lists of messages: whatever is asked for, every reading finds what reading everything finds, in order, once."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.day_schema import first_id_of
from store.ids import id_day
from store.model import NO_ERROR, Attempt, Changes, Outcome, Part, State
from store.reads_messages import MessageFilter, MessageRow
from store.traffic import SqliteStore
from tests.store.traffic_world import NOON_MS, NOON_S, TODAY, attempt, id_at, open_store, outcome, part

END = 1 << 62
DAY_S = 86_400
NEAR, FAR = 8_613_800_003_000, 8_613_800_010_000  # a number; the first of a range
ENDS = (State.DELIVERED, State.FAILED, State.EXPIRED, State.REJECTED, State.UNKNOWN, State.CANCELLED)


def some_traffic(seed: int) -> tuple[list[Part], list[Attempt], list[Outcome]]:
    """Two days of messages of one to three parts, by five accounts, in every state."""
    chance = random.Random(seed)
    parts: list[Part] = []
    attempts: list[Attempt] = []
    ends: list[Outcome] = []
    for second in (NOON_S - DAY_S, NOON_S - DAY_S + 1, NOON_S, NOON_S + 7):
        number = 0
        while number < 60:
            count = chance.choice((1, 1, 1, 2, 3))
            account, dest = chance.randrange(1, 6), 8_613_800_000_000 + chance.randrange(20) * 1_000
            task, text = chance.choice((0, 0, 5)), chance.choice((b"hello", b"goodbye"))
            for n in range(count):
                made = part(
                    id=id_at(number + n, second=second), account=account, dest=dest, task=task,
                    part_no=n + 1, parts=count, sms_type=chance.choice((1, 2)) if not n else 1,
                    body=b"head " + (text if n == count - 1 else b"..."),
                )  # fmt: skip
                parts.append(made)
                status = chance.choice((0, 0, 0, 0x58, -1))
                if chance.random() < 0.8:
                    attempts.append(attempt(made, status=status, smsc_id=f"c{made.id}"))
                if chance.random() < 0.8:
                    ends.append(outcome(made, chance.choice(ENDS), chance.choice((NO_ERROR, 0x58, 27))))
            number += count
    return parts, attempts, ends


@pytest.fixture(params=["unindexed", "segments", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path, now_ms=NOON_MS - DAY_S * 1000)
    parts, attempts, ends = some_traffic(1)
    some = [one for one in parts if id_day(one.id) < TODAY]
    rest = [one for one in parts if id_day(one.id) == TODAY]
    made_ms = NOON_MS + 60_000
    for half in (some, rest[: len(rest) // 2], rest[len(rest) // 2 :]):
        made.apply(Changes(parts=half))
        if request.param == "segments":
            made.index_recent()
        if request.param == "sealed":
            while made.maintain(made_ms).more:
                pass
    made.apply(Changes(attempts=attempts))
    made.apply(Changes(outcomes=ends))
    if request.param == "sealed":
        made.seal(TODAY - 1)
    yield made
    made.close()


def everything(store: SqliteStore) -> list[MessageRow]:
    """All messages by reading without a filter, in one page."""
    return store.find_messages(MessageFilter(), END, 10_000, budget_s=60).rows


def pages(store: SqliteStore, wanted: MessageFilter, limit: int, budget_s: float) -> list[int]:
    """The ids that paging through gives."""
    ids: list[int] = []
    before = END
    while before:
        found = store.find_messages(wanted, before, limit, budget_s=budget_s)
        assert len(found.rows) <= limit
        ids += [row.id for row in found.rows]
        assert found.before_id < before
        before = found.before_id
    return ids


def said(row: MessageRow) -> bool:
    return any(b"hello" in one.body for one in row.parts)


CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "all": ({}, lambda row: True),
    "account": ({"accounts": frozenset({3})}, lambda row: row.parts[0].account == 3),
    "accounts": ({"accounts": frozenset({1, 4})}, lambda row: row.parts[0].account in (1, 4)),
    "nobody": ({"accounts": frozenset()}, lambda row: False),
    "number": ({"dests": ((NEAR, NEAR),)}, lambda row: row.parts[0].dest == NEAR),
    "prefix": ({"dests": ((FAR, 8_613_800_019_999),)}, lambda row: row.parts[0].dest >= FAR),
    "number of an account": (
        {"dests": ((NEAR, NEAR),), "accounts": frozenset({2})},
        lambda row: row.parts[0].dest == NEAR and row.parts[0].account == 2,
    ),
    "task": ({"task": 5}, lambda row: row.parts[0].task == 5),
    "type": ({"sms_type": 2}, lambda row: row.parts[0].sms_type == 2),
    "since": ({"since_id": id_at(0)}, lambda row: row.id >= id_at(0)),
    "failed": ({"states": frozenset({State.FAILED})}, lambda row: row.state == State.FAILED),
    "failed on the way": (
        {"states": frozenset({State.FAILED}), "taken": True},
        lambda row: row.state == State.FAILED and row.taken,
    ),
    "failed of an account": (
        {"states": frozenset({State.FAILED}), "accounts": frozenset({3})},
        lambda row: row.state == State.FAILED and row.parts[0].account == 3,
    ),
    "sent": ({"states": frozenset({State.SENT})}, lambda row: row.state == State.SENT),
    "queued": ({"states": frozenset({State.QUEUED})}, lambda row: row.state == State.QUEUED),
    "waiting of an account": (
        {"states": frozenset({State.QUEUED, State.SENT}), "accounts": frozenset({3})},
        lambda row: row.state < State.DELIVERED and row.parts[0].account == 3,
    ),
    "failures": (
        {"states": frozenset({State.FAILED, State.EXPIRED, State.UNKNOWN}), "errors": frozenset({27})},
        lambda row: row.state in (State.FAILED, State.EXPIRED, State.UNKNOWN) and row.error == 27,
    ),
    "delivered": ({"states": frozenset({State.DELIVERED})}, lambda row: row.state == State.DELIVERED),
    "waiting": ({"states": frozenset({State.QUEUED, State.SENT})}, lambda row: row.state < State.DELIVERED),
    "text": ({"needles": (b"hello", b"never")}, said),
    "text of an account": (
        {"needles": (b"hello",), "accounts": frozenset({2, 3})},
        lambda row: said(row) and row.parts[0].account in (2, 3),
    ),
    "text that reads otherwise": (
        {"needles": (b"hello",), "reads_as": lambda parts: len(parts) > 1},
        lambda row: said(row) and len(row.parts) > 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_every_filter_finds_what_reading_everything_finds(store: SqliteStore, case: str) -> None:
    narrowed, fits = CASES[case]
    wanted = MessageFilter(**narrowed)
    expected = [row.id for row in everything(store) if fits(row)]
    assert expected or case == "nobody"
    for limit, budget_s in ((1000, 60.0), (7, 60.0), (7, 0.0), (1, 0.0)):
        assert pages(store, wanted, limit, budget_s) == expected
    assert len(expected) <= store.count_messages(wanted, END, 1000) < 1000
    assert store.count_messages(wanted, END, 1) == min(1, len(expected))
    assert store.count_messages(wanted, END, 1000, budget_s=-1.0) == 1000


@pytest.mark.parametrize(
    "case", ["account", "failed of an account", "number", "prefix", "failed", "text", "waiting", "all"]
)
def test_small_steps_lose_and_repeat_nothing(
    store: SqliteStore, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrowed, fits = CASES[case]
    expected = [row.id for row in everything(store) if fits(row)]
    for name, value in (
        ("SCAN_PARTS", 5),
        ("SCAN_OUTCOMES", 3),
        ("HEADS_MAX", 4),
        ("SPREAD_MAX", 6),
        ("DENSE", 2),
    ):
        monkeypatch.setattr(f"store.reads_messages.{name}", value)
    for limit, budget_s in ((1000, 60.0), (3, 60.0), (2, 0.0)):
        assert pages(store, MessageFilter(**narrowed), limit, budget_s) == expected


def test_a_message_is_shown_with_all_its_parts_and_the_worst_of_their_ends(tmp_path: Path) -> None:
    with_parts = [part(n, part_no=n + 1, parts=3) for n in range(3)]
    store = open_store(tmp_path)
    store.apply(Changes(parts=with_parts))
    store.apply(Changes(attempts=[attempt(one) for one in with_parts]))
    assert everything(store)[0].state == State.SENT
    store.apply(Changes(outcomes=[outcome(with_parts[0]), outcome(with_parts[2], State.FAILED, 27)]))
    (row,) = everything(store)
    assert [one.part_no for one in row.parts] == [1, 2, 3]
    assert (row.state, row.error, row.taken) == (State.FAILED, 27, True)
    assert (row.smsc_message_id, row.sent_at) == ("s0", NOON_MS)
    store.close()


def test_a_reading_ends_when_its_time_is_over_and_says_where_to_go_on(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=[part(n) for n in range(200)]))
    clock = iter([0.0, *([9.0] * 100)])
    rare = MessageFilter(dests=((1, 1),))
    found = store.find_messages(rare, END, 10, budget_s=1.0, now=lambda: next(clock))
    assert found.rows == []
    assert found.before_id == first_id_of(TODAY)
    assert store.find_messages(rare, found.before_id, 10).before_id == 0
    store.close()


def test_a_day_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - DAY_S * 1000)
    store.apply(Changes(parts=[part(id=id_at(0, second=NOON_S - DAY_S)), part(0)]))
    store.close()
    store = open_store(tmp_path)
    broken = store._files.path(TODAY - 1)
    store._files.pool.renew(broken)
    store._files.close(TODAY - 1)
    for suffix in ("-wal", "-shm"):
        broken.with_name(broken.name + suffix).unlink(missing_ok=True)
    broken.write_bytes(b"no database at all" * 1000)
    found = store.find_messages(MessageFilter(), END, 10)
    assert [row.id for row in found.rows] == [id_at(0)]
    assert found.unreadable == [TODAY - 1]
    store.close()
