"""`sluice serve` as a process: started, asked, killed, by its pid."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from gateway.control import ControlClient, ControlUnavailable

from .world import PATIENCE_S

ROOT = Path(__file__).parents[2]
START_S = 120.0
ENVIRONMENT = {
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__HTTP__LISTEN": "",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__LOG__FORMAT": "json",
    "SLUICE__STORE__BALLAST_MIB": "0",
    "SLUICE__STORE__DISK_LOW_MIB": "1",
    "SLUICE__STORE__DISK_CRITICAL_MIB": "1",
}


class Gateway:
    """One `sluice serve`. Its log goes to a file beside its data."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        self.port = 0
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--data", str(self.data)],
                stderr=log,
                stdout=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT, **self._settings},
                cwd=ROOT,
            )
        event = await self.wait_event("listening", name="smpp")
        self.port = int(event["address"].rpartition(":")[2])
        with trio.fail_after(PATIENCE_S):
            while True:
                with suppress(
                    ControlUnavailable
                ):  # the socket of a process that was killed may lie there still
                    await self.call("status")
                    return
                await trio.sleep(0.01)

    def events(self) -> list[dict[str, Any]]:
        """What it has logged since its start."""
        lines = self.log.read_bytes()[self._offset :].splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]

    async def wait_event(self, event: str, **wanted: str) -> dict[str, Any]:
        with trio.fail_after(START_S):
            while True:
                for found in self.events():
                    if found.get("event") == event and all(found.get(k) == v for k, v in wanted.items()):
                        return found
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                await trio.sleep(0.01)

    async def call(self, operation: str, **params: Any) -> Any:
        """An operation of its control socket."""
        client = ControlClient(self.data)
        return await trio.to_thread.run_sync(lambda: client.call(operation, **params))

    async def apply(self, tables: dict[str, Any]) -> None:
        await self.call("apply", tables=tables, source="test")

    async def kill(self) -> None:
        """kill -9."""
        await self.stop(signal.SIGKILL)

    async def stop(self, number: int = signal.SIGTERM, within_s: float = START_S) -> int:
        """Send a signal; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return await self.wait(within_s)

    async def wait(self, within_s: float = START_S) -> int:
        assert self.process is not None
        with trio.fail_after(within_s):
            while (code := self.process.poll()) is None:
                await trio.sleep(0.01)
        return code


@asynccontextmanager
async def gateway_process(data: Path, **settings: str) -> AsyncIterator[Gateway]:
    """A running gateway; killed at the end if it still runs."""
    gateway = Gateway(data, **settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
