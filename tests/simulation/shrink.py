"""A failing plan taken apart until nothing can be left out: delta debugging (ddmin) over its events, then plainer
carriers, customers and settings, then the order of tasks with the shortest trace.

A smaller plan counts only if it breaks the same invariant.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.simulation.plan import AccountSpec, CarrierSpec, Event, Plan, Settings
from tests.simulation.runner import Result, run

SCHEDULERS = 20
RUNS_MAX = 1500


class Shrinker:
    def __init__(self, plan: Plan, invariant: str, say: Callable[[str], None] = lambda text: None) -> None:
        self.plan = plan
        self._invariant = invariant
        self._say = say
        self.runs = 0

    def shrink(self) -> Plan:
        before = -1
        while before != self._size() and self.runs < RUNS_MAX:
            before = self._size()
            self._events()
            self._people()
            self._plainer()
        self._shortest_trace()
        return self.plan

    def _size(self) -> int:
        return len(msgspec.json.encode(self.plan))

    def _fails(self, plan: Plan) -> Result | None:
        if self.runs >= RUNS_MAX:
            return None
        self.runs += 1
        result = run(plan)
        return result if result.invariant == self._invariant else None

    def _try(self, plan: Plan) -> bool:
        if self._fails(plan) is None:
            return False
        self.plan = plan
        return True

    def _with(self, **changes: Any) -> Plan:
        return msgspec.structs.replace(self.plan, **changes)

    def _events(self) -> None:
        """ddmin: leave out halves, quarters, ... single events."""
        pieces = 2
        while len(self.plan.events) >= 1:
            events = self.plan.events
            step = max(1, len(events) // pieces)
            for at in range(0, len(events), step):
                if self._try(self._with(events=events[:at] + events[at + step :])):
                    self._say(f"{len(self.plan.events)} events left after {self.runs} runs")
                    pieces = max(2, pieces - 1)
                    break
            else:
                if step == 1:
                    return
                pieces = min(len(events), pieces * 2)

    def _people(self) -> None:
        """Leave out carriers and customers of whom nothing is said."""
        for spec in list(self.plan.carriers):
            others = [one for one in self.plan.carriers if one is not spec]
            if others:
                self._try(self._with(carriers=others, events=_without(self.plan.events, spec.name)))
        for account in list(self.plan.accounts):
            accounts = [one for one in self.plan.accounts if one is not account]
            if accounts:
                self._try(self._with(accounts=accounts, events=_without(self.plan.events, account.name)))

    def _plainer(self) -> None:
        """Everything that can be as it usually is."""
        for number, carrier in enumerate(self.plan.carriers):
            for plain in _plainer(carrier, CarrierSpec(carrier.name)):
                carriers = list(self.plan.carriers)
                carriers[number] = msgspec.structs.replace(carriers[number], **plain)
                self._try(self._with(carriers=carriers))
        for number, account in enumerate(self.plan.accounts):
            for plain in _plainer(account, AccountSpec(account.name)):
                accounts = list(self.plan.accounts)
                accounts[number] = msgspec.structs.replace(accounts[number], **plain)
                self._try(self._with(accounts=accounts))
        for plain in _plainer(self.plan.settings, Settings()):
            self._try(self._with(settings=msgspec.structs.replace(self.plan.settings, **plain)))
        for number in range(len(self.plan.events)):
            event = self.plan.events[number]
            for key in [key for key in event.args if key in OPTIONAL]:
                event = self.plan.events[number]
                args = {name: value for name, value in event.args.items() if name != key}
                self._event(number, msgspec.structs.replace(event, args=args))
            event = self.plan.events[number]
            self._event(number, msgspec.structs.replace(event, at=round(event.at, 1)))

    def _event(self, number: int, event: Event) -> None:
        if event != self.plan.events[number]:
            events = list(self.plan.events)
            events[number] = event
            self._try(self._with(events=events))

    def _shortest_trace(self) -> None:
        shortest = 1 << 60
        best = self.plan
        for scheduler in (self.plan.scheduler, *range(SCHEDULERS)):
            plan = self._with(scheduler=scheduler)
            self.runs = min(self.runs, RUNS_MAX - 1)
            result = self._fails(plan)
            if result is not None and len(result.trace.entries) < shortest:
                shortest, best = len(result.trace.entries), plan
        self.plan = best


OPTIONAL = frozenset(
    {
        "coding",
        "length",
        "word",
        "priority",
        "source",
        "schedule_s",
        "validity_s",
        "wanted",
        "data",
        "bind",
        "again",
    }
)


def _plainer(spec: msgspec.Struct, plain: msgspec.Struct) -> Iterator[dict[str, Any]]:
    for name in spec.__struct_fields__:
        if getattr(spec, name) != getattr(plain, name):
            yield {name: getattr(plain, name)}


def _without(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if name not in (event.who, event.args.get("account"))]
