"""The store of the first level is what the real one is: both go through the same lives, and say the same of them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from store.model import Changes, State
from store.port import Applied
from store.traffic import SqliteStore
from tests.simulation.disk import OPTIONS
from tests.simulation.generate import generate
from tests.simulation.memory_store import MemoryStore, copied
from tests.simulation.runner import run

LOOK_EVERY = 7  # rounds


def rounds_of(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Changes], int]:
    """What a run had stored, round by round, and when its store was made."""
    rounds: list[Changes] = []
    apply = MemoryStore.apply

    def noted(store: MemoryStore, changes: Changes) -> Applied:
        rounds.append(
            Changes(
                **{
                    name: [
                        copied(row) if isinstance(row, msgspec.Struct) else row
                        for row in getattr(changes, name)
                    ]
                    for name in Changes.__struct_fields__
                }
            )
        )
        return apply(store, changes)

    plan = generate(seed)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "apply", noted)
        assert run(plan).violations == []
    return rounds, plan.settings.wall_start_ms


def said_of(store: Any, ids: list[int]) -> dict[str, Any]:
    """Everything that the daemon may ask, as values."""
    parts = store.parts(ids)
    lines = sorted({(part.carrier, part.lane, part.account) for part in parts})
    accounts = sorted({part.account for part in parts})
    return {
        "parts": parts,
        "queued": {line: store.queued(*line, 0, 1000) for line in lines},
        "claimed": store.claimed(0, 1000),
        "held": store.held(0, 1000),
        "awaiting": [part.id for part, _ in store.awaiting_receipt(1 << 62, 10_000)],
        "events": {
            account: [event.id for event in store.pending_events(account, 0, 10_000)] for account in accounts
        },
        "accounts": store.accounts_with_pending_events(),
        "parked": [parked.id for parked in store.parked(0, 1000)],
        "usage": {day: {u: v for u, v in store.usage(day).items() if v != (0, 0)} for day in store.days()},
        "verify": store.verify({account: account for account in accounts}),
    }


@pytest.mark.parametrize("seed", [1, 5, 23, 30])
def test_both_stores_say_the_same_of_the_same_lives(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, now_ms = rounds_of(seed, monkeypatch)
    assert len(rounds) > 20
    memory = MemoryStore(OPTIONS, now_ms)
    real = SqliteStore.open(tmp_path, now_ms=now_ms, options=OPTIONS)
    ids: list[int] = []
    for number, changes in enumerate(rounds):
        one, other = memory.apply(changes), real.apply(changes)
        assert sorted(one.refused_parts) == sorted(other.refused_parts)
        assert len(one.refused_outcomes) == len(other.refused_outcomes)
        assert (one.parts, one.attempts, one.receipts, one.outcomes) == (
            other.parts, other.attempts, other.receipts, other.outcomes,
        )  # fmt: skip
        ids += [part.id for part in changes.parts]
        if number % LOOK_EVERY == 0 or number == len(rounds) - 1:
            assert said_of(memory, ids) == said_of(real, ids), f"after round {number}"
    assert {part.state for part in memory.parts(ids)} >= {State.DELIVERED}
    real.close()
