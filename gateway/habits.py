"""What was learned of carriers' message ids, kept in config.db so that a restart does not learn it again."""

import sqlite3
from typing import TYPE_CHECKING, Any

import trio

from store.sqlite_errors import is_full

if TYPE_CHECKING:
    from gateway.core import Core
    from store.config_db import ConfigStore

SAVE_PERIOD_S = 60.0
# Counts change with every receipt; what is worth a write is a belief, or a kind of pair never seen before.
COUNTED = ("same", "case", "zeros", "hex_dec", "dec_hex", "other")


class HabitKeeper:
    def __init__(self, core: "Core", configuration: "ConfigStore") -> None:
        self._core = core
        self._configuration = configuration
        self._saved: dict[int, dict[str, Any]] = {}

    async def run(self) -> None:
        """Save once a minute what is new, until cancelled."""
        while True:
            await trio.sleep(SAVE_PERIOD_S)
            await self.save()

    async def save(self) -> None:
        """Write the habits of every carrier whose belief has changed since the last time.

        On a full disk they stay unsaved: they are tried again, and can be learned again.
        """
        for carrier_id, state in list(self._core.carriers.items()):
            habits = state.correlation.habits.to_dict()
            belief = {name: bool(value) if name in COUNTED else value for name, value in habits.items()}
            if self._saved.get(carrier_id) != belief:
                try:
                    await self._core.ports.off_loop(
                        lambda c=carrier_id, h=habits: self._configuration.set_habits(c, h)
                    )
                except sqlite3.OperationalError as error:
                    if not is_full(error):
                        raise
                    return
                self._saved[carrier_id] = belief
