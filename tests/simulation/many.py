"""Many runs on all cores, and what is said of those that fail."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType

import msgspec

from tests.simulation.determinism import HASH_SEED
from tests.simulation.generate import generate
from tests.simulation.plan import Plan, load
from tests.simulation.runner import run

SEEDS = Path(__file__).parent / "seeds"
TIMELINE_LINES = 40
LINE_MAX = 160
TWICE = 0.01  # share of seeds that run twice (I21)
REAL_S_MAX = 60  # a run takes half a second; one that takes a minute does not come to an end


class Job(msgspec.Struct):
    """A seed to generate a plan of, or a file with a plan."""

    seed: int = 0
    store: str = "memory"
    path: str = ""
    twice: bool = False

    def plan(self) -> Plan:
        return load(Path(self.path)) if self.path else generate(self.seed, self.store)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2] or f"{self.seed}"

    @property
    def replay(self) -> str:
        what = f"--plan {self.path}" if self.path else f"--replay {self.seed}"
        return f"PYTHONHASHSEED=0 python -m tests.simulation {what} --store {self.store}"


class Outcome(msgspec.Struct):
    """What a process says of one job."""

    job: Job
    invariant: str
    text: str
    took_s: float
    virtual_s: float
    accepted: int
    starts: int
    digest: str = ""
    timeline: list[str] = []  # of a run that failed: how it ended


class TookTooLong(BaseException):
    """A run does not come to an end."""


def do(job: Job) -> Outcome:
    """Run one job in this process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(REAL_S_MAX)
    began = time.perf_counter()
    try:
        result = run(job.plan())
        invariant, text = result.violations[0] if result.violations else ("", "")
        if job.twice and not invariant and run(job.plan()).digest != result.digest:
            invariant, text = "I21", "the same seed did not give the same run"
    except TookTooLong:
        took_s = time.perf_counter() - began
        return Outcome(job, "I20", f"no end after {REAL_S_MAX} s of real time", took_s, 0.0, 0, 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Outcome(
        job, invariant, text, result.took_s, result.virtual_s, result.accepted, result.starts, result.digest,
        result.trace.lines()[-TIMELINE_LINES:] if invariant else [],
    )  # fmt: skip


def do_many(jobs: Iterable[Job], processes: int) -> Iterator[Outcome]:
    """Run jobs in fresh processes whose hashes are fixed, in any order."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = HASH_SEED
    try:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            yield from pool.imap_unordered(do, jobs, chunksize=2)
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before


def seeds(first: int, count: int, store: str) -> list[Job]:
    """Jobs for seeds one after another, of which a share runs twice."""
    rng = random.Random(first)
    return [Job(seed, store, twice=rng.random() < TWICE) for seed in range(first, first + count)]


def stored() -> list[Job]:
    """Jobs for every stored plan."""
    return [Job(path=str(path), store=load(path).store) for path in sorted(SEEDS.glob("*.json"))]


def commit() -> str:
    """What is tested, for reports."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=SEEDS.parent, check=False
    )
    return found.stdout.strip() or "unknown"


def report(outcome: Outcome) -> str:
    job = outcome.job
    return "\n".join(
        (
            *(line[:LINE_MAX] for line in outcome.timeline),
            f"SEED={job.name} STORE={job.store} COMMIT={commit()} INVARIANT={outcome.invariant}",
            f"  {outcome.text}",
            f"  the whole timeline: {job.replay}",
            f"  reduced and kept:   {job.replay} --shrink",
        )
    )


def summary(outcomes: list[Outcome], took_s: float, processes: int, say: Callable[[str], None]) -> int:
    """Say what came of many runs; the number that failed."""
    failed = [outcome for outcome in outcomes if outcome.invariant]
    virtual_h = sum(outcome.virtual_s for outcome in outcomes) / 3600
    accepted = sum(outcome.accepted for outcome in outcomes)
    crashes = sum(max(0, outcome.starts - 1) for outcome in outcomes)
    an_hour = len(outcomes) / max(took_s, 1e-9) * 3600 / processes
    say(
        f"{len(outcomes)} runs in {took_s:.0f} s ({an_hour:,.0f} an hour a core): {virtual_h:.1f} h of virtual"
        f" time, {accepted:,} messages accepted, {crashes:,} crashes and restarts; {len(failed)} runs failed"
    )
    by_invariant: dict[str, list[str]] = {}
    for outcome in failed:
        by_invariant.setdefault(outcome.invariant, []).append(outcome.job.name)
    for invariant, names in sorted(by_invariant.items()):
        say(f"  {invariant}: {len(names)} ({', '.join(names[:20])})")
    return len(failed)
