"""What one entry of a document can get wrong that types cannot say: forms, lengths, keys that clash.

Each check yields (key, sentences); key is "" where the whole entry is meant.
"""

import datetime as dt
import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from store.secrets import is_password_hash
from store.webhook_secrets import key_of

UNLIMITED = "unlimited"
# system_ids of the accounts behind a user's API keys, for those that are for tests and the others
IMPLIED_PREFIXES = {False: "api:", True: "test:"}
CONSOLE_PREFIX = "console:"  # and behind what a user sends from the console
C_OCTETS_MAX = 15  # system_id: 16 octets with its NUL (SMPP 3.4 section 4.1)
Finding = tuple[str, str]
TOO_LONG = f"it has more than {C_OCTETS_MAX} octets, which SMPP does not allow. Shorten it."


def check_entry(table: str, values: dict[str, Any]) -> Iterator[Finding]:
    """Everything wrong with one entry whose keys and types are right."""
    for block in values.get("allow", ()):
        try:
            ipaddress.ip_network(block)
        except ValueError as error:
            yield "allow", f'"{block}" is no CIDR block: {error}. Write it like "10.0.0.0/8".'
    if len(values.keys() & {"password", "password_file", "password_hash"}) > 1:
        yield "", "give one of password, password_file and password_hash."
    if table in _CHECKS:
        yield from _CHECKS[table](values)


def _account(values: dict[str, Any]) -> Iterator[Finding]:
    system_id = values["system_id"]
    if len(system_id.encode()) > C_OCTETS_MAX and not is_implied(system_id):
        yield "system_id", TOO_LONG
    if values.get("password_hash") and not is_password_hash(values["password_hash"]):
        yield (
            "password_hash",
            'it is no argon2id hash. Give the password itself as "password",'
            " or a hash that `sluice export` printed.",
        )
    for sender in values.get("senders", ()):
        if "*" in sender.removesuffix("*"):
            yield "senders", f'"{sender}" may have "*" at its end only. Correct it.'


def is_implied(system_id: str) -> bool:
    """Whether an account by this name stands behind API keys or tasks: nobody binds with it, it has no password."""
    return system_id.startswith((*IMPLIED_PREFIXES.values(), CONSOLE_PREFIX))


def _carrier(values: dict[str, Any]) -> Iterator[Finding]:
    for tag, value in values.get("tlv_add", ()):
        if not _is_hex(value):
            yield "tlv_add", f'the value of tag {tag} is not hex. Write it like "0A1F".'
    for key in ("system_id", "system_type"):
        if len(values.get(key, "").encode()) > C_OCTETS_MAX:
            yield key, TOO_LONG


def _route(values: dict[str, Any]) -> Iterator[Finding]:
    prefix = values["prefix"]
    if prefix and not (prefix.isascii() and prefix.isdigit()):
        yield "prefix", 'it must be digits, or "" for every destination.'
    if "carriers" in values and not values["carriers"]:
        yield "carriers", "a route needs one carrier at least. Name one."
    if len(set(values.get("carriers", ()))) < len(values.get("carriers", ())):
        yield "carriers", "a carrier is named twice. Give it a weight instead."
    if values.get("weights") and len(values["weights"]) != len(values.get("carriers", ())):
        yield "weights", "give one weight for each of the carriers, or none at all."


def _number(values: dict[str, Any]) -> Iterator[Finding]:
    digits = values["address"].removesuffix("*")
    if not (digits.isascii() and digits.isalnum()):
        yield "address", 'it must be digits, or a prefix ending in "*".'


def _group(values: dict[str, Any]) -> Iterator[Finding]:
    path, granted = values["path"], values.get("granted")
    if any(not part.strip() for part in path.split("/")):
        yield "path", 'a path is names with "/" between them, none of them empty.'
    if (granted == UNLIMITED or values.get("unlimited")) and "/" in path:
        yield "granted", "only a root group can be unlimited. Give this one a number of parts."
    if values.get("unlimited") and isinstance(granted, int) and granted:
        yield "unlimited", "it has granted parts as well. Keep one of the two."


def _expires(values: dict[str, Any]) -> Iterator[Finding]:
    if values.get("expires"):
        try:
            naive = dt.datetime.fromisoformat(values["expires"]).tzinfo is None
        except ValueError:
            naive = True
        if naive:
            yield "expires", 'it is no time with an offset. Write it like "2027-01-01T00:00:00Z".'


def _api_key(values: dict[str, Any]) -> Iterator[Finding]:
    if ("key" in values) == ("key_hash" in values):
        yield "", "give either the key or its key_hash."
    yield from _expires(values)
    if not ("user" in values or "account" in values or values.get("remove")):
        yield "", '"user" is missing. Add it.'


def _webhook(values: dict[str, Any]) -> Iterator[Finding]:
    if "account" not in values:
        yield "", '"user" or "account" is missing. Add one.'
    if values.get("url") and values.get("hosts"):
        yield "hosts", "they are for an endpoint without a url, which stands for the URLs of messages."
    if "secret" in values:
        try:
            key_of(values["secret"])
        except ValueError as error:
            yield "secret", f"{error}."


def _template(values: dict[str, Any]) -> Iterator[Finding]:
    if "text" not in values:
        return  # one that is there keeps its text
    for name in values.get("variables", ()):
        if f"【{name}】" not in values["text"]:
            yield "variables", f"the text has no 【{name}】. Put it there, or leave the variable out."


def _blacklist(values: dict[str, Any]) -> Iterator[Finding]:
    yield from _expires(values)
    if not ("numbers" in values or "numbers_file" in values):
        yield "", "it names no numbers. Add numbers or numbers_file."


_CHECKS: dict[str, Callable[[dict[str, Any]], Iterator[Finding]]] = {
    "account": _account,
    "carrier": _carrier,
    "route": _route,
    "number": _number,
    "group": _group,
    "api_key": _api_key,
    "webhook": _webhook,
    "template": _template,
    "blacklist": _blacklist,
}


def _is_hex(text: str) -> bool:
    try:
        return bytes.fromhex(text) is not None
    except ValueError:
        return False
