"""The simulated world on many seeds and both levels, and every plan that ever broke something."""

import os
from itertools import chain

import pytest

from tests.simulation import many
from tests.simulation.many import Job

PROCESSES = os.cpu_count() or 1
MEMORY_SEEDS = 300
SQLITE_SEEDS = 40
FIRST = 100_000  # the nightly loop begins at 0
COMPARED = [Job(3), Job(11, "sqlite"), Job(26)]


@pytest.mark.slow
def test_every_invariant_holds_on_seeds_never_seen_failing() -> None:
    jobs = chain(
        many.seeds(FIRST, SQLITE_SEEDS, "sqlite"), many.seeds(FIRST + SQLITE_SEEDS, MEMORY_SEEDS, "memory")
    )
    outcomes = list(many.do_many(jobs, PROCESSES))
    assert "\n\n".join(many.report(one) for one in outcomes if one.invariant) == ""
    assert sum(one.accepted for one in outcomes) > 30 * len(outcomes)
    assert sum(one.starts - 1 for one in outcomes) > len(outcomes) // 2, "without crashes it proves little"


def test_what_once_broke_holds_for_ever() -> None:
    outcomes = list(many.do_many(many.stored(), PROCESSES))
    assert len(outcomes) >= 4
    assert "\n\n".join(many.report(one) for one in outcomes if one.invariant) == ""


def test_a_seed_gives_one_trace_in_any_process_and_whatever_ran_before() -> None:
    again = list(reversed(COMPARED))
    digests = [
        {one.job.seed: one.digest for one in many.do_many(jobs, processes)}
        for jobs, processes in ((COMPARED, 1), (again, 1))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == len(COMPARED)


def test_a_failing_seed_is_reported_with_its_timeline_and_how_to_replay_it() -> None:
    outcome = many.Outcome(Job(7, "sqlite"), "I4", "sent twice", 0.1, 1.0, 1, 1, "", ["  1.0  alpha  submit"])
    report = many.report(outcome)
    assert "alpha  submit" in report and "INVARIANT=I4" in report and "sent twice" in report
    assert "python -m tests.simulation --replay 7 --store sqlite" in report
