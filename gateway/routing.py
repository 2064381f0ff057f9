"""Which carrier takes a message: the longest matching prefix, then failover or balance among its carriers.

Routes that name an account or an SMS type beat general ones of the same prefix. A router is compiled from one
`Directory` and never changes; what changes (which carriers are up) it asks.
"""

from collections.abc import Callable, Iterable

import msgspec

from store.directory import Directory, Route


class Choice(msgspec.Struct, gc=False, frozen=True):
    """What the router decided. `carrier` is 0 where no carrier can take it."""

    route: int
    carrier: int
    first: bool  # the route's first carrier was taken, as nothing is wrong with it


NO_ROUTE = Choice(0, 0, True)


class _Candidate:
    """A route ready to choose from: cached answer for the common case that its first carrier is up."""

    __slots__ = ("balance", "credits", "preferred", "route", "weights")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.balance = route.policy == "balance" and len(route.carriers) > 1
        self.weights = route.weights or (1,) * len(route.carriers)
        self.credits = [0.0] * len(route.carriers)
        self.preferred = Choice(route.id, route.carriers[0], True) if route.carriers else NO_ROUTE

    def choose(self, is_up: Callable[[int], bool]) -> Choice:
        carriers = self.route.carriers
        if not self.balance:
            for position, carrier in enumerate(carriers):
                if is_up(carrier):
                    return Choice(self.route.id, carrier, position == 0)
            # All are down: the message waits for the first, and moves if another comes up sooner.
            return self.preferred
        # Smooth weighted round robin: each turn all that are up gain their weight, the richest pays the sum.
        up = [i for i, carrier in enumerate(carriers) if is_up(carrier)] or list(range(len(carriers)))
        for i in up:
            self.credits[i] += self.weights[i]
        best = max(up, key=self.credits.__getitem__)
        self.credits[best] -= sum(self.weights[i] for i in up)
        return Choice(self.route.id, carriers[best], True)


class Router:
    def __init__(self, directory: Directory, is_up: Callable[[int], bool]) -> None:
        self._is_up = is_up
        self._tables: dict[tuple[int, str], dict[str, _Candidate]] = {}
        self._lengths: dict[tuple[int, str], tuple[int, ...]] = {}
        self._by_id: dict[int, _Candidate] = {}
        self._scopes: dict[tuple[int, str], tuple[tuple[int, str], ...]] = {}
        for route in directory.routes.values():
            candidate = _Candidate(route)
            self._by_id[route.id] = candidate
            self._tables.setdefault((route.account, route.sms_type), {})[route.prefix] = candidate
        for key, table in self._tables.items():
            self._lengths[key] = tuple(sorted({len(p) for p in table}, reverse=True))

    def choose(self, digits: str, account: int, sms_type: str) -> Choice:
        """The carrier for a destination (canonical digits)."""
        candidate = self.match(digits, account, sms_type)
        if candidate is None:
            return NO_ROUTE
        if not candidate.balance and self._is_up(candidate.preferred.carrier):
            return candidate.preferred
        return candidate.choose(self._is_up)

    def chooser(self, account: int, sms_type: str) -> Callable[[str], Choice]:
        """`choose` for one batch of one account, with what a batch has in common looked up once."""
        scopes = self._scopes.get((account, sms_type))
        if scopes is None:
            scopes = self._scopes[(account, sms_type)] = tuple(self._applicable(account, sms_type))
        if len(scopes) != 1:
            return lambda digits: self.choose(digits, account, sms_type)
        table, lengths = self._tables[scopes[0]], self._lengths[scopes[0]]
        chosen: dict[str, Choice] = {}
        longest = lengths[0]

        def choose(digits: str) -> Choice:
            head = digits[:longest]
            known = chosen.get(head)
            if known is not None:
                return known
            candidate = _longest(table, lengths, digits)
            if candidate is None:
                return NO_ROUTE
            choice = candidate.choose(self._is_up)
            if not candidate.balance:
                chosen[head] = choice
            return choice

        return choose

    def again(self, route: int) -> Choice:
        """Choose once more on a known route, for failover of what already waits."""
        candidate = self._by_id.get(route)
        return candidate.choose(self._is_up) if candidate else NO_ROUTE

    def match(self, digits: str, account: int, sms_type: str) -> _Candidate | None:
        """The longest prefix over all tables that apply; of equal ones the most specific."""
        scopes = self._scopes.get((account, sms_type))
        if scopes is None:
            scopes = self._scopes[(account, sms_type)] = tuple(self._applicable(account, sms_type))
        if len(scopes) == 1:
            return _longest(self._tables[scopes[0]], self._lengths[scopes[0]], digits)
        best: _Candidate | None = None
        for scope in scopes:
            found = _longest(self._tables[scope], self._lengths[scope], digits)
            if found and (best is None or len(found.route.prefix) > len(best.route.prefix)):
                best = found
        return best

    def _applicable(self, account: int, sms_type: str) -> Iterable[tuple[int, str]]:
        for scope in ((account, sms_type), (account, ""), (0, sms_type), (0, "")):
            if scope in self._tables:
                yield scope


def _longest(table: dict[str, _Candidate], lengths: tuple[int, ...], digits: str) -> _Candidate | None:
    for length in lengths:
        candidate = table.get(digits[:length])
        if candidate is not None:
            return candidate
    return None
