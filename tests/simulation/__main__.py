"""`python -m tests.simulation`: run seeds, replay one with its merged timeline, shrink one to a stored plan."""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import msgspec

from tests.simulation import many
from tests.simulation.determinism import fixed_hashes
from tests.simulation.generate import generate
from tests.simulation.plan import Plan, load
from tests.simulation.runner import run
from tests.simulation.shrink import Shrinker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--stop", action="store_true", help="end at the first seed that fails")
    parser.add_argument("--stored", action="store_true", help="run the stored plans instead")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed here and print its timeline")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="like --replay, for a stored plan")
    parser.add_argument("--about", nargs="*", default=[], metavar="WORD", help="only lines with one of these")
    parser.add_argument("--shrink", action="store_true", help="with --replay: reduce, store under seeds/")
    options = parser.parse_args()
    fixed_hashes()
    if options.replay is not None or options.plan is not None:
        plan = load(options.plan) if options.plan else generate(options.replay, options.store)
        return shrink(plan) if options.shrink else replay(plan, options.about)
    jobs = many.stored() if options.stored else many.seeds(options.first, options.seeds, options.store)
    outcomes = []
    began = time.perf_counter()
    for outcome in many.do_many(jobs, options.processes):
        outcomes.append(outcome)
        if outcome.invariant:
            print(many.report(outcome), flush=True)
            if options.stop:
                break
    return 1 if many.summary(outcomes, time.perf_counter() - began, options.processes, print) else 0


def replay(plan: Plan, about: list[str]) -> int:
    """The merged timeline of one run: time, who, what."""
    result = run(plan)
    print("\n".join(result.trace.lines(about)))
    print(
        f"digest {result.digest}, {result.virtual_s:.1f} s in {result.took_s:.2f} s, {result.starts} starts"
    )
    for invariant, text in result.violations:
        print(f"{invariant}: {text}")
    return 1 if result.violations else 0


def shrink(plan: Plan) -> int:
    """Reduce a failing plan and store it."""
    result = run(plan)
    if not result.violations:
        print("this plan breaks nothing")
        return 1
    shrinker = Shrinker(plan, result.invariant, lambda text: print(text, file=sys.stderr))
    small = shrinker.shrink()
    small.invariant = result.invariant
    small.found = run(small).violations[0][1]
    name = f"{small.invariant}-{hashlib.sha256(msgspec.json.encode(small)).hexdigest()[:8]}.json"
    small.save(many.SEEDS / name)
    print(f"{len(plan.events)} events became {len(small.events)} in {shrinker.runs} runs: seeds/{name}")
    print(small.found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
