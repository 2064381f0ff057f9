"""Slows down guessing of passwords, without letting a stranger lock anybody out.

Three brakes, each counting only tries that were really checked:
- one account from one address: after 3 failures 1 s, doubled each time, to 30 s;
- one address: 30 failures, one more every 10 s;
- one account from anywhere: after 20 failures as the first, but addresses that signed in before are not held.
"""

from collections import OrderedDict

import msgspec

FREE_TRIES = 3
ACCOUNT_FREE_TRIES = 20
PAUSE_S_MAX = 30.0
ADDRESS_TRIES = 30.0
ADDRESS_TRY_EVERY_S = 10.0
FORGET_S = 3600.0
KEYS_MAX = 20_000


class _Brake(msgspec.Struct):
    failures: int = 0
    until: float = 0.0
    touched: float = 0.0


class LoginBackoff:
    """In memory: a restart forgets it, which costs an attacker's wait and nobody's safety."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Brake] = OrderedDict()
        self._accounts: OrderedDict[tuple[str, str], _Brake] = OrderedDict()
        self._addresses: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, login: str, address: str, now: float) -> float:
        """How long this try has to wait; 0 lets it be checked."""
        login = login.lower()
        waits = [_left(self._pairs.get((login, address)), now)]
        tries, since = self._addresses.get(("", address), (ADDRESS_TRIES, now))
        tries = min(ADDRESS_TRIES, tries + (now - since) / ADDRESS_TRY_EVERY_S)
        waits.append((1 - tries) * ADDRESS_TRY_EVERY_S if tries < 1 else 0.0)
        if (login, address) not in self._known:
            waits.append(_left(self._accounts.get((login, "")), now))
        return max(waits)

    def failed(self, login: str, address: str, now: float) -> None:
        """A password was wrong, or nobody has that login: both count alike."""
        login = login.lower()
        _brake(self._pairs, (login, address), FREE_TRIES, now)
        _brake(self._accounts, (login, ""), ACCOUNT_FREE_TRIES, now)
        tries, since = self._addresses.get(("", address), (ADDRESS_TRIES, now))
        tries = min(ADDRESS_TRIES, tries + (now - since) / ADDRESS_TRY_EVERY_S)
        self._addresses[("", address)] = (max(tries - 1, 0.0), now)
        _trim(self._addresses)

    def succeeded(self, login: str, address: str) -> None:
        """The right password: this account starts afresh from here."""
        login = login.lower()
        self._pairs.pop((login, address), None)
        self._known[(login, address)] = None
        _trim(self._known)


def _left(brake: _Brake | None, now: float) -> float:
    return max(brake.until - now, 0.0) if brake else 0.0


def _brake(
    brakes: "OrderedDict[tuple[str, str], _Brake]", key: tuple[str, str], free: int, now: float
) -> None:
    brake = brakes.setdefault(key, _Brake())
    if now - brake.touched > FORGET_S:
        brake.failures = 0
    brake.failures += 1
    brake.touched = now
    over = brake.failures - free
    if over >= 0:
        brake.until = now + min(2.0 ** min(over, 10), PAUSE_S_MAX)
    brakes.move_to_end(key)
    _trim(brakes)


def _trim(
    brakes: "OrderedDict[tuple[str, str], object] | OrderedDict[tuple[str, str], _Brake]"
    " | OrderedDict[tuple[str, str], tuple[float, float]] | OrderedDict[tuple[str, str], None]",
) -> None:
    while len(brakes) > KEYS_MAX:
        brakes.popitem(last=False)
