"""`sluice export`: what it prints, apply takes back unchanged, here and elsewhere."""

import tomllib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.export import _toml
from tests.store.config_world import actions, apply, open_store, world

MORE = """
[[sms_type]]
name = "otp"
title = "验证码"
[[group]]
path = "总公司/复核"
review = "always"
[[carrier]]
name = "b \\"quoted\\" 二"
mode = "bound-in"
tlv_add = [[5122, "0A1F"]]
state = "paused"
[[user]]
login = "acme"
sms_types = ["otp", "api"]
senders = ["1069*"]
rate = 70
[[account]]
user = "acme"
system_id = "acme"
password = "esme-pw-1"
senders = ["1069*", "移动"]
sms_type = "otp"
[[account]]
system_id = "api:acme"
rate = 7
[[api_key]]
account = "acme"
key = "another-key-of-16"
state = "disabled"
[[api_key]]
user = "acme"
key = "gw_test_0123456789abcdef0123456789"
scopes = ["send"]
allow = ["10.0.0.0/8"]
expires = "2027-01-01T00:00:00+08:00"
[[number]]
address = "1069*"
account = "acme"
[[route]]
prefix = "86"
sms_type = "otp"
account = "acme"
carriers = ["carrier-a", "b \\"quoted\\" 二"]
weights = [3, 1]
policy = "balance"
[[word]]
text = "back\\\\slash"
action = "reject"
note = "tab\\there"
[[blacklist]]
scope = "group:总公司"
numbers = ["8613800000001"]
[[blacklist]]
scope = "type:otp"
numbers = ["8613800000002"]
[[blacklist]]
scope = "type:otp"
expires = "2099-01-01T00:00:00+08:00"
numbers = ["8613800000003"]
"""


def test_an_export_applies_unchanged(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, MORE)
        for secrets in (False, True):
            changes = apply(store, "".join(store.export(secrets=secrets)))
            assert {change.action for change in changes} == {"unchanged"}


def test_an_export_makes_an_equal_store_elsewhere(tmp_path: Path) -> None:
    with world(tmp_path) as store, open_store(tmp_path, "other") as other:
        apply(store, MORE)
        text = "".join(store.export(secrets=True))
        changes = apply(other, text)
        assert {action for _, _, action in actions(changes)} == {"added"}
        assert "".join(other.export(secrets=True)) == text
        assert other.directory().carriers[1].password == "carrier-password"
        assert set(other.directory().api_keys) == set(store.directory().api_keys)


def test_an_export_holds_no_password_unless_asked(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, MORE)
        text = "".join(store.export())
        assert "carrier-password" not in text
        assert 'password = "carrier-password"' in "".join(store.export(secrets=True))
    for secret in ("esme-pw-1", "gw_live_0123456789abcdef0123456789", "another-key-of-16"):
        assert secret not in text


def test_deleted_things_are_not_exported(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, MORE)
        apply(store, '[[user]]\nlogin = "acme"\nremove = true\n')
        text = "".join(store.export())
        tables = tomllib.loads(text)
        assert set(tables) == {"sms_type", "carrier", "group", "route", "word", "blacklist"}
        with open_store(tmp_path, "other") as other:
            apply(other, text)


@given(st.recursive(st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans(), st.lists, max_leaves=5))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_value_is_written_as_toml_reads_it(value: object) -> None:
    assert tomllib.loads(f"x = {_toml(value)}")["x"] == value
