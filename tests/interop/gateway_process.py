"""`sluice serve` as a process of its own, told by `sluice apply` who may bind and where to send."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.gateway.cli_runner import sluice

ROOT = Path(__file__).parents[2]
STARTING_S_MAX = 60.0
STOPPING_S_MAX = 60.0  # the drain has 30 s
PASSWORD = "secret12"  # as long as SMPP 3.4 allows
TROUBLE = {"error", "critical"}
# Whose accounts all tests use.
PEOPLE: dict[str, list[dict[str, Any]]] = {
    "group": [{"path": "g", "granted": "unlimited"}],
    "user": [{"login": "acme", "group": "g", "limit": 1_000_000}],
}


class Listening(msgspec.Struct, frozen=True):
    """Ports of the running gateway on 127.0.0.1, as the system picked them."""

    smpp: int
    tls: int
    http: int


class Gateway:
    """One running gateway. Its log is a file of JSON lines."""

    def __init__(self, folder: Path, certificate: Path, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.data = folder / "data"
        self._folder = folder
        self._log = folder / "gateway.log"
        self._documents = 0
        self.environment = {
            "PATH": os.environ["PATH"],
            "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
            "SLUICE__SMPP__TLS__LISTEN": "127.0.0.1:0",
            "SLUICE__SMPP__TLS__CERTIFICATE": str(certificate),
            "SLUICE__SMPP__TLS__KEY": str(certificate),
            "SLUICE__HTTP__LISTEN": "127.0.0.1:0",
            "SLUICE__CONSOLE__LISTEN": "",
            "SLUICE__LOG__FORMAT": "json",
            "SLUICE__STORE__BALLAST_MIB": "0",
            # Every peer meets our enquire_link, however short its test.
            "SLUICE__SMPP__ENQUIRE_LINK_S": "1",
            "SLUICE__SMPP__BIND_FAILURE_DELAY_S": "0.1",
            "SLUICE__RECEIPTS__RETRY_S_MIN": "0.2",
            **environment,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--data", str(self.data)],
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=ROOT,
            )
        self.ports = self._wait_listening()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def log(self) -> list[dict[str, Any]]:
        """Every line so far; what is not JSON (a traceback, say) as {"event": line, "level": "critical"}."""
        lines: list[dict[str, Any]] = []
        for line in self._log.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"event": line, "level": "critical"})
        return lines

    def trouble(self) -> list[dict[str, Any]]:
        """What the gateway itself calls an error: no peer may bring that about."""
        return [line for line in self.log() if line.get("level") in TROUBLE]

    def apply(self, **tables: list[dict[str, Any]]) -> None:
        """`sluice apply` a document of these tables."""
        self._documents += 1
        path = self._folder / f"document-{self._documents}.toml"
        path.write_bytes(_toml(tables).encode())
        run = sluice("apply", path, "--data", self.data)
        assert run.code == 0, run.err

    def message(self, message_id: str) -> str:
        """What `sluice message ID` says."""
        return sluice("message", message_id, "--text", "--data", self.data).out

    def stop(self) -> int:
        """SIGTERM, and the exit code of the drain."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOPPING_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def _wait_listening(self) -> Listening:
        deadline = time.monotonic() + STARTING_S_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            found = {
                line["name"]: int(line["address"].rpartition(":")[2])
                for line in self.log()
                if line.get("event") == "listening"
            }
            if {"smpp", "smpp-tls"} <= found.keys() and (self.data / "control.sock").exists():
                return Listening(found["smpp"], found["smpp-tls"], found.get("http", 0))
            time.sleep(0.02)
        self._process.kill()
        self._process.wait()
        raise AssertionError(f"the gateway did not start:\n{self._log.read_text(encoding='utf-8')}")


def _toml(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Arrays of tables of plain values: JSON's scalars and lists of scalars are TOML's."""
    lines: list[str] = []
    for name, rows in tables.items():
        for row in rows:
            lines.append(f"[[{name}]]")
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.items()]
    return "\n".join(lines) + "\n"
