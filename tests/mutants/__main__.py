"""`make mutants`: put each bug into a copy of the tree and see that the suite finds it, the simulation first.

A mutant that five minutes of seeds and its named test do not find is alive, and an error.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.patches import ROOT, DoesNotApply, Mutant, load_all, mutated

FOLDERS = ("gateway", "store", "filters", "tests", "admin", "bench")
SEEDS = 600
MINUTES = 5
LINE_MAX = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    mutants = [one for one in load_all() if not options.names or one.name in options.names]
    alive = []
    for mutant in mutants:
        began = time.perf_counter()
        try:
            killer = kill(mutant, options.processes)
        except DoesNotApply as error:
            print(error, file=sys.stderr)
            killer = ""
        took_s = time.perf_counter() - began
        if not killer:
            alive.append(mutant.name)
        print(f"{mutant.name:36} {mutant.breaks:4} {took_s:4.0f} s  {killer or 'ALIVE'}", flush=True)
    print(f"{len(mutants) - len(alive)} of {len(mutants)} mutants found; alive: {', '.join(alive) or 'none'}")
    return 1 if alive else 0


def kill(mutant: Mutant, processes: int) -> str:
    """What found the bug, "" for nothing."""
    texts = mutated(mutant)
    with tempfile.TemporaryDirectory(prefix="sluice-mutant-") as directory:
        root = Path(directory)
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        for name, text in texts.items():
            (root / name).write_text(text)
        if mutant.test:
            return named_test(mutant, root)
        return simulation(mutant, root, processes)


def simulation(mutant: Mutant, root: Path, processes: int) -> str:
    command = [
        sys.executable, "-m", "tests.simulation", "--stop", "--store", mutant.store,
        "--seeds", str(SEEDS), "--processes", str(processes),
    ]  # fmt: skip
    lines = run(command, root).splitlines()
    for at, line in enumerate(lines):
        if line.startswith("SEED="):
            seed, _, invariant = line.partition(" INVARIANT=")
            return f"{seed.partition(' ')[0]} {invariant}: {lines[at + 1].strip()}"[:LINE_MAX]
    return ""


def named_test(mutant: Mutant, root: Path) -> str:
    found = run([sys.executable, "-m", "pytest", "-q", "-x", mutant.test], root)
    return mutant.test if " failed" in found else ""


def run(command: list[str], root: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(root)}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=MINUTES * 60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
