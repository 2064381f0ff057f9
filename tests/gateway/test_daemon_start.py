"""How a daemon begins and ends: on a full disk it waits for room, and only an orderly end counts as one."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from filters.verdict import Reason
from gateway import daemon
from gateway.daemon import open_daemon
from gateway.settings import Config, StoreSettings
from store.model import Changes
from store.port import Applied, StoreFull
from store.traffic import SqliteStore

FULL = StoreFull("The disk is full.", rest=Changes(), applied=Applied())


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[BaseException]], list[BaseException | None]]:
    """Let `_serve` raise these, one a start, and then serve and end; gives what became of each start."""

    def prepare(errors: list[BaseException]) -> list[BaseException | None]:
        seen: list[BaseException | None] = []

        async def serve(*_: object) -> None:
            error = errors[len(seen)] if len(seen) < len(errors) else None
            seen.append(error)
            await trio.lowlevel.checkpoint()
            if error is not None:
                raise error

        monkeypatch.setattr(daemon, "_serve", serve)
        return seen

    return prepare


async def test_a_daemon_without_room_to_start_waits_for_some(
    tmp_path: Path,
    starts: Callable[[list[BaseException]], list[BaseException | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon, "ROOM_WAIT_S", 0.001)
    no_room = OSError(errno.ENOSPC, "No space left on device")
    seen = starts([FULL, no_room, FULL])
    await daemon.serve(Config(), tmp_path)
    assert seen == [FULL, no_room, FULL, None]


async def test_a_daemon_that_waits_for_room_can_be_stopped(
    tmp_path: Path, starts: Callable[[list[BaseException]], list[BaseException | None]]
) -> None:
    seen = starts([FULL] * 9)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.serve, Config(), tmp_path)
        while not seen:
            await trio.lowlevel.checkpoint()
        os.kill(os.getpid(), signal.SIGTERM)
    assert len(seen) < 9


async def test_any_other_error_at_the_start_ends_it(
    tmp_path: Path, starts: Callable[[list[BaseException]], list[BaseException | None]]
) -> None:
    seen = starts([OSError(errno.EACCES, "Permission denied")])
    with pytest.raises(PermissionError):
        await daemon.serve(Config(), tmp_path)
    assert len(seen) == 1


async def test_only_an_orderly_end_is_a_clean_one(tmp_path: Path) -> None:
    running = tmp_path / "days" / "running"
    config = Config(store=StoreSettings(ballast_mib=0))
    async with open_daemon(config, tmp_path):
        assert running.exists()
    assert not running.exists()
    with pytest.raises(ZeroDivisionError):
        async with open_daemon(config, tmp_path):
            raise ZeroDivisionError
    assert running.exists()


async def test_a_low_disk_is_known_before_anything_can_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "disk_state", lambda self: "critical")
    async with open_daemon(Config(store=StoreSettings(ballast_mib=0)), tmp_path) as started:
        assert started.core.refusal_now() == Reason.DISK_LOW
