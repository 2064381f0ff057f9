"""URLs that messages bring with them (`callback_url`): allowed only to hosts that the account has declared.

The declaration is an endpoint without a URL and with `hosts`; its secret signs, its rows and dead letters are those
of any endpoint. An account that has none may not name URLs: a stolen key then cannot turn reports elsewhere.
"""

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from gateway.api.invalid import Invalid
from gateway.webhooks.addresses import networks
from gateway.webhooks.targets import BadUrl, UrlRules, host_matches, read_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core import Core

POINTER = "/callback_url"


@lru_cache(maxsize=8)
def rules_of(allow_private: tuple[str, ...], ports: tuple[int, ...]) -> UrlRules:
    """What `[webhooks]` allows."""
    return UrlRules(networks(allow_private), ports)


def callback_check(core: "Core", account: int) -> "Callable[[str], None]":
    """Judges the callback URLs of an account's messages; the call raises Invalid."""
    return partial(check_callback, core, account)


def check_callback(core: "Core", account: int, url: str) -> None:
    """Raises Invalid unless messages of this account may name this URL."""
    declared = [
        one
        for one in core.directory.webhooks.values()
        if one.account == account and not one.url and one.state == "active"
    ]
    if not declared:
        raise Invalid(
            POINTER,
            "callback-not-allowed",
            "This account has declared no hosts for callback URLs. Add an endpoint with hosts and without url.",
        )
    settings = core.config.webhooks
    try:
        target = read_url(url, rules_of(settings.allow_private, settings.ports))
    except BadUrl as error:
        raise Invalid(POINTER, "bad-url", str(error)) from None
    if not any(host_matches(target.host, one.hosts) for one in declared):
        raise Invalid(
            POINTER,
            "callback-host",
            f'"{target.host}" is not one of the hosts that callback URLs of this account may name.',
        )
