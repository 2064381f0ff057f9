"""The benchmark runner: tables, result files, exit codes; and the small cases end to end."""

from pathlib import Path

import msgspec
import pytest

from bench import runner
from bench.__main__ import main
from bench.case import BenchOptions, Case, Outcome, Target
from bench.corpus import BLACKLIST_PREFIX, DESTINATION_PREFIX, words, write_blacklist
from bench.processes import BenchFailed
from bench.runner import CASES, Result, cli_bench, number_of, unit_of


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> dict[str, Outcome | BenchFailed]:
    outcomes: dict[str, Outcome | BenchFailed] = {
        "good": Outcome({"lifecycle_per_s": 25_000.0}, {"binds": 4}),
        "lossy": Outcome({"lost": 3.0}, {}, ["3 messages were lost."]),
        "broken": BenchFailed("The daemon did not say event=listening."),
    }

    def case(name: str) -> Case:
        def run(_options: BenchOptions) -> Outcome:
            outcome = outcomes[name]
            if isinstance(outcome, BenchFailed):
                raise outcome
            return outcome

        return Case(name, f"the {name} case", run, {"lifecycle_per_s": Target(20_000, 30_000)})

    monkeypatch.setattr(runner, "CASES", {name: case(name) for name in outcomes})
    return outcomes


def test_result_holds_machine_parameters_and_figures(
    fake: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_bench(["good"], BenchOptions(results=str(tmp_path))) == 0
    (path,) = tmp_path.iterdir()
    result = msgspec.json.decode(path.read_bytes(), type=Result)
    assert path.name == f"{result.at[:10]}-good.json"
    assert result.figures == {"lifecycle_per_s": 25_000.0}
    assert result.parameters == {"binds": 4}
    assert {
        "cores",
        "cpu",
        "kernel",
        "python",
        "sqlite",
        "trio",
        "commit",
        "pragmas",
    } <= result.machine.keys()
    # 2 is FULL: every commit is on disk before anybody hears of it.
    assert result.machine["pragmas"] == {**result.machine["pragmas"], "journal_mode": "wal", "synchronous": 2}
    assert "25,000" in capsys.readouterr().out


def test_json_goes_to_standard_output_alone(
    fake: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_bench(["good"], BenchOptions(results=str(tmp_path), json=True)) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Result).case == "good"


@pytest.mark.parametrize(
    ("name", "said"), [("lossy", "3 messages were lost."), ("broken", "could not be run")]
)
def test_losses_and_failures_fail_and_leave_no_result(
    fake: object, name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_bench([name], BenchOptions(results=str(tmp_path))) == 1
    assert said in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_unknown_case_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed"]) == 2
    assert "lifecycle" in capsys.readouterr().err


def test_targets_judge_in_their_direction() -> None:
    speed, cost = Target(20_000, 30_000), Target(50, 40, least=False)
    assert [speed.judge(n) for n in (10_000, 25_000, 35_000)] == ["below", "floor", "aim"]
    assert [cost.judge(n) for n in (60, 45, 40)] == ["below", "floor", "aim"]


def test_units_come_from_names() -> None:
    names = ("lifecycle_per_s", "daemon_cpu_us", "accept_p99_ms_at_5000", "rss_mib", "lost")
    assert [unit_of(name) for name in names] == ["/s", "µs", "ms", "MiB", ""]
    assert [number_of(n) for n in (3.0, 1234.5, 2.345)] == ["3", "1,234", "2.35"]


def test_every_case_is_described_and_lifecycle_knows_its_targets() -> None:
    assert all(case.description for case in CASES.values())
    assert CASES["lifecycle"].targets["lost"].aim == 0


def test_submit_only_runs_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["submit-only", "--small", "--messages", "2000", "--results", str(tmp_path), "--json"]
    assert main(arguments) == 0
    figures = msgspec.json.decode(capsys.readouterr().out, type=Result).figures
    assert figures["submits_per_s"] > 0


def test_words_and_numbers_are_distinct_repeatable_and_apart_from_destinations(tmp_path: Path) -> None:
    assert words(500) == words(500)
    assert len(set(words(500))) == 500
    path = tmp_path / "numbers"
    write_blacklist(path, 2000)
    numbers = path.read_text().split()
    assert len(set(numbers)) == 2000
    assert not any(number.startswith(DESTINATION_PREFIX) for number in numbers)
    assert all(BLACKLIST_PREFIX <= int(number) < BLACKLIST_PREFIX + 10**8 for number in numbers)
    before = path.stat().st_mtime_ns
    write_blacklist(path, 2000)
    assert path.stat().st_mtime_ns == before
