"""The long suite: `python -m tests.faults` tries everything and prints the README's table.

python -m tests.faults                     all of it, some 25 minutes
python -m tests.faults kill-random cut     these only
python -m tests.faults --small             each fault once
python -m tests.faults --keep DIRECTORY    keep files, logs and journals
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import trio

from bench.machine import scratch_root
from tests.faults.scenario import Result, run_scenario
from tests.faults.suite import SCENARIOS
from tests.faults.table import complaints, table


def main(arguments: list[str]) -> int:
    """0 when every law held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--small", action="store_true", help="each fault as often as in CI")
    parser.add_argument("--times", type=int, help="each fault so often")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep files, logs and journals there")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    directory = options.keep or Path(tempfile.mkdtemp(prefix="sluice-faults-", dir=scratch_root()))
    results: list[Result] = []
    for name in options.names or SCENARIOS:
        scenario = SCENARIOS[name]
        times = options.times or (scenario.small if options.small else scenario.times)
        result = trio.run(
            lambda s=scenario, t=times: run_scenario(s, directory / s.name, times=t, seed=options.seed)
        )
        results.append(result)
        said = result.not_tried or ("good" if result.good else "\n" + result.verdict.words())
        notes = "; ".join(result.verdict.notes) if result.verdict else ""
        print(f"{name} x {times}: {said} ({result.seconds:.0f} s) {notes}", file=sys.stderr, flush=True)
        if result.good and not options.keep:
            shutil.rmtree(directory / name, ignore_errors=True)
    print(table(results))
    broken = complaints(results)
    if broken:
        print(f"\n{broken}\n\nFiles and logs are in {directory}.", file=sys.stderr)
        return 1
    if not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
