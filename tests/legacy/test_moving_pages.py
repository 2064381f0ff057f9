"""Every command on the pages for people who move is run as it is printed, with other ports."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(sh|text)\n(.*?)```", re.DOTALL)
PATIENCE_S = 20.0
ENVIRONMENT = {
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__STORE__BALLAST_MIB": "0",
    "SLUICE__STORE__DISK_LOW_MIB": "1",
    "SLUICE__STORE__DISK_CRITICAL_MIB": "1",
}
LISTENS = re.compile(
    r"listen = \"127\.0\.0\.1:(\d+)\"|--port (\d+)|127\.0\.0\.1 (\d{4,5})|\"127\.0\.0\.1\", (\d+)"
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def blocks(page: str) -> list[tuple[str, str]]:
    """(commands, what they print) of a page; "" where it does not say."""
    found = BLOCK.findall((ROOT / "gateway" / "legacy" / page).read_text(encoding="utf-8"))
    pairs: list[tuple[str, str]] = []
    for kind, text in found:
        if kind == "sh":
            pairs.append((text, ""))
        else:
            pairs[-1] = (pairs[-1][0], text)
    return pairs


class Shell:
    """A folder in which commands are run; what they leave in the background ends with it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **ENVIRONMENT, **environment}
        self._groups: list[int] = []

    def run(self, commands: str) -> str:
        process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", commands],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._groups.append(process.pid)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        process.wait()
        process.stdout.close()
        return output

    def end(self) -> None:
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    running = Shell(folder, environment)
    try:
        yield running
    finally:
        running.end()


def wait_for(ports: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    for port in ports:
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.05)  # another process starts: there is nothing to wait on


def pattern_of(printed: str) -> "re.Pattern[str]":
    """What a page prints; … stands for anything."""
    return re.compile(".*?".join(map(re.escape, printed.rstrip("\n").split("…"))) + "\n*")


@pytest.mark.parametrize("page", ["moving-from-kannel.md", "moving-from-jasmin.md"])
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path, page: str) -> None:
    pairs = blocks(page)
    assert len(pairs) > 4
    whole = "".join(commands for commands, _ in pairs)
    named = sorted({port for found in LISTENS.findall(whole) for port in found if port})
    numbers = dict(zip(named, free_ports(len(named)), strict=True))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    off = {} if "[http]" in whole else {"SLUICE__HTTP__LISTEN": ""}
    with shell(tmp_path, {**off, "PYTHONPATH": str(ROOT)}) as bash:
        for commands, printed in pairs:
            for port, instead in numbers.items():
                commands = re.sub(rf"\b{port}\b", str(instead), commands)
            output = bash.run(commands)
            if commands.rstrip().endswith("&"):
                wait_for({int(port) for found in LISTENS.findall(commands) for port in found if port})
            if not printed:
                continue
            wanted = pattern_of(printed)
            deadline = time.monotonic() + PATIENCE_S
            # The carrier binds, and reports come, in their own time.
            while not wanted.fullmatch(output.replace("\r\n", "\n")):
                assert time.monotonic() < deadline, (commands, output)
                time.sleep(0.2)
                output = bash.run(commands)
