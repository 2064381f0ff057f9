"""A very long streamed body costs the daemon no memory that grows with it."""

import subprocess
from pathlib import Path

import trio

from tests.api.world import DOCUMENT, KEY
from tests.e2e.processes import gateway_process

SETTINGS = {"SLUICE__HTTP__LISTEN": "127.0.0.1:0"}
LINE_OCTETS, LINES = 60_000, 3_000  # 180 MB
GROWTH_KIB_MAX = 40 * 1024


def highest_kib(pid: int) -> int:
    """The most memory that a process had at any time."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def long_body(path: Path) -> None:
    """Rows of which every hundredth is a message and the others are as long as a line may be, and wrong."""
    with path.open("w") as file:
        file.write('{"defaults":{"text":"hi"}}\n')
        for number in range(LINES):
            to = f"86138{number:08}"
            text = "" if number % 100 == 0 else f',"nonsense":"{"x" * LINE_OCTETS}"'
            file.write(f'{{"to":"{to}"{text}}}\n')


async def test_a_body_longer_than_memory_may_grow_is_taken_line_by_line(tmp_path: Path) -> None:
    body = tmp_path / "rows.ndjson"
    await trio.to_thread.run_sync(long_body, body)
    async with gateway_process(tmp_path / "data", **SETTINGS) as gateway:
        await gateway.apply({**DOCUMENT, "carrier": [{"name": "carrier", "host": "127.0.0.1", "port": 1}]})
        event = await gateway.wait_event("listening", name="http")
        assert gateway.process is not None
        before = highest_kib(gateway.process.pid)
        done = await trio.run_process(
            ["curl", "-sS", "-T", str(body), "-X", "POST", "-H", "Content-Type: application/x-ndjson",
             "-H", f"Authorization: Bearer {KEY}", "-H", "Expect:", f"http://{event['address']}/v1/batches"],
            capture_stdout=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert f'"total":{LINES},"accepted":{LINES // 100},'.encode() in done.stdout
        assert body.stat().st_size > 4 * GROWTH_KIB_MAX * 1024
        assert highest_kib(gateway.process.pid) - before < GROWTH_KIB_MAX
