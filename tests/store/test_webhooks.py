"""Endpoints of accounts in config.db: declared, changed, rotated, exported; their secrets sealed."""

import tomllib
from pathlib import Path

import pytest

from store.apply import Change
from store.config_db import ConfigStore
from store.directory import Webhook
from store.document import DocumentError, parse_document
from store.refusals import Refused
from store.webhook_secrets import OVERLAP_MS, new_secret
from store.webhooks_edit import (
    ENDPOINTS_OF_ACCOUNT_MAX,
    add_webhook,
    change_webhook,
    end_overlap,
    remove_webhook,
    rotate_secret,
)
from tests.store.config_world import AT, WORLD, apply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
HOOK = f"""
[[webhook]]
user = "acme"
name = "crm"
url = "https://example.com/sms?token=hush"
secret = "{SECRET}"
events = ["message.status"]
"""


class Clock:
    ms = AT


def opened(tmp_path: Path, clock: Clock | None = None) -> ConfigStore:
    at = clock or Clock()
    store = ConfigStore.open(tmp_path / "data", wall_ms=lambda: at.ms)
    apply(store, WORLD)
    return store


def did(changes: list[Change]) -> list[str]:
    return [change.action for change in changes]


def only(store: ConfigStore) -> Webhook:
    (webhook,) = store.directory().webhooks.values()
    return webhook


def test_an_endpoint_is_declared_changed_and_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert did(apply(store, HOOK)) == ["added"]
        assert did(apply(store, HOOK)) == ["unchanged"]
        webhook = only(store)
        assert (webhook.url, webhook.events) == ("https://example.com/sms?token=hush", ("message.status",))
        assert store.directory().accounts[webhook.account].system_id == "api:acme"
        apply(store, '[[webhook]]\naccount = "api:acme"\nname = "crm"\nconcurrency = 2\nstate = "paused"')
        assert (only(store).concurrency, only(store).state, only(store).secrets) == (2, "paused", (SECRET,))
        assert did(apply(store, '[[webhook]]\nuser = "acme"\nname = "crm"\nremove = true')) == ["removed"]
        assert not store.directory().webhooks


def test_an_endpoint_brings_the_account_of_its_user(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        apply(store, '[[user]]\nlogin = "new"\ngroup = "总公司"')
        apply(
            store, f'[[webhook]]\nuser = "new"\nname = "a"\nurl = "https://a.example/"\nsecret = "{SECRET}"'
        )
        assert store.directory().accounts[only(store).account].system_id == "api:new"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "a"', "account"),
        ('user = "acme"\nname = "a"\nurl = "https://a.example"', "secret"),
        ('user = "acme"\nname = "a"\nsecret = "whsec_short"', "base64"),
        ('user = "nobody"\nname = "a"\nsecret = "' + SECRET + '"', "nobody"),
        ('user = "acme"\nname = "a"\nevents = ["message.read"]', "events"),
        ('user = "acme"\nname = "a"\nurl = "https://a.example"\nhosts = ["a.example"]', "hosts"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_said(text: str, says: str, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(DocumentError, match=says):
            apply(store, "[[webhook]]\n" + text)


def test_no_secret_is_in_the_file_the_report_the_log_or_a_repr(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        changes = apply(store, HOOK)
        told = repr(changes) + repr(only(store))
        with store.reading() as connection:
            told += repr(connection.execute("SELECT * FROM audit").fetchall())
        assert SECRET not in told
        assert "hush" not in told
    octets = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("config.db*"))
    assert SECRET.encode() not in octets


def test_another_secret_signs_beside_the_old_one_for_a_day(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as store:
        apply(store, HOOK)
        apply(store, HOOK.replace(SECRET, OTHER))
        assert only(store).secrets == (OTHER, SECRET)
        clock.ms += OVERLAP_MS
        assert only(store).secrets == (OTHER,)
        with store.writing("test") as transaction:
            assert end_overlap(transaction, clock.ms)
            assert not end_overlap(transaction, clock.ms)
        clock.ms -= OVERLAP_MS
        assert only(store).secrets == (OTHER,)


def test_a_rotation_keeps_two_secrets_and_no_third(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        apply(store, HOOK)
        webhook = only(store)
        made = [new_secret(), new_secret()]
        with store.writing("test") as transaction:
            rotate_secret(transaction, webhook.account, webhook.id, made[0], 1000)
            rotate_secret(transaction, webhook.account, webhook.id, made[1], 1000)
        assert only(store).secrets == (made[1], made[0])
        with store.writing("test") as transaction:
            rotate_secret(transaction, webhook.account, webhook.id, OTHER, 0)
        assert only(store).secrets == (OTHER,)


def test_an_endpoint_belongs_to_its_account(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        apply(store, HOOK)
        webhook = only(store)
        for change in (
            lambda t: change_webhook(t, webhook.account + 1, webhook.id, {"state": "paused"}),
            lambda t: rotate_secret(t, webhook.account + 1, webhook.id, OTHER, 0),
            lambda t: remove_webhook(t, webhook.account + 1, webhook.id),
        ):
            with pytest.raises(Refused), store.writing("test") as transaction:
                change(transaction)
        assert only(store) == webhook


def test_names_are_taken_once_and_endpoints_are_bounded(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        apply(store, HOOK)
        account = only(store).account
        with store.writing("test") as transaction:
            with pytest.raises(Refused, match="already"):
                add_webhook(transaction, account, "crm", SECRET, {})
            for number in range(ENDPOINTS_OF_ACCOUNT_MAX - 1):
                add_webhook(transaction, account, f"more-{number}", SECRET, {"url": "https://a.example/"})
            with pytest.raises(Refused, match="at most"):
                add_webhook(transaction, account, "one more", SECRET, {})


def test_export_and_apply_give_the_same_endpoint_elsewhere(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        apply(store, HOOK)
        with_secrets = "".join(store.export(secrets=True))
        without = "".join(store.export())
        assert SECRET not in without
        assert set(did(store.apply(parse_document(tomllib.loads(without), "x"), "test"))) == {"unchanged"}
        before = only(store)
    with ConfigStore.open(tmp_path / "other") as other:
        apply(other, with_secrets)
        found = only(other)
    assert (found.url, found.events, found.secrets) == (before.url, before.events, before.secrets)
