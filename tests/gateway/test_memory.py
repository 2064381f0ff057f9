"""What a storm of binds took in memory is given back."""

import subprocess
import sys
from pathlib import Path

STORM = """
import threading
from pathlib import Path
from gateway.memory import give_back_large_blocks
from store.secrets import HASHER

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

give_back_large_blocks()
before = resident()
threads = [threading.Thread(target=lambda: [HASHER.hash("x") for _ in range(2)]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident() - before)
"""


def test_the_memory_of_password_hashes_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORM],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(done.stdout) < 12  # MiB; one hash takes 19
