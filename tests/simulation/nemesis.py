"""What the events of a plan do: submits and questions of customers, operators' changes, and everything that breaks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.disk import CrashPoint
from tests.simulation.plan import Event

if TYPE_CHECKING:
    from tests.simulation.world import World

Handler = Callable[["World", Event], None]


def _submit(world: "World", event: Event) -> None:
    world.customers[event.who].submit(event.args["n"], event.args)


def _operation(world: "World", event: Event) -> None:
    world.customers[event.who].operate(event.kind, event.args["n"], event.args)


def _mo(world: "World", event: Event) -> None:
    account = event.args["account"]
    carrier = world.carriers[event.who]
    carrier.originate(event.args["n"], account, world.organisation.account_ids[account], event.args["parts"])


# -- operators --------------------------------------------------------------------------------------


def _operate(world: "World", change: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
    world.nursery.start_soon(world.gateway.operate, change, then)


def _blacklist_add(world: "World", event: Event) -> None:
    number = event.args["number"]
    period: list[float] = []

    def listed() -> None:
        period.extend([trio.current_time(), float("inf")])
        world.truth.listed.setdefault(number, []).append(period)
        world.note("operator", "listed", number)

    _operate(world, lambda: world.organisation.list_number(number), listed)


def _blacklist_remove(world: "World", event: Event) -> None:
    number = event.args["number"]
    now = trio.current_time()
    for period in world.truth.listed.get(number, []):
        period[1] = min(period[1], now)
    _operate(world, lambda: world.organisation.unlist_number(number))


def _top_up(world: "World", event: Event) -> None:
    _operate(world, lambda: world.organisation.top_up(event.who, event.args["parts"]))


def _carrier(world: "World", event: Event) -> None:
    world.watch.carrier_changes(event.who, event.args)
    _operate(world, lambda: world.organisation.change_carrier(event.who, **event.args))


def _account(world: "World", event: Event) -> None:
    _operate(world, lambda: world.organisation.change_account(event.who, **event.args))


# -- the network ------------------------------------------------------------------------------------


def _cut(world: "World", event: Event) -> None:
    world.network.lanes[event.who].cut()


def _cut_after(world: "World", event: Event) -> None:
    world.network.lanes[event.who].cut_after(event.args["octets"])


def _hole(world: "World", event: Event) -> None:
    world.network.lanes[event.who].hole(event.args["s"])


def _stall(world: "World", event: Event) -> None:
    world.network.lanes[event.who].stall(event.args["s"])


def _slow(world: "World", event: Event) -> None:
    lane = world.network.lanes[event.who]
    before, lane.latency_s = lane.latency_s, event.args["latency_s"]
    lane.disturb(event.args["s"])
    world.agenda.after(event.args["s"], lambda: setattr(lane, "latency_s", min(before, lane.latency_s)))


def _swizzle(world: "World", event: Event) -> None:
    """Stop the lanes one by one, let them go in another order."""
    rng = world.stream(f"swizzle/{event.at}")
    names = list(world.network.lanes)
    for name in names:
        world.network.lanes[name].stall(event.args["s"] * (0.2 + rng.random()))


# -- peers ------------------------------------------------------------------------------------------


def _carrier_restart(world: "World", event: Event) -> None:
    world.carriers[event.who].restart(event.args["s"])


def _carrier_unbind(world: "World", event: Event) -> None:
    carrier = world.carriers[event.who]
    for link in list(carrier.links):
        carrier.unbind(link)


def _refuse_binds(world: "World", event: Event) -> None:
    carrier = world.carriers[event.who]
    carrier.refuses_binds = event.args["status"]
    for link in list(carrier.links):
        link.end("the carrier throws everybody out")
    world.agenda.after(event.args["s"], lambda: setattr(carrier, "refuses_binds", 0))


def _pause_reading(world: "World", event: Event) -> None:
    peer = world.carriers.get(event.who) or world.customers[event.who]
    world.network.lanes[event.who].disturb(event.args["s"])
    for link in peer.links:
        link.paused_until = trio.current_time() + event.args["s"]


def _offline(world: "World", event: Event) -> None:
    world.customers[event.who].go_offline(event.args["s"])


def _intruder(world: "World", event: Event) -> None:
    world.nursery.start_soon(world.intruder.visit, event.args["how"], event.args["count"])


# -- the gateway and its disk -----------------------------------------------------------------------


def _down_for(world: "World", event: Event) -> None:
    world.gateway.down_s = max(world.gateway.down_s, event.args.get("down_s", 0.0))


def _kill(world: "World", event: Event) -> None:
    world.gateway.crash_in_recovery = event.args.get("again", "")
    world.gateway.crash("kill", "from outside")
    _down_for(world, event)


def _power(world: "World", event: Event) -> None:
    world.gateway.crash_in_recovery = event.args.get("again", "")
    world.gateway.crash("power", "from outside")
    _down_for(world, event)


def _crash_point(world: "World", event: Event) -> None:
    world.disk.points.append(CrashPoint(event.args["point"], event.args["nth"], event.args["how"]))


def _drain(world: "World", event: Event) -> None:
    world.gateway.drain()


def _eio(world: "World", event: Event) -> None:
    world.disk.eio_in = event.args["nth"]


def _full(world: "World", event: Event) -> None:
    world.disk.full_until = trio.current_time() + event.args["s"]


def _slow_disk(world: "World", event: Event) -> None:
    world.disk.slow_until = trio.current_time() + event.args["s"]


def _disk_state(world: "World", event: Event) -> None:
    world.set_disk_state(event.args["state"])
    world.agenda.after(event.args["s"], lambda: world.set_disk_state("ok"))


def _wall(world: "World", event: Event) -> None:
    """Step the wall clock; with `back_s` it is put right after that long."""
    world.clock.step(event.args["s"])
    world.note("clock", "steps", event.args["s"])
    back_s: Any = event.args.get("back_s")
    if back_s is not None:
        world.agenda.after(back_s, lambda: world.clock.step(-event.args["s"]))


HANDLERS: dict[str, Handler] = {
    "submit": _submit,
    "query": _operation,
    "cancel": _operation,
    "replace": _operation,
    "mo": _mo,
    "blacklist_add": _blacklist_add,
    "blacklist_remove": _blacklist_remove,
    "top_up": _top_up,
    "carrier": _carrier,
    "account": _account,
    "cut": _cut,
    "cut_after": _cut_after,
    "hole": _hole,
    "stall": _stall,
    "slow": _slow,
    "swizzle": _swizzle,
    "carrier_restart": _carrier_restart,
    "carrier_unbind": _carrier_unbind,
    "refuse_binds": _refuse_binds,
    "pause_reading": _pause_reading,
    "offline": _offline,
    "intruder": _intruder,
    "kill": _kill,
    "power": _power,
    "crash_point": _crash_point,
    "drain": _drain,
    "eio": _eio,
    "full": _full,
    "slow_disk": _slow_disk,
    "disk_state": _disk_state,
    "wall": _wall,
}

QUIET = frozenset({"submit", "query", "cancel", "replace", "mo"})


async def follow(world: "World", events: list[Event]) -> None:
    """Do what the plan says, when it says."""
    for event in sorted(events, key=lambda event: event.at):
        await trio.sleep_until(event.at)
        if event.kind not in QUIET:
            world.note("nemesis", event.kind, event.who, *event.args.values())
        HANDLERS[event.kind](world, event)
