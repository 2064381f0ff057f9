"""`sluice check`: what is wrong, how bad, and where each value comes from."""

import socket
from pathlib import Path

import pytest

from gateway.checks import Finding, check_machine, fsync_finding, fsync_mean_us, sqlite_finding
from gateway.config import Config
from gateway.settings import SmppSettings, StoreSettings, TlsSettings
from tests.gateway.cli_runner import sluice
from tests.store.config_world import world


def config_for(data: Path, **store: int) -> Config:
    return Config(store=StoreSettings(data=str(data), **store))  # type: ignore[arg-type]


def findings(config: Config) -> dict[str, str]:
    """Text by level; those of the machine's SQLite and fsync left out."""
    return {
        finding.level: finding.text
        for finding in check_machine(config)
        if "SQLite" not in finding.text and "fsync" not in finding.text
    }


def test_a_sound_installation_exits_0_and_prints_every_value_with_its_source(tmp_path: Path) -> None:
    world(tmp_path).close()
    config = tmp_path / "s.toml"
    config.write_text("[smpp]\nenquire_link_s = 7\n")
    run = sluice("check", "--data", tmp_path / "data", "--config", config)
    assert (run.code, run.err) == (0, "")
    words = [line.split() for line in run.out.splitlines()]
    assert ["smpp.enquire_link_s", "7.0", str(config)] in words
    assert ["http.keep_alive_s", "75.0", "default"] in words
    assert ["store.data", f'"{tmp_path}/data"', "--data"] in words
    assert "config.db is sound" in run.out


def test_a_fresh_machine_is_fine(tmp_path: Path) -> None:
    run = sluice("check", "--data", tmp_path / "new")
    assert run.code == 0
    assert "does not exist yet" in run.out
    assert not (tmp_path / "new").exists()


def test_a_tampered_store_exits_1(tmp_path: Path) -> None:
    with world(tmp_path) as store, store.writing("thief") as transaction:
        transaction.run("UPDATE user SET granted = 601")
    run = sluice("check", "--data", tmp_path / "data")
    assert run.code == 1
    assert "The quota does not add up: user 1: granted 601, the ledger says 600." in run.out
    assert "must be put right" in run.err


def test_loose_modes_are_warned_of_with_the_command_that_mends_them(tmp_path: Path) -> None:
    world(tmp_path).close()
    (tmp_path / "data").chmod(0o755)
    (tmp_path / "data" / "secrets.key").chmod(0o640)
    texts = [
        finding.text for finding in check_machine(config_for(tmp_path / "data")) if finding.level == "warning"
    ]
    assert f"{tmp_path}/data may be used by others (mode 755). Run: chmod 700 {tmp_path}/data" in texts
    assert any("chmod 600" in text and "secrets.key" in text for text in texts)


def test_a_data_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "is no directory" in findings(config_for(tmp_path / "data"))["error"]


@pytest.mark.parametrize(
    ("low", "critical", "level", "text"),
    [
        (0, 0, "ok", "are free on the disk"),
        (1 << 40, 0, "warning", "new messages are refused"),
        (1 << 40, 1 << 40, "error", "nothing is sent"),
    ],
)
def test_free_space_is_held_against_the_bounds(
    tmp_path: Path, low: int, critical: int, level: str, text: str
) -> None:
    assert text in findings(config_for(tmp_path, disk_low_mib=low, disk_critical_mib=critical))[level]


def test_tls_files_that_are_missing_or_loose_are_found(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("")
    key.chmod(0o644)
    tls = TlsSettings(listen=":3550", certificate=str(tmp_path / "none.pem"), key=str(key))
    config = Config(store=StoreSettings(data=str(tmp_path)), smpp=SmppSettings(tls=tls))
    found = list(check_machine(config))
    assert any(f.level == "error" and "none.pem cannot be read" in f.text for f in found)
    assert any(f.level == "warning" and f"chmod 600 {key}" in f.text for f in found)


@pytest.mark.parametrize(
    ("version", "accept", "level"),
    [
        ((3, 40, 1), True, "note"),
        ((3, 40, 1), False, "error"),
        ((3, 44, 6), False, "ok"),
        ((3, 44, 5), False, "error"),
        ((3, 45, 0), False, "error"),
        ((3, 50, 7), False, "ok"),
        ((3, 51, 2), False, "error"),
        ((3, 51, 3), False, "ok"),
        ((3, 52, 0), True, "error"),
        ((3, 53, 0), False, "ok"),
    ],
)
def test_sqlite_versions_are_judged(version: tuple[int, ...], accept: bool, level: str) -> None:
    assert sqlite_finding(version, accept_old=accept).level == level


def test_a_disk_that_is_too_fast_is_suspect() -> None:
    assert fsync_finding(5.0).level == "warning"
    assert fsync_finding(300.0) == Finding("ok", "fsync takes 300 µs on average.")


def test_the_fsync_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    assert fsync_mean_us(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_dead_socket_does_not_look_like_a_daemon(tmp_path: Path) -> None:
    world(tmp_path).close()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "data" / "control.sock"))
    run = sluice("check", "--data", tmp_path / "data")
    assert run.code == 0
    assert "is running" not in run.out
