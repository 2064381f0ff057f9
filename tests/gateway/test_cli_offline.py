"""message, receipts, backup and admin on the files themselves, while no daemon runs."""

import io
from pathlib import Path

import pytest

from gateway.smpp.encode import body_of, header
from gateway.smpp.pdu import SubmitSm
from store.api_db import ApiChanges, ApiStore, BatchRow
from store.config_db import ConfigStore
from store.ids import IdSource
from store.model import NO_ERROR, Attempt, Changes, Outcome, ParkedReceipt, Part, Receipt, State
from store.secrets import password_matches
from store.traffic import SqliteStore
from tests.gateway.cli_runner import sluice
from tests.store.config_world import world

NOW_MS = 1_790_000_000_000


def part(identifier: int) -> Part:
    """A message of account 1, routed to carrier 1."""
    body = body_of(
        SubmitSm(source_addr=b"10690001", destination_addr=b"8613800138000", short_message=b"hello")
    )
    return Part(
        id=identifier, account=1, carrier=1, lane=1, state=State.QUEUED, part_no=1, parts=1, dest=8613800138000,
        source=b"10690001", sms_type=4, task=0, route=1, registered_delivery=1, data_coding=0, accepted_at=NOW_MS,
        deliver_at=0, expires_at=NOW_MS + 3_600_000, done_at=NOW_MS, error=NO_ERROR, flags=0, body=body, detail=None,
    )  # fmt: skip


@pytest.fixture
def message_id(tmp_path: Path) -> int:
    """A data directory with one delivered message and one parked receipt."""
    world(tmp_path).close()
    ids = IdSource(lambda: NOW_MS / 1000)
    identifier, receipt, parked = ids.mint(), ids.mint(), ids.mint()
    traffic = SqliteStore.open(tmp_path / "data", now_ms=NOW_MS)
    traffic.recover()
    traffic.apply(Changes(parts=[part(identifier)]))
    traffic.apply(
        Changes(
            attempts=[Attempt(identifier, 1, 1, 1, 17, NOW_MS + 5, NOW_MS + 45, 0, "abc123", None)],
            receipts=[Receipt(receipt, identifier, 1, 1, 1, NOW_MS + 2000, 2, 0, 1, b"raw")],
            outcomes=[Outcome(identifier, 1, State.DELIVERED, NOW_MS + 2000, 0)],
            parked=[
                ParkedReceipt(parked, 1, 1, NOW_MS, "ff00", 8613800138001, 5, 0, b"raw", "unknown id"),
            ],
        )
    )
    traffic.close()
    return identifier


def test_a_messages_life_is_told_in_order_of_time(tmp_path: Path, message_id: int) -> None:
    run = sluice("message", message_id, "--data", tmp_path / "data")
    assert run.err == ""
    lines = run.out.splitlines()
    assert lines[0] == f"Message {message_id} of account api:acme: 10690001 to 8613800138000, 1 part"
    assert lines[1] == f"Part 1 of 1 ({message_id}): DELIVERED"
    told = [line.strip().partition("  ")[2] for line in lines[2:]]
    body = body_of(
        SubmitSm(source_addr=b"10690001", destination_addr=b"8613800138000", short_message=b"hello")
    )
    assert told == [
        "accepted: 5 octets, data_coding 0, normal, wants a receipt",
        told[1],
        f"try 1: sent to carrier-a, bind 1, sequence 17: {header(4, 0, 17, len(body)).hex()}{body.hex()}",
        "try 1: ESME_ROK, smsc_message_id abc123",
        "receipt DELIVERED, from carrier-a, bind 1: 726177",
        "ended as DELIVERED",
    ]
    assert told[1].startswith("route ") and told[1].endswith(": carrier-a")
    assert lines[2].startswith("  2026-09-21 14:13:20.000  ")


def test_the_text_is_printed_only_when_asked_for(tmp_path: Path, message_id: int) -> None:
    assert "hello" not in sluice("message", message_id, "--data", tmp_path / "data").out
    assert "hello" in sluice("message", message_id, "--text", "--data", tmp_path / "data").out


