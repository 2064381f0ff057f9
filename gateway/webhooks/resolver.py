"""Names into addresses, in worker threads: how many at once is bounded, for each account and in all.

A name server that never answers holds a thread until the C library gives up, some 10 to 30 s, long after the
attempt that asked is over. The bounds make that the problem of the account that named it.
"""

import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import trio

from gateway.webhooks.addresses import Address, read_address

LOOKUPS_MAX = 32
LOOKUPS_OF_ACCOUNT_MAX = 4
ADDRESSES_MAX = 8  # of a name; the rest is not tried

Lookup = Callable[[str], list[Address]]
Resolve = Callable[[str, int], Awaitable[list[Address]]]  # name, account


class NoAddress(Exception):
    """A name that leads nowhere; the text is a sentence."""


def system_lookup(name: str) -> list[Address]:
    """The addresses that the system's resolver gives. Blocks. Raises NoAddress."""
    try:
        rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "the name cannot be looked up"
        raise NoAddress(f"{name} has no address: {why}.") from error
    # A scope (fe80::1%eth0) is cut off: such an address is refused anyway.
    found = dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows)
    return [ip_address(text) for text in found]


class Resolver:
    """Looks names up; each time anew."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._all = trio.CapacityLimiter(LOOKUPS_MAX)
        self._accounts: dict[int, trio.CapacityLimiter] = {}

    async def resolve(self, name: str, account: int) -> list[Address]:
        """The addresses of a name, 1 to ADDRESSES_MAX. Raises NoAddress; the caller sets a deadline."""
        literal = read_address(name)
        if literal is not None:
            return [literal]
        own = self._accounts.setdefault(account, trio.CapacityLimiter(LOOKUPS_OF_ACCOUNT_MAX))
        try:
            found = await trio.to_thread.run_sync(
                self._lookup,
                name,
                limiter=_Both(own, self._all),  # type: ignore[arg-type]  # all that trio calls is there
                abandon_on_cancel=True,
            )
        finally:
            if not own.borrowed_tokens and not own.statistics().tasks_waiting:
                self._accounts.pop(account, None)
        if not found:
            raise NoAddress(f"{name} has no address.")
        return found[:ADDRESSES_MAX]


class _Both:
    """Two limiters as one. What a thread holds is given back when the thread ends, abandoned or not."""

    def __init__(self, *limiters: trio.CapacityLimiter) -> None:
        self._limiters = limiters

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        taken: list[trio.CapacityLimiter] = []
        try:
            for limiter in self._limiters:
                await limiter.acquire_on_behalf_of(borrower)
                taken.append(limiter)
        except BaseException:
            for limiter in taken:
                limiter.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: object) -> None:
        for limiter in self._limiters:
            limiter.release_on_behalf_of(borrower)
