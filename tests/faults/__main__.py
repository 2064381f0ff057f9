"""The long suite: `python -m tests.faults` tries everything and prints the README's table.

python -m tests.faults                     all of it, some 20 minutes
python -m tests.faults kill-random cut     these only
python -m tests.faults --small             each fault once
python -m tests.faults --keep DIRECTORY    keep files, logs and journals
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import scratch_root
from tests.faults.lanes import run_all
from tests.faults.scenario import Result
from tests.faults.suite import SCENARIOS
from tests.faults.table import complaints, table


def main(arguments: list[str]) -> int:
    """0 when every law held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--small", action="store_true", help="each fault as often as in CI")
    parser.add_argument("--times", type=int, help="each fault so often")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=4, help="scenarios side by side, each in a process")
    parser.add_argument("--keep", type=Path, help="keep files, logs and journals there")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    directory = options.keep or Path(tempfile.mkdtemp(prefix="sluice-faults-", dir=scratch_root()))
    names = options.names or list(SCENARIOS)
    times = {
        name: options.times or (SCENARIOS[name].small if options.small else SCENARIOS[name].times)
        for name in names
    }
    found: dict[str, Result] = {}
    started = time.monotonic()
    for result in run_all(times, directory, options.seed, options.lanes):
        name = result.scenario.name
        found[name] = result
        verdict = result.verdict
        said = result.not_tried or ("good" if verdict is None or result.good else "\n" + verdict.words())
        notes = "; ".join(verdict.notes) if verdict else ""
        print(
            f"{name} x {result.times}: {said} ({result.seconds:.0f} s) {notes}", file=sys.stderr, flush=True
        )
        if result.good and not options.keep:
            shutil.rmtree(directory / name, ignore_errors=True)
    results = [found[name] for name in names]
    print(table(results, (time.monotonic() - started) / 60))
    broken = complaints(results)
    if broken:
        print(f"\n{broken}\n\nFiles and logs are in {directory}.", file=sys.stderr)
        return 1
    if not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