def test_an_unknown_message_exits_1_and_no_id_at_all_2(tmp_path: Path, message_id: int) -> None:
    missing = sluice("message", message_id + 7, "--data", tmp_path / "data")
    assert (missing.code, missing.err) == (
        1,
        f"There is no message {message_id + 7}. Its day is kept here.\n",
    )
    wrong = sluice("message", "hello", "--data", tmp_path / "data")
    assert wrong.code == 2
    assert '"hello" is no message id' in wrong.err


def test_parked_receipts_are_listed_with_their_carrier_and_reason(tmp_path: Path, message_id: int) -> None:
    assert sluice("receipts", "parked", "--data", tmp_path / "data").out == (
        "2026-09-21 14:13:20  carrier-a  id ff00  to 8613800138001  UNDELIVERABLE: unknown id\n1 parked.\n"
    )


def test_a_backup_is_whole_and_opens(tmp_path: Path, message_id: int) -> None:
    run = sluice("backup", tmp_path / "copy", "--data", tmp_path / "data")
    assert run.err == ""
    files = run.out.splitlines()
    assert files[:2] == [f"{tmp_path}/copy/config.db", f"{tmp_path}/copy/days/2026-09-21.db"]
    assert sorted(files) == sorted(str(p) for p in (tmp_path / "copy").rglob("*") if p.is_file())
    assert not (tmp_path / "copy" / "secrets.key").exists()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    copy = SqliteStore.open(tmp_path / "copy", now_ms=NOW_MS)
    life = copy.message(message_id)
    copy.close()
    assert life is not None
    assert life.attempts[0].smsc_message_id == "abc123"


def test_a_backup_has_what_the_api_remembers(tmp_path: Path, message_id: int) -> None:
    with ApiStore.open(tmp_path / "data") as api:
        api.apply(ApiChanges(batches=[BatchRow(7, account=1, created_at=NOW_MS, ref="spring")]))
    run = sluice("backup", tmp_path / "copy", "--data", tmp_path / "data")
    assert f"{tmp_path}/copy/api.db" in run.out.splitlines()
    with ApiStore.open(tmp_path / "copy") as copy:
        batch = copy.batch(7)
    assert batch is not None
    assert batch.ref == "spring"


def test_a_backup_overwrites_nothing(tmp_path: Path, message_id: int) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_text("x")
    run = sluice("backup", tmp_path / "copy", "--data", tmp_path / "data")
    assert run.code == 2
    assert "Directory not empty" in run.err
    assert (tmp_path / "copy" / "mine").read_text() == "x"


def test_an_administrator_can_be_made_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    run = sluice("admin", "create", "zhang", "--password-stdin", "--data", tmp_path / "data")
    assert run.out == "zhang is an administrator of root.\n"
    with ConfigStore.open(tmp_path / "data") as store, store.reading() as connection:
        role, password_hash = connection.execute("SELECT role, password_hash FROM user").fetchone()
    assert role == "admin"
    assert password_matches(password_hash, "correct horse battery")


def test_a_short_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    run = sluice("admin", "create", "zhang", "--password-stdin", "--data", tmp_path / "data")
    assert run.code == 2
    assert "fewer than 8 characters" in run.err
    assert not (tmp_path / "data").exists()


def test_applying_offline_counts_what_the_day_files_hold(tmp_path: Path, message_id: int) -> None:
    from store.model import Usage

    traffic = SqliteStore.open(tmp_path / "data", now_ms=NOW_MS)
    traffic.recover()
    traffic.apply(Changes(usage=[Usage(1, NOW_MS // 86_400_000, 30, 12)]))
    traffic.close()
    document = tmp_path / "d.toml"
    document.write_text('[[user]]\nlogin = "acme"\nlimit = 41\n')
    run = sluice("apply", document, "--data", tmp_path / "data")
    assert run.code == 2
    assert "the user has used or reserved 42 parts already. Give 42 at least" in run.err
    document.write_text('[[user]]\nlogin = "acme"\nlimit = 42\n')
    assert sluice("apply", document, "--data", tmp_path / "data").code == 0
