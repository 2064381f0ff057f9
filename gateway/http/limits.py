"""Bounds of the HTTP server: what one stranger, one connection and all of them together can make us keep."""

import ipaddress
from typing import Self

import msgspec

from gateway.settings import Config

OUTPUT_OCTETS = 262_144  # answers of pipelined requests are sent at the latest when there are so many
HEADERS_MAX = 100  # header fields of one request; browsers send some 20
URL_OCTETS_MAX = 8_192  # RFC 9112 section 3 asks for 8,000 at least
# A body of unknown length is counted with its framing: an octet a chunk costs six more on the wire.
CHUNK_OVERHEAD_FACTOR = 8
PIECE_OCTETS_MIN = 512  # pieces of a body that are smaller are put together as they come
STREAM_OCTETS_PER_S_MIN = 1_024  # a streamed body that arrives slower than this on average is cut off
LINGER_S = 1.0  # after an error we read on for so long, so that the client can read why
LINGER_OCTETS = 1_048_576


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in octets. Defaults are those of `[http]` and `[limits]`."""

    header_octets_max: int = 16_384
    body_octets_max: int = 8_388_608
    body_octets_total_max: int = 268_435_456  # buffered bodies of all connections together
    header_timeout_s: float = (
        10.0  # from its first octet, or the connection's first moment, a head must be whole
    )
    request_timeout_s: float = 30.0  # from its first octet a request must be whole within this time
    keep_alive_s: float = 75.0
    write_timeout_s: float = 30.0  # a client that takes no octet for so long is cut off
    connections_max: int = 2_000
    connections_per_address_max: int = 1_000
    trusted_proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        """The bounds that a configuration asks for."""
        http, limits = config.http, config.limits
        return cls(
            header_octets_max=http.header_octets_max,
            body_octets_max=http.body_octets_max,
            header_timeout_s=http.header_timeout_s,
            request_timeout_s=http.request_timeout_s,
            keep_alive_s=http.keep_alive_s,
            write_timeout_s=http.write_timeout_s,
            connections_max=limits.http_connections_max,
            connections_per_address_max=limits.http_connections_per_address_max,
            trusted_proxies=http.trusted_proxies,
        )


class Proxies:
    """Whose X-Forwarded-For is believed."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(ipaddress.ip_network(cidr, strict=False) for cidr in networks)

    def trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._networks)

    def client(self, peer: str, forwarded_for: bytes | None) -> str:
        """The address of the client: the last one in the list that is no proxy of ours."""
        if forwarded_for is None or not self.trusts(peer):
            return peer
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            address = hop.strip()
            if not self.trusts(address):
                try:
                    return str(ipaddress.ip_address(address))
                except ValueError:
                    return peer
        return peer
