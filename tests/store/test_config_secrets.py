"""Secrets at rest: what a thief of config.db gets, and what a bind storm costs."""

import os
import time
from pathlib import Path

import pytest

from store.config_db import ConfigStore
from store.directory import Account
from store.files import StoreError
from store.secrets import (
    PasswordVerifier,
    Sealer,
    api_key_hash,
    hash_password,
    is_password_hash,
    new_password,
    password_matches,
)
from tests.store.config_world import apply, world

ACCOUNT = '[[account]]\nuser = "acme"\nsystem_id = "acme"\npassword = "esme-pw-1"\n'


@pytest.fixture(scope="module")
def account() -> Account:
    return Account(7, 1, "acme", hash_password("right"))


def test_a_dump_of_the_database_holds_no_secret(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT)
        with store.reading() as connection:
            dump = "\n".join(connection.iterdump())
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("config.db*"))
    for secret in ("carrier-password", "esme-pw-1", "gw_live_0123456789abcdef0123456789"):
        assert secret not in dump
        assert secret.encode() not in files
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in dump


def test_a_hash_has_its_own_salt_and_at_least_owasp_costs() -> None:
    first, second = hash_password("secret"), hash_password("secret")
    assert first != second
    assert is_password_hash(first)
    assert not is_password_hash("secret")
    assert not is_password_hash("$argon2i$v=19$m=1,t=1,p=1$AAAA$AAAA")
    memory, passes, lanes = (int(pair.split("=")[1]) for pair in first.split("$")[3].split(","))
    assert memory >= 19 * 1024
    assert passes >= 2
    assert lanes == 1


def test_a_wrong_password_or_hash_matches_nothing() -> None:
    assert not password_matches("", "")
    assert not password_matches("plain", "plain")
    assert not password_matches(hash_password("a"), "b")


def test_five_hundred_binds_cost_one_verification(account: Account) -> None:
    verifier = PasswordVerifier()
    assert verifier.recall(account, b"right") is None
    assert verifier.verify(account, b"right")
    start = time.process_time()
    assert all(verifier.verify(account, b"right") for _ in range(500))
    assert time.process_time() - start < 0.25


def test_a_wrong_password_costs_once_too(account: Account) -> None:
    verifier = PasswordVerifier()
    assert not verifier.verify(account, "wrong")
    assert verifier.recall(account, "wrong") is False
    assert verifier.recall(account, "right") is None


def test_a_new_hash_forgets_the_old_password(account: Account) -> None:
    verifier = PasswordVerifier()
    assert verifier.verify(account, "right")
    changed = Account(account.id, account.user, account.system_id, hash_password("other"))
    assert verifier.recall(changed, "right") is None
    assert not verifier.verify(changed, "right")


def test_an_unknown_account_takes_as_long_as_a_wrong_password(account: Account) -> None:
    verifier = PasswordVerifier()
    assert not verifier.verify(None, "x")  # makes the decoy
    start = time.process_time()
    assert not verifier.verify(None, "x")
    unknown_s = time.process_time() - start
    start = time.process_time()
    assert not verifier.verify(account, "y")
    wrong_s = time.process_time() - start
    assert wrong_s / 4 < unknown_s < wrong_s * 4


def test_an_account_without_a_hash_never_verifies() -> None:
    assert not PasswordVerifier().verify(Account(1, 1, "api:acme", ""), "")


def test_the_cache_is_bounded(account: Account) -> None:
    verifier = PasswordVerifier(verified_max=2)
    for password in ("a", "b", "c"):
        verifier.verify(account, password)
    assert [verifier.recall(account, password) for password in ("a", "b", "c")] == [None, False, False]


def test_sealed_texts_differ_each_time_and_open_only_for_their_owner(tmp_path: Path) -> None:
    sealer = Sealer.open(tmp_path)
    sealed = sealer.seal("secret", "carrier a")
    assert sealed != sealer.seal("secret", "carrier a")
    assert Sealer.open(tmp_path).unseal(sealed, "carrier a") == "secret"
    with pytest.raises(StoreError, match="carrier b was sealed with another"):
        sealer.unseal(sealed, "carrier b")


def test_the_key_file_is_private_and_loose_ones_are_refused(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Sealer.open(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secrets.key").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        Sealer.open(tmp_path)


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    Sealer.open(tmp_path)
    (tmp_path / "secrets.key").write_text("short\n")
    with pytest.raises(StoreError, match="does not hold a key"):
        Sealer.open(tmp_path)


def test_applying_a_password_again_mends_a_lost_key_file(tmp_path: Path) -> None:
    world(tmp_path).close()
    (tmp_path / "data" / "secrets.key").unlink()
    with ConfigStore.open(tmp_path / "data") as store:
        with pytest.raises(StoreError, match="carrier carrier-a"):
            store.directory()
        apply(store, '[[carrier]]\nname = "carrier-a"\npassword = "again"\n')
        assert store.directory().carriers[1].password == "again"


def test_reprs_show_no_secret(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT)
        text = repr(store.directory())
    assert "carrier-password" not in text
    assert "argon2" not in text


def test_generated_passwords_fit_a_bind_and_differ() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(password) == 8 for password in made)


def test_api_keys_are_looked_up_by_sha_256() -> None:
    assert api_key_hash("abc").hex().startswith("ba7816bf8f01cfea")
