"""apply, export, check and admin.create over the socket, as a daemon registers them."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.control import SOCKET_FILE, ControlClient, ControlError, ControlServer
from gateway.control_store import number_reader, store_operations
from store.apply import Change
from store.config_db import ConfigStore
from store.secrets import hash_password


class Daemon:
    """What a daemon has of the store, and what it was told."""

    def __init__(self, data: Path) -> None:
        self.store = ConfigStore.open(data)
        self.told: list[list[Change]] = []

    async def changed(self, changes: list[Change]) -> None:
        self.told.append(changes)


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[tuple[Daemon, Any]]:
    daemon = Daemon(data)
    operations = store_operations(
        daemon.store, home_country="86", in_flight=lambda: {1: 7}, changed=daemon.changed
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(operations).serve, data / SOCKET_FILE)

        async def ask(op: str, **params: Any) -> Any:
            return await trio.to_thread.run_sync(lambda: ControlClient(data).call(op, **params))

        yield daemon, ask
        nursery.cancel_scope.cancel()
    daemon.store.close()


TABLES = {
    "group": [{"path": "g", "granted": 100}],
    "user": [{"login": "u", "group": "g", "limit": 50}],
    "blacklist": [{"scope": "global", "numbers": ["13800138000"]}],
}


async def test_the_daemon_is_told_before_the_answer_and_only_of_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        answer = await ask("apply", tables=TABLES, source="x.toml")
        assert [change["action"] for change in answer] == ["added"] * 3
        assert len(daemon.told) == 1
        await ask("apply", tables=TABLES, source="x.toml")
        await ask("apply", tables={"word": [{"text": "w"}]}, source="x.toml", dry_run=True)
        assert len(daemon.told) == 1


async def test_numbers_follow_the_daemons_home_country(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        await ask("apply", tables=TABLES, source="x.toml")
        assert [list(numbers) for numbers in daemon.store.blacklists().values()] == [[8613800138000]]


async def test_what_is_in_flight_cannot_be_reclaimed(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, ask):
        await ask("apply", tables=TABLES, source="x.toml")
        with pytest.raises(ControlError, match="used or reserved 7 parts already") as error:
            await ask("apply", tables={"user": [{"login": "u", "limit": 6}]}, source="x.toml")
        assert error.value.kind == "usage"


async def test_files_are_not_read_for_a_client(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, ask):
        entry = {"scope": "global", "numbers_file": "/etc/passwd"}
        with pytest.raises(ControlError, match="files cannot be named here"):
            await ask("apply", tables={"blacklist": [entry]}, source="x.toml")


async def test_the_actor_is_the_one_who_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        await ask("apply", tables=TABLES, source="x.toml")
        with daemon.store.reading() as connection:
            actors = set(connection.execute("SELECT DISTINCT actor FROM audit"))
        assert actors == {(f"cli:{getpass.getuser()}",)}


async def test_an_export_comes_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        await ask("apply", tables=TABLES, source="x.toml")
        many = {"scope": "global", "numbers": [str(8613000000000 + n) for n in range(20_000)]}
        await ask("apply", tables={"blacklist": [many]}, source="x.toml")
        pieces = await ask("export")
        assert len(pieces) > 1
        assert "".join(pieces) == "".join(daemon.store.export())


async def test_check_finds_nothing_wrong_in_a_sound_store_and_tampering_in_another(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        await ask("apply", tables=TABLES, source="x.toml")
        assert await ask("check") == []
        with daemon.store.writing("thief") as transaction:
            transaction.run("UPDATE user SET granted = 5000")
        found = await ask("check")
        assert any("The quota does not add up: user 1: granted 5000" in text for text in found)
        assert any("has allocated 5000" in text for text in found)


async def test_an_administrator_comes_by_hash_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, ask):
        with pytest.raises(ControlError, match="argon2id hash"):
            await ask("admin.create", login="root", password_hash="plain", group="")
        password_hash = hash_password("long enough")
        assert await ask("admin.create", login="root", password_hash=password_hash, group="") == "root"
        user = daemon.store.directory().users[1]
        assert (user.login, user.role, user.state) == ("root", "admin", "active")
        assert daemon.store.directory().groups[1].unlimited
        with pytest.raises(ControlError, match='no group "elsewhere"'):
            await ask("admin.create", login="x", password_hash=password_hash, group="elsewhere")
        with pytest.raises(ControlError, match="is in group root"):
            await ask("admin.create", login="root", password_hash=password_hash, group="x")


@pytest.mark.parametrize(
    ("text", "number"),
    [("13800138000", 8613800138000), ("+1 212 555 0000", 12125550000), ("008613800138000", 8613800138000)],
)
def test_numbers_are_read_under_the_home_country(text: str, number: int) -> None:
    assert number_reader("86")(text) == number


def test_what_is_no_number_says_why() -> None:
    with pytest.raises(ValueError, match="It contains letters"):
        number_reader("")("138x")
