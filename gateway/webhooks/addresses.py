"""Which addresses a customer's URL may lead to: the public internet, and what the operator names.

The tables are the IANA special-purpose registries (RFC 6890 and its updates), whole, instead of Python's
`is_private`, whose answer differs between versions. An IPv6 address that carries an IPv4 address is judged by
that one, because that is where a translator or tunnel would take the connection.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4 = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "an address of carrier-grade NAT"),
    ("127.0.0.0/8", "a loopback address"),
    ("168.63.129.16/32", "an address of a cloud's metadata"),  # Azure's, in the middle of public space
    ("169.254.0.0/16", "a link-local address"),  # with the clouds' 169.254.169.254
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a protocol's address"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),  # with broadcast
)
# Everything outside 2000::/3 is refused as well: loopback, unique local, link-local, site-local, multicast.
_V6 = (
    ("2001::/23", "a protocol's address"),  # with Teredo, which carries an IPv4 address
    ("2001:db8::/32", "an address for documentation"),
    ("2002::/16", "a 6to4 tunnel"),
    ("3fff::/20", "an address for documentation"),
)
_REFUSED: tuple[tuple[Network, str], ...] = tuple((ip_network(block), what) for block, what in (*_V4, *_V6))
_UNICAST = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052: the last 32 bits are where it really goes
_LOCAL_TRANSLATED = IPv6Network("64:ff9b:1::/48")


def networks(blocks: Iterable[str]) -> tuple[Network, ...]:
    """CIDR blocks as networks. Raises ValueError."""
    return tuple(ip_network(block) for block in blocks)


def meant(address: Address) -> Address:
    """Where a connection to this address really goes: the IPv4 address inside a mapped or translated one."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_allowed_private(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether the operator has named this address."""
    there = meant(address)
    return any(there in network for network in allowed if network.version == there.version)


def objection(address: Address, allowed: Iterable[Network] = ()) -> str:
    """Why no connection may go there, such as "a loopback address"; "" if it may.

    Args:
      allowed: what `[webhooks] allow_private` names.
    """
    if is_allowed_private(address, allowed):
        return ""
    there = meant(address)
    for network, what in _REFUSED:
        if there.version == network.version and there in network:
            return what
    if isinstance(there, IPv6Address):
        if there in _LOCAL_TRANSLATED:
            return "an address of a local translator"
        if there.is_loopback:
            return "a loopback address"
        if there not in _UNICAST:
            return "an address that is not of the public internet"
        if (int(there) >> 32) & 0xFFFF_FFFF in (0x0000_5EFE, 0x0200_5EFE):
            return "an ISATAP tunnel"
    return ""


def read_address(text: str) -> Address | None:
    """An address in its one usual form, or None. Octal, hexadecimal, short and decimal forms are none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
