"""What was learned of a carrier's ids outlives the process."""

import sqlite3
from pathlib import Path

import pytest

from gateway.control_store import apply_tables
from gateway.daemon import Daemon, open_daemon
from gateway.settings import Config
from gateway.smpp.message_ids import HEX_DEC
from tests.gateway.cli_runner import sluice

CARRIER = {"name": "hexed", "host": "127.0.0.1", "port": 1, "system_id": "s", "password": "p"}


async def apply(daemon: Daemon, carrier: dict[str, object]) -> None:
    tables = {"carrier": [carrier]}
    apply_tables(daemon.configuration, tables, source="t", who="test", home_country="", in_flight={})
    await daemon.reload()


async def test_a_learned_habit_survives_a_restart_and_a_configured_rule_beats_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_daemon(Config(), data) as daemon:
        await apply(daemon, CARRIER)
        (carrier,) = daemon.core.carriers.values()
        for number in (0x70BA8A69, 0x38601FA, 0x18D0E03A):
            carrier.correlation.habits.matched(f"{number:x}", f"{number:010d}")
        assert carrier.correlation.habits.rule == HEX_DEC
        await daemon.habits.save()
    async with open_daemon(Config(), data) as daemon:
        (carrier,) = daemon.core.carriers.values()
        assert carrier.correlation.habits.rule == HEX_DEC
        await apply(daemon, CARRIER | {"message_id": "dec"})
        assert carrier.correlation.habits.rule == "dec"


async def test_a_full_disk_leaves_habits_unsaved_until_there_is_room(tmp_path: Path) -> None:
    async with open_daemon(Config(), tmp_path / "data") as daemon:
        await apply(daemon, CARRIER)
        (carrier,) = daemon.core.carriers.values()
        carrier.correlation.habits.matched("70ba8a69", "1891273321")
        saved, set_habits = [], daemon.configuration.set_habits

        def full(carrier_id: int, habits: object) -> None:
            # What SQLite raises, by filling a database that may not grow.
            connection = sqlite3.connect(":memory:")
            connection.execute("PRAGMA max_page_count=1")
            connection.execute("CREATE TABLE t(x)")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(daemon.configuration, "set_habits", full)
            await daemon.habits.save()
            patch.setattr(
                daemon.configuration, "set_habits", lambda c, h: (saved.append(c), set_habits(c, h))
            )
            await daemon.habits.save()
        assert saved == [carrier.id]


def test_habits_are_shown_with_the_daemon_down(tmp_path: Path) -> None:
    document = tmp_path / "d.toml"
    document.write_text(
        '[[carrier]]\nname = "hexed"\nhost = "127.0.0.1"\nport = 1\nsystem_id = "s"\npassword = "p"\n'
    )
    data = str(tmp_path / "data")
    assert sluice("apply", document, "--data", data).code == 0
    shown = sluice("receipts", "habits", "--data", data)
    assert shown.out.startswith("hexed  rule auto (as configured)  same 0")
