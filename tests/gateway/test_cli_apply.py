"""`sluice apply` and `sluice export`, with the daemon down and up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from gateway.control import SOCKET_FILE, ControlServer
from gateway.control_store import store_operations
from store.apply import Change
from store.config_db import ConfigStore
from store.files import DataLock
from tests.gateway.cli_runner import Run, sluice
from tests.store.config_world import WORLD


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text(WORLD, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"


def with_daemon(data: Path, *command: object) -> tuple[Run, list[list[Change]]]:
    """Run a command beside a process that holds the lock and answers on the socket."""
    told: list[list[Change]] = []

    async def changed(changes: list[Change]) -> None:
        told.append(changes)

    async def run() -> Run:
        with DataLock.acquire(data), ConfigStore.open(data) as store:
            operations = store_operations(store, home_country="", in_flight=dict, changed=changed)
            async with trio.open_nursery() as nursery:
                await nursery.start(ControlServer(operations).serve, data / SOCKET_FILE)
                result = await trio.to_thread.run_sync(lambda: sluice(*command, "--data", data))
                nursery.cancel_scope.cancel()
        return result

    return trio.run(run), told


@contextmanager
def opened(data: Path) -> Iterator[ConfigStore]:
    with DataLock.acquire(data), ConfigStore.open(data) as store:
        yield store


EXPECTED = """\
+ carrier carrier-a
    host: "127.0.0.1"
    port: 12775
    system_id: "a"
    password: •••
+ group 总公司
    unlimited: true
+ group 总公司/福建分公司
    review: "trust"
    granted: 1000
+ user acme
    limit: 600
+ api_key gw_live_0123
+ route ""
    carriers: ["carrier-a"]
+ word 敏感
+ blacklist global
    numbers: 1
8 added, 0 changed, 0 removed, 0 unchanged.
"""


def test_the_report_says_what_changed_and_secrets_never(document: Path, data: Path) -> None:
    run = sluice("apply", document, "--data", data)
    assert run == Run(0, EXPECTED, "")


def test_up_or_down_the_command_does_and_says_the_same(document: Path, data: Path) -> None:
    up, told = with_daemon(data, "apply", document)
    assert up == Run(0, EXPECTED, "")
    assert len(told) == 1
    down = sluice("apply", document, "--data", data)
    assert down == Run(0, "0 added, 0 changed, 0 removed, 8 unchanged.\n", "")
    assert with_daemon(data, "export")[0].out == sluice("export", "--data", data).out


def test_a_change_shows_old_and_new(document: Path, data: Path, tmp_path: Path) -> None:
    sluice("apply", document, "--data", data)
    change = tmp_path / "change.toml"
    change.write_text('[[user]]\nlogin = "acme"\nlimit = 700\n[[word]]\ntext = "敏感"\nremove = true\n')
    assert sluice("apply", change, "--data", data).out == (
        "~ user acme\n    limit: 600 → 700\n- word 敏感\n0 added, 1 changed, 1 removed, 0 unchanged.\n"
    )


def test_many_of_a_kind_are_counted_and_verbose_lists_them(tmp_path: Path, data: Path) -> None:
    words = tmp_path / "words.toml"
    words.write_text("".join(f'[[word]]\ntext = "w{n}"\n' for n in range(50)))
    assert sluice("apply", words, "--data", data).out == (
        "+ word: 50 added\n50 added, 0 changed, 0 removed, 0 unchanged.\n"
    )
    assert sluice("apply", words, "--data", data, "--verbose").out.count("= word w") == 50


def test_a_dry_run_changes_nothing(document: Path, data: Path) -> None:
    for run in (
        sluice("apply", document, "--data", data, "--dry-run"),
        with_daemon(data, "apply", document, "--dry-run")[0],
    ):
        assert run.out == EXPECTED + "Nothing was changed: this was a dry run.\n"
    with opened(data) as store:
        assert store.directory().carriers == {}


def test_problems_go_to_standard_error_and_exit_2_up_and_down(tmp_path: Path, data: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[[route]]\nprefix = ""\ncarriers = ["nobody"]\n[[word]]\ntext = "x"\n')
    down = sluice("apply", bad, "--data", data)
    assert (down.code, down.out) == (2, "")
    assert down.err.startswith(f'{bad}: [[route]] 1 """": carriers: there is no carrier "nobody"')
    assert with_daemon(data, "apply", bad)[0] == down
    with opened(data) as store:
        assert store.words() == []


def test_a_list_beside_the_document_reaches_a_daemon_elsewhere(tmp_path: Path, data: Path) -> None:
    document = tmp_path / "d.toml"
    document.write_text('[[blacklist]]\nscope = "global"\nnumbers_file = "numbers.txt"\n')
    (tmp_path / "numbers.txt").write_text("\n".join(str(8613000000000 + n) for n in range(3000)))
    run, told = with_daemon(data, "apply", document)
    assert run.out == "+ blacklist global\n    numbers: 3000\n1 added, 0 changed, 0 removed, 0 unchanged.\n"
    assert told[0][0].fields == (("numbers", 0, 3000),)


def test_the_home_country_of_the_configuration_makes_numbers_whole(tmp_path: Path, data: Path) -> None:
    config = tmp_path / "sluice.toml"
    config.write_text('[smpp]\nhome_country = "86"\n')
    document = tmp_path / "d.toml"
    document.write_text('[[blacklist]]\nscope = "global"\nnumbers = ["13800138000"]\n')
    sluice("apply", document, "--data", data, "--config", config)
    with opened(data) as store:
        assert [list(numbers) for numbers in store.blacklists().values()] == [[8613800138000]]


def test_an_export_applies_to_an_empty_directory(document: Path, data: Path, tmp_path: Path) -> None:
    sluice("apply", document, "--data", data)
    exported = tmp_path / "exported.toml"
    exported.write_text(sluice("export", "--secrets", "--data", data).out, encoding="utf-8")
    run = sluice("apply", exported, "--data", tmp_path / "other")
    assert run.out.endswith("8 added, 0 changed, 0 removed, 0 unchanged.\n")
    assert sluice("export", "--secrets", "--data", tmp_path / "other").out == exported.read_text(
        encoding="utf-8"
    )


def test_an_export_shows_no_password_unless_asked(document: Path, data: Path) -> None:
    sluice("apply", document, "--data", data)
    assert "carrier-password" not in sluice("export", "--data", data).out
    assert "carrier-password" in sluice("export", "--secrets", "--data", data).out
