"""Passwords: argon2 once, an HMAC after that, nothing remembered too long."""

from pathlib import Path
from typing import Any

import pytest

from gateway.legacy import credentials
from store import secrets
from store.secrets import hash_password
from tests.legacy.world import DOCUMENT, World, running


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every argon2 verification from now on."""
    seen: list[str] = []
    real = secrets.password_matches

    def matches(password_hash: str, password: str | bytes) -> bool:
        seen.append(password_hash)
        return real(password_hash, password)

    monkeypatch.setattr(secrets, "password_matches", matches)
    return seen


async def status(world: World, **fields: Any) -> int:
    return (await world.sendsms(**fields)).status


async def test_argon2_is_asked_once_for_right_and_wrong_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as world:
        seen = counting(monkeypatch)
        assert [await status(world) for _ in range(3)] == [202, 202, 202]
        assert [await status(world, password="wrong") for _ in range(3)] == [403, 403, 403]
        assert len(seen) == 2


async def test_a_new_password_counts_from_the_next_request_on(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert await status(world) == 202
        new = {**DOCUMENT["account"][0], "password_hash": hash_password("newer")}
        await world.apply({"account": [new]})
        assert await status(world) == 403
        assert await status(world, password="newer") == 202


async def test_what_is_remembered_is_forgotten_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "FORGET_S", 0.0)
    async with running(tmp_path) as world:
        seen = counting(monkeypatch)
        assert [await status(world) for _ in range(2)] == [202, 202]
        assert len(seen) == 2


async def test_an_address_that_guesses_is_refused_without_argon2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smpp = {"listen": "", "home_country": "86", "bind_failures_max": 3}
    async with running(tmp_path, smpp=smpp) as world:
        assert await status(world) == 202
        seen = counting(monkeypatch)
        for guess in ("a", "b", "c", "d", "e"):
            assert await status(world, password=guess) == 403
        assert len(seen) == 3
        assert await status(world, username="bare", **{"from": "1069"}) == 403  # right, but never seen before
        assert await status(world) == 202  # known before: goes on


async def test_accounts_may_be_tied_to_addresses(tmp_path: Path) -> None:
    tied = {**DOCUMENT["account"][0], "allow": ["192.0.2.0/24"]}
    async with running(tmp_path, document={**DOCUMENT, "account": [tied]}) as world:
        assert await status(world) == 403


async def test_a_password_longer_than_any_is_not_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as world:
        seen = counting(monkeypatch)
        assert await status(world, password="x" * 65) == 403
        assert seen == []
