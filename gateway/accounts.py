"""A customer's account while the daemon runs: its rules made ready, its binds, its log, its counters."""

import ipaddress
from collections.abc import Callable
from typing import Protocol

from filters.senders import SenderPolicy
from gateway.delivery import EVENTS_IN_MEMORY_MAX, RETRY_S, Outbox
from gateway.dress import sender_type
from gateway.ratelimit import TokenBucket
from store.directory import Account, Directory


class ReceiverBind(Protocol):
    """What the log needs of a bind that can take deliver_sm."""

    number: int
    can_receive: bool

    def pump_events(self) -> None: ...


class AccountState:
    """One account. `apply` takes new settings in place, so binds and the log survive a change."""

    def __init__(
        self,
        account: Account,
        directory: Directory,
        now: float,
        *,
        events_max: int = EVENTS_IN_MEMORY_MAX,
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        self.outbox = Outbox(account.id, events_max=events_max, retry_s=retry_s)
        self.binds: list[ReceiverBind] = []
        self.accepted = 0
        self.refused: dict[int, int] = {}  # by reason
        self.delivered = 0
        self.bucket = TokenBucket(account.rate, account.burst, now)
        self.apply(account, directory, now)

    def apply(self, account: Account, directory: Directory, now: float) -> None:
        self.account = account
        self.id = account.id
        self.user = user = directory.users[account.user]
        rate = min(account.rate or user.rate, user.rate or account.rate)
        rate_changed = (rate, account.burst) != (self.bucket.rate, getattr(self, "_burst", None))
        self.group_chain = group_chain(directory, self.user.group)
        self.sms_type = directory.sms_types.get(account.sms_type, 0)
        self.senders = SenderPolicy(account.senders, user.senders)
        self._type_allowed = not user.sms_types or account.sms_type in user.sms_types
        self.default_sender = account.default_sender.encode()
        self.default_sender_type = sender_type(self.default_sender)
        self.networks = parse_networks(account.allow)
        self.review = not account.trusted and effective_review(directory, self.user.id) == "review"
        if rate_changed:
            self.bucket = TokenBucket(rate, account.burst, now)
        self._burst = account.burst

    @property
    def active(self) -> bool:
        """Whether it may bind and send: it and its owner are active, and the owner may send as its type."""
        return self.account.state == "active" and self.user.state == "active" and self._type_allowed

    def may_connect_from(self, address: str) -> bool:
        """Whether the allow list admits this peer address; an empty list admits all."""
        return in_networks(self.networks, address)

    def count_refused(self, reason: int, count: int = 1) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + count

    def pump(self) -> None:
        """Give waiting events to the binds that can take them, the emptiest turn first."""
        binds = self.binds
        if not self.outbox.ready:
            return
        for bind in binds:
            if bind.can_receive:
                bind.pump_events()
                if not self.outbox.ready:
                    break
        if len(binds) > 1:
            # The next pass begins with another bind, so that all share the work.
            binds.append(binds.pop(0))


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def parse_networks(allow: tuple[str, ...]) -> Networks:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in allow)


def in_networks(networks: Networks, address: str) -> bool:
    """Whether an allow list admits this peer address; an empty list admits all."""
    if not networks:
        return True
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A listener for both families sees IPv4 peers as ::ffff:10.0.0.1.
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in network for network in networks)


def group_chain(directory: Directory, group: int) -> tuple[int, ...]:
    """A group and its ancestors, nearest first."""
    chain = []
    while group and group in directory.groups:
        chain.append(group)
        group = directory.groups[group].parent
    return tuple(chain)


def effective_review(directory: Directory, user: int) -> str:
    """`trust` or `review`: `review` below a group that says `always`; else the user's own word, else the nearest
    ancestor's, else `review`."""
    chain = group_chain(directory, directory.users[user].group)
    words = [directory.users[user].review, *(directory.groups[group].review for group in chain)]
    if "always" in words:
        return "review"
    return next((word for word in words if word != "inherit"), "review")


AccountLookup = Callable[[int], AccountState | None]
