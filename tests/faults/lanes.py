"""Scenarios side by side, each in a process of its own: they mostly wait, so two take little longer than one."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import trio

from tests.faults.scenario import Result, run_scenario
from tests.faults.suite import SCENARIOS


def run_all(times: dict[str, int], directory: Path, seed: int, lanes: int) -> Iterator[Result]:
    """Results as they come."""
    with ProcessPoolExecutor(lanes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = [pool.submit(run_one, name, count, directory, seed) for name, count in times.items()]
        for run in as_completed(runs):
            yield run.result()


def run_one(name: str, times: int, directory: Path, seed: int) -> Result:
    """One scenario, in a process of its own."""
    return trio.run(lambda: run_scenario(SCENARIOS[name], directory / name, times=times, seed=seed))
