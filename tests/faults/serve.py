"""`sluice serve` with small thresholds, so that a run of seconds sees what a day of traffic would.

The code is the daemon's own; only the numbers differ: checkpoints after sixty rows, parts that grow old in
a second, sweeps every second. It dies when its standard input ends, that is, with whoever started it.

    python -m tests.faults.serve --data DIR
"""

import os
import signal
import sys
import threading

import msgspec

SMALL = {
    "young_age_ms": 1_500,
    "checkpoint_rows": 60,
    "age_rows_max": 200,
    "wal_octets_high": 4 << 20,
    "receipt_grace_ms": 0,
}
SWEEP_PERIOD_S = 1.0
# Ten minutes of writes must fit on a disk, or it counts as low: small disks set other seconds, 0 for none.
WRITES_AHEAD = "FAULTS_WRITES_AHEAD_S"


def main(arguments: list[str]) -> None:
    """Patch the numbers, then be the daemon. Never returns."""
    threading.Thread(target=die_with_parent, name="die-with-parent", daemon=True).start()
    from gateway import daemon, habits, housekeeping
    from gateway.cli import main as cli
    from store import upkeep

    plain = daemon.store_options
    daemon.store_options = lambda config: msgspec.structs.replace(plain(config), **SMALL)
    upkeep.WRITES_AHEAD_S = int(os.environ.get(WRITES_AHEAD, upkeep.WRITES_AHEAD_S))
    housekeeping.SWEEP_PERIOD_S = habits.SAVE_PERIOD_S = SWEEP_PERIOD_S
    cli(["serve", *arguments])


def die_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
