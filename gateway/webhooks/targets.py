"""A customer's URL, read strictly: what two parsers could read differently is refused.

Only what is said in the text is judged here. Where a name leads is judged each time a connection is made
(`resolver.py`, `client.py`), because it may lead elsewhere by then.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from gateway.webhooks.addresses import Network, is_allowed_private, objection, read_address

URL_CHARACTERS_MAX = 2048
_CHARACTERS = re.compile(r"[!-~]+")  # visible ASCII
_DOUBTFUL = re.compile(r'[\\"<>^`{|}]|%(?![0-9A-Fa-f]{2})')
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
PORTS = {"http": 80, "https": 443}


class BadUrl(ValueError):
    """A URL that cannot be used; the text is a sentence."""


class Target(msgspec.Struct, frozen=True):
    """Where to post."""

    scheme: str
    host: str  # lower case, without brackets
    port: int
    resource: str  # path and query, as sent

    @property
    def key(self) -> str:
        """Scheme, host and port: what shares connections, and fails together."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The Host field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class UrlRules(msgspec.Struct, frozen=True):
    """What the operator allows."""

    private: tuple[Network, ...] = ()
    ports: tuple[int, ...] = (80, 443)


def read_url(text: str, rules: UrlRules) -> Target:
    """The target that a URL names. Raises BadUrl."""
    if not text or len(text) > URL_CHARACTERS_MAX:
        raise BadUrl(f"A URL has 1 to {URL_CHARACTERS_MAX} characters.")
    if not _CHARACTERS.fullmatch(text):
        raise BadUrl(
            "A URL has visible ASCII characters only. Write other characters as %XX, and a host's name"
            " in its xn-- form."
        )
    if _DOUBTFUL.search(text):
        raise BadUrl("The URL has a character that must be written as %XX.")
    try:
        split = urlsplit(text)
    except ValueError:
        raise BadUrl("The URL cannot be read. Write it like https://example.com/sms.") from None
    scheme = split.scheme.lower()
    if scheme not in PORTS or text[len(scheme) : len(scheme) + 3] != "://":
        raise BadUrl("A URL begins with https:// or http://.")
    if "@" in split.netloc:
        raise BadUrl("A URL must not hold a user or password. The signature says who is calling.")
    if split.fragment or text.endswith("#"):
        raise BadUrl("A URL must not have a fragment (#…): it would not be sent.")
    host, port = _authority(split.netloc, scheme)
    address = read_address(host)
    if address is None and host.rpartition(".")[2] == "localhost":
        address = read_address("127.0.0.1")
    if address is not None and (why := objection(address, rules.private)):
        raise BadUrl(
            f"{host} is {why}. Use an address of the public internet, or ask the operator to name it in"
            " [webhooks] allow_private."
        )
    if port not in rules.ports and not _may_be_private(address, rules):
        some = ", ".join(map(str, rules.ports))
        raise BadUrl(f"Port {port} may not be used. Use one of {some}, or ask the operator for it.")
    resource = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Target(scheme, host, port, resource)


def _may_be_private(address: object, rules: UrlRules) -> bool:
    """Whether this may be one of the operator's own addresses, where any port will do (judged when connecting)."""
    if not rules.private:
        return False
    return address is None or is_allowed_private(address, rules.private)  # type: ignore[arg-type]


def _authority(netloc: str, scheme: str) -> tuple[str, int]:
    host, port_text = netloc, ""
    if netloc.startswith("["):
        host, bracket, rest = netloc[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadUrl("An IPv6 address stands in brackets, like https://[2001:4860::1]/.")
        if rest:
            port_text = rest[1:] or "-"
        address = read_address(host)
        if address is None or address.version != 6 or "%" in host:
            raise BadUrl(f"[{host[:60]}] is no IPv6 address.")
        host = str(address)
    else:
        host, colon, port_text = netloc.partition(":")
        if colon and not port_text:
            port_text = "-"
        _check_name(host)
        host = host.lower()
    if not port_text:
        return host, PORTS[scheme]
    if not _PORT.fullmatch(port_text) or not 0 < int(port_text) < 65_536:
        raise BadUrl("The port is a number from 1 to 65535.")
    return host, int(port_text)


def _check_name(host: str) -> None:
    labels = host.split(".")
    if not host or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadUrl(f'"{host[:60]}" is no name of a host.')
    if _NUMERIC.fullmatch(labels[-1]) and read_address(host) is None:
        # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to some programs and names to others.
        raise BadUrl(f'"{host[:60]}" is neither a name nor an address like 203.0.113.5 in its usual form.')


def shown(url: str) -> str:
    """A URL for logs and lists: without its query, which often holds a secret."""
    return url.partition("?")[0] + ("?…" if "?" in url else "")


def host_matches(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is one of those: exact, or `*.example.com` for everything below example.com."""
    return any(
        host.endswith(pattern[1:]) and len(host) >= len(pattern)
        if pattern.startswith("*.")
        else host == pattern
        for pattern in (one.lower() for one in patterns)
    )


def check_hosts(patterns: Iterable[str]) -> None:
    """Raises BadUrl for what is no pattern of `host_matches`."""
    for pattern in patterns:
        if read_address(pattern.strip("[]")) is None:
            name = pattern.removeprefix("*.")
            if "." not in name and pattern != name:
                raise BadUrl(f'"{pattern}" names a whole top-level domain. Name the domain below it.')
            _check_name(name)
