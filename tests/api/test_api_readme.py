"""The five lines of the README are run as they are printed, with another port."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__HTTP__LISTEN": "127.0.0.1:0",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__LOG__FORMAT": "json",
    "SLUICE__STORE__BALLAST_MIB": "0",
    "SLUICE__STORE__DISK_LOW_MIB": "1",
    "SLUICE__STORE__DISK_CRITICAL_MIB": "1",
}


def block_behind(title: str, number: int = 1) -> str:
    """The first block of commands, or another, behind a title of the README."""
    _, found, behind = README.partition(f"## {title}\n")
    assert found, f"README.md has no {title}"
    return re.split(r"^```\n", behind, flags=re.MULTILINE)[2 * number - 1]


def bash(commands: str, folder: Path) -> list[str]:
    """What commands print, line by line."""
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", commands],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Running:
    """A command in the background; `address` is where it says that it listens."""

    def __init__(self, command: str, folder: Path, name: str = "") -> None:
        self._process = subprocess.Popen(
            command.split(),
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.address = self._listens(name)

    def _listens(self, name: str) -> str:
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if name in line and (found := re.search(r"127\.0\.0\.1:(\d+)", line)):
                return found[0]
        raise AssertionError("".join(said))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_the_five_lines_send_a_message_and_hear_how_it_ends(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    lines = block_behind("Over HTTP")
    assert len(lines.splitlines()) == 5
    steps = block_behind("First steps").splitlines()
    declare = "\n".join(steps[: steps.index("END") + 2])
    assert declare.endswith("nothing changes")
    with Running(".venv/bin/sluice sim carrier --port 0", tmp_path) as carrier:
        bash(declare.replace("12775", carrier.address.rpartition(":")[2]), tmp_path)
        with Running(".venv/bin/sluice serve", tmp_path, '"name": "http"') as gateway:
            said = bash(
                lines.replace("127.0.0.1:8080", gateway.address).replace("\ncurl ", "\necho; curl -s "),
                tmp_path,
            )
            key = lines.splitlines()[0] + "\n"
            many = block_behind("Over HTTP", 2).replace("127.0.0.1:8080", gateway.address)
            batch = json.loads(bash(key + many, tmp_path)[-1])
    assert (batch["accepted"], batch["rejected_count"]) == (1000, 0)
    accepted, listed, events = (json.loads(line) for line in said if line.startswith("{"))
    assert accepted["status"] == "accepted"
    assert listed["data"][0]["id"] == accepted["id"]
    assert events["data"][0]["data"]["id"] == accepted["id"]
    assert events["data"][0]["data"]["status"] == "delivered"
