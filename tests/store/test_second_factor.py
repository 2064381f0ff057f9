"""The second factor in the store: sealed, used once, gone when it is taken away."""

import base64
from pathlib import Path

from store import second_factor, totp
from store.people import make_admin
from store.sessions import begin_session, credentials
from tests.store.config_world import AT, world

STEP = totp.step_of(AT)
CODES = ["aaaa-bbbb-cccc-dddd", "eeee-ffff-gggg-hhhh"]


def test_the_secret_is_sealed_and_recovery_codes_are_hashes(tmp_path: Path) -> None:
    secret = totp.new_secret()
    with world(tmp_path) as store:
        with store.writing("me") as write:
            second_factor.enrol(write, 1, secret, STEP - 1, CODES, keep=b"")
        with store.reading() as connection:
            assert credentials(connection, "acme").second_factor  # type: ignore[union-attr]
        dump = b"".join(path.read_bytes() for path in store.path.parent.glob("config.db*"))
    raw = base64.b32decode(secret)
    for told in (secret.encode(), raw, b"aaaa-bbbb", b"aaaabbbb"):
        assert told not in dump


def test_a_code_counts_once_and_so_does_a_recovery_code(tmp_path: Path) -> None:
    secret = totp.new_secret()
    code = totp.code_at(base64.b32decode(secret), STEP)
    with world(tmp_path) as store, store.writing("me") as write:
        assert not second_factor.use_code(write, 1, code)
        second_factor.enrol(write, 1, secret, STEP - 1, CODES, keep=b"")
        assert not second_factor.use_code(write, 1, f"{(int(code) + 1) % 10**6:06}")
        assert second_factor.use_code(write, 1, code)
        assert not second_factor.use_code(write, 1, code)
        assert second_factor.use_recovery_code(write, 1, "AAAA-bbbb-ccccDDDD")
        assert not second_factor.use_recovery_code(write, 1, "aaaa-bbbb-cccc-dddd")
        assert second_factor.recovery_left(write.connection, 1) == 1


def test_new_recovery_codes_put_the_old_ones_out_of_use(tmp_path: Path) -> None:
    with world(tmp_path) as store, store.writing("me") as write:
        second_factor.enrol(write, 1, totp.new_secret(), STEP, CODES, keep=b"")
        fresh = second_factor.new_recovery_codes()
        assert len(set(fresh)) == second_factor.RECOVERY_CODES
        second_factor.renew_codes(write, 1, fresh)
        assert not second_factor.use_recovery_code(write, 1, CODES[0])
        assert second_factor.use_recovery_code(write, 1, fresh[0])


def test_taken_away_by_an_administrator_it_ends_the_sessions_and_all_its_codes(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("me") as write:
            assert not second_factor.reset(write, 1)
            second_factor.enrol(write, 1, totp.new_secret(), STEP, CODES, keep=b"")
            begin_session(write, "session", 1, address="", agent="")
            assert second_factor.reset(write, 1)
            assert not second_factor.use_recovery_code(write, 1, CODES[0])
            assert write.run("SELECT count(*) FROM console_session").fetchone() == (0,)
        with store.reading() as connection:
            said = connection.execute("SELECT action FROM audit WHERE action LIKE 'second%' ORDER BY id")
            assert [row[0] for row in said] == ["second-factor.enrol", "second-factor.reset"]


def test_whoever_stands_at_the_machine_is_the_way_back_in(tmp_path: Path) -> None:
    with world(tmp_path) as store, store.writing("cli:root") as write:
        second_factor.enrol(write, 1, totp.new_secret(), STEP, CODES, keep=b"")
        begin_session(write, "session", 1, address="", agent="")
        make_admin(write, "acme", "$argon2id$hash")
        assert write.run("SELECT count(*) FROM console_session").fetchone() == (0,)
        assert not second_factor.has_second_factor(write.connection, 1)
