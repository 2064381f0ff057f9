"""Plans from seeds. Each seed first draws which misfortunes there are at all ("swarm"): a world in which
everything breaks at once hides what one fault alone would show.
"""

from random import Random
from typing import Any

import msgspec

from tests.simulation.determinism import Streams
from tests.simulation.messages import GSM, UCS2, WORD
from tests.simulation.plan import AccountSpec, CarrierSpec, Event, Plan, Settings

ID_FORMS = ("dec", "hex", "upper", "padded", "hex-dec")
NEAR_MIDNIGHT_MS = 1_795_737_580_000  # 23:59:40 UTC
KILLS_UNDER_LOAD = 0.08
PIECES = 100_000  # numbers of segments that customers cut themselves begin here
REPLACEMENTS = 200_000
MOS = 300_000


def generate(seed: int, store: str = "memory") -> Plan:
    """The plan of a seed: some 30 to 150 messages and up to a dozen faults in half a minute."""
    streams = Streams(seed)
    rng = streams("swarm")
    moods = {name: rng.random() < share for name, share in SWARM.items()}
    carriers = [_carrier(streams(f"carrier/{n}"), n, moods) for n in range(rng.choice((1, 1, 2, 2, 3)))]
    accounts = [_account(streams(f"account/{n}"), n, moods) for n in range(rng.choice((1, 2, 2, 3)))]
    until_s = rng.choice((12.0, 20.0, 30.0))
    settings = _settings(streams("settings"), moods)
    settings.told_late_s = streams("told").choice((0.0, 0.0, 0.05, 0.5))
    events = _traffic(streams("traffic"), accounts, carriers, until_s, moods)
    events += _operators(streams("operators"), accounts, carriers, events, until_s, moods)
    events += _faults(streams("faults"), accounts, carriers, until_s, moods)
    kills = streams("kills under load")
    if kills.random() < KILLS_UNDER_LOAD:
        carriers, accounts, events = _killed_under_load(kills, moods)
        until_s = 20.0
    return Plan(
        seed=seed,
        carriers=carriers,
        accounts=accounts,
        events=sorted(events, key=lambda event: event.at),
        settings=settings,
        until_s=until_s,
        store=store,
    )


SWARM = {
    "many_binds": 0.4,
    "small_windows": 0.3,
    "rates": 0.25,
    "throttling": 0.3,
    "refusals": 0.3,
    "silence": 0.25,
    "late": 0.2,
    "odd_receipts": 0.4,
    "early": 0.3,
    "odd_ids": 0.5,
    "at_most_once": 0.2,
    "rude_customers": 0.3,
    "small_memory": 0.35,
    "long_texts": 0.4,
    "bursts": 0.4,
    "schedules": 0.2,
    "short_validity": 0.2,
    "operations": 0.25,
    "operators": 0.4,
    "mo": 0.25,
    "few_parts": 0.2,
    "network": 0.4,
    "bad_network": 0.25,
    "carriers_fall": 0.3,
    "crashes": 0.5,
    "crash_points": 0.35,
    "disk": 0.25,
    "slow_disk": 0.25,
    "clock": 0.2,
    "intruders": 0.15,
    "midnight": 0.1,
    "drains": 0.15,
}


def _killed_under_load(
    rng: Random, moods: dict[str, bool]
) -> tuple[list[CarrierSpec], list[AccountSpec], list[Event]]:
    """A customer that submits as fast as it can, a carrier that answers at once, and a gateway that is killed
    again and again in the middle of it."""
    carrier = CarrierSpec("alpha", binds=2, window=rng.choice((5, 50)), answer_s=0.005, receipt_s=0.05)
    carrier.undelivered = 0.0
    carrier.on_unknown = rng.choice(("resend", "resend", "resend", "hold", "fail"))
    carrier.early = rng.choice((0.0, 0.3))
    account = AccountSpec("acme", client_window=100, window=100, answer_s=0.005)
    account.resubmits = rng.random() < 0.5
    account.binds = rng.choice(
        (("transceiver",), ("transceiver", "transceiver"), ("transmitter", "receiver"))
    )
    events = []
    n = 0
    for _ in range(rng.choice((2, 4))):
        began = 1.0 + 4.0 * len([event for event in events if event.kind != "submit"])
        for at in range(rng.choice((40, 100))):
            n += 1
            args = {"n": n, "bind": at % 2, "dests": [86_137_000_000_00 + n]}
            if moods["long_texts"] and n % 7 == 0:
                args["length"] = 300
            events.append(Event(round(began + at * 0.01, 3), "submit", account.name, args))
        kind = rng.choice(("kill", "kill", "power"))
        events.append(Event(round(began + 0.1 + rng.random(), 3), kind))
    return [carrier], [account], events


def _settings(rng: Random, moods: dict[str, bool]) -> Settings:
    settings = Settings(refill_s=rng.choice((0.1, 0.25, 1.0)), tick_s=rng.choice((0.25, 0.5)))
    if moods["small_memory"]:
        settings.queue_parts_max = rng.choice((2, 5, 20))
        settings.events_in_memory_max = rng.choice((4, 10, 30))
        settings.correlation_entries_max = rng.choice((5, 20, 50))
    settings.receipts_window = rng.choice((1, 3, 10))
    settings.latency_s = rng.choice((0.0005, 0.005, 0.05))
    settings.capacity_octets = rng.choice((500, 4096, 65_536))
    settings.reset_on_close = rng.choice((0.0, 0.0, 0.3))
    if moods["bad_network"]:
        settings.fragment = rng.choice((0.1, 0.5))
        settings.jitter = 10.0
    settings.commit_s = rng.choice((0.001, 0.005, 0.05)) if moods["slow_disk"] else 0.001
    settings.read_s = rng.choice((0.0, 0.002, 0.05, 0.3))
    settings.words = (WORD,) if rng.random() < 0.5 else ()
    settings.policy = rng.choice(("failover", "balance"))
    if moods["midnight"]:
        settings.wall_start_ms = NEAR_MIDNIGHT_MS + rng.randrange(15_000)
    return settings


def _carrier(rng: Random, n: int, moods: dict[str, bool]) -> CarrierSpec:
    spec = CarrierSpec(["alpha", "beta", "gamma"][n])
    spec.window = rng.choice((1, 2, 5)) if moods["small_windows"] else rng.choice((5, 10, 30))
    if moods["many_binds"]:
        spec.binds = rng.choice((1, 2, 3))
        spec.bind = rng.choice(("transceiver", "transceiver", "pair"))
    if rng.random() < 0.1:
        spec.mode, spec.binds, spec.bind = "outbind", 1, "transceiver"
    if moods["rates"]:
        spec.rate = rng.choice((5, 20, 100))
    if moods["at_most_once"]:
        spec.on_unknown = rng.choice(("hold", "fail"))
    spec.answer_s = rng.choice((0.001, 0.01, 0.1, 0.5))
    spec.receipt_s = rng.choice((0.01, 0.2, 2.0))
    if moods["throttling"]:
        spec.throttle, spec.queue_full, spec.nack = (rng.choice((0.0, 0.05, 0.2)) for _ in range(3))
    if moods["refusals"]:
        spec.refuse, spec.system_error = (rng.choice((0.0, 0.05, 0.2)) for _ in range(2))
    if moods["silence"]:
        spec.silent, spec.wrong_sequence = (rng.choice((0.0, 0.03, 0.1)) for _ in range(2))
    if moods["late"]:
        spec.late = rng.choice((0.05, 0.2))
        spec.response_timeout_s = 3.0
    if moods["odd_receipts"]:
        for name in ("no_receipt", "duplicate", "contradict", "intermediate", "undelivered", "other_bind"):
            setattr(spec, name, rng.choice((0.0, 0.1, 0.5)))
        spec.receipt_form = rng.choice(("both", "text", "tlv"))
    if moods["early"]:
        spec.early = rng.choice((0.1, 1.0))
    if moods["odd_ids"]:
        spec.id_form = rng.choice(ID_FORMS)
        if spec.id_form == "hex-dec" and spec.receipt_form == "text":
            spec.message_id = rng.choice(("auto", "hex-response-dec-receipt"))
    if moods["carriers_fall"]:
        spec.hang_up = rng.choice((0.0, 0.02))
        spec.loses_queue, spec.reuses_ids = rng.random() < 0.3, rng.random() < 0.2
    return spec


def _account(rng: Random, n: int, moods: dict[str, bool]) -> AccountSpec:
    spec = AccountSpec(["acme", "bolt", "corp"][n])
    spec.binds = rng.choice(
        (("transceiver",), ("transceiver",), ("transmitter", "receiver"), ("transceiver", "transceiver"))
    )
    spec.window = rng.choice((1, 5, 50))
    spec.client_window = rng.choice((1, 10, 60))
    spec.receipts = rng.choice(("message", "message", "part"))
    spec.priority = rng.choice((0, 1, 1, 2))
    spec.senders = rng.choice(((), (), ("1000", "ACME")))
    spec.version = rng.choice((0x34, 0x34, 0x34, 0x33))
    spec.answer_s = rng.choice((0.001, 0.02, 0.3))
    if moods["rates"]:
        spec.rate = rng.choice((0, 5, 30))
    if moods["few_parts"]:
        spec.limit = rng.choice((5, 20, 60))
    if moods["rude_customers"]:
        spec.busy, spec.refuse, spec.silent = (rng.choice((0.0, 0.1, 0.3)) for _ in range(3))
        spec.hang_up = rng.choice((0.0, 0.03))
        spec.resubmits = rng.random() < 0.5
    return spec


def _traffic(
    rng: Random,
    accounts: list[AccountSpec],
    carriers: list[CarrierSpec],
    until_s: float,
    moods: dict[str, bool],
) -> list[Event]:
    events: list[Event] = []
    count = rng.choice((30, 60, 100))
    moments = [0.5 + rng.random() * (until_s - 3.0) for _ in range(count)]
    if moods["bursts"]:
        burst = 0.5 + rng.random() * (until_s - 4.0)
        moments = [burst if rng.random() < 0.6 else moment for moment in moments]
    few_numbers = [86_139_000_000_00 + rng.randrange(5) for _ in range(3)]
    for n, at in enumerate(sorted(moments), 1):
        account = rng.choice(accounts)
        args = _message(rng, n, account, few_numbers, moods)
        events.append(Event(round(at, 3), "submit", account.name, args))
        if moods["operations"] and rng.random() < 0.3:
            what = rng.choice(("query", "cancel", "cancel", "replace"))
            more = {"new": REPLACEMENTS + n} if what == "replace" else {}
            later = at + rng.choice((0.05, 0.3, 2.0))
            events.append(Event(round(later, 3), what, account.name, {"n": n, **more}))
    if moods["mo"]:
        for n in range(rng.randrange(1, 12)):
            args = {"n": MOS + n, "account": rng.choice(accounts).name, "parts": rng.choice((1, 1, 3))}
            at = 0.5 + rng.random() * (until_s - 2.0)
            events.append(Event(round(at, 3), "mo", rng.choice(carriers).name, args))
    return events


def _message(
    rng: Random, n: int, account: AccountSpec, few_numbers: list[int], moods: dict[str, bool]
) -> dict[str, Any]:
    args: dict[str, Any] = {"n": n, "bind": rng.randrange(3)}
    number = rng.choice(few_numbers) if rng.random() < 0.3 else 86_138_000_000_00 + n
    args["dests"] = [number]
    args["wanted"] = rng.choice((1, 1, 1, 0, 2, 3, 17))
    coding = rng.choice((GSM, GSM, UCS2))
    args["coding"] = coding
    if rng.random() < 0.2:
        args["priority"] = rng.randrange(4)
    if rng.random() < 0.15:
        args["source"] = rng.choice(("1000", "ACME", "2222"))
    plain = account.version >= 0x34
    if moods["long_texts"] and rng.random() < 0.4:
        if plain:
            args["length"] = rng.choice((100, 200, 400, 700))
        if rng.random() < 0.3 and not args.get("length"):
            args["pieces"], args["n"] = rng.choice((2, 3)), PIECES + 10 * n
    elif plain and rng.random() < 0.05:
        args["data"] = True
    elif rng.random() < 0.05:
        args["dests"] = [number, number + 1000, number + 2000]
    if rng.random() < 0.1:
        args["word"] = True
    if moods["schedules"] and rng.random() < 0.2:
        args["schedule_s"] = rng.choice((2, 5, 60))
    if moods["short_validity"] and rng.random() < 0.4:
        args["validity_s"] = rng.choice((5, 20, 60, 3600))
    return args


def _operators(
    rng: Random,
    accounts: list[AccountSpec],
    carriers: list[CarrierSpec],
    traffic: list[Event],
    until_s: float,
    moods: dict[str, bool],
) -> list[Event]:
    if not moods["operators"]:
        return []
    events: list[Event] = []
    submits = [event for event in traffic if event.kind == "submit"]
    for _ in range(rng.randrange(1, 6)):
        at = round(1.0 + rng.random() * (until_s - 2.0), 3)
        what = rng.choice(("blacklist", "blacklist", "top_up", "pause", "window", "rate", "disable"))
        carrier, account = rng.choice(carriers).name, rng.choice(accounts).name
        if what == "blacklist":
            number = rng.choice(submits).args["dests"][0]
            events.append(Event(at, "blacklist_add", "", {"number": number}))
            if rng.random() < 0.3:
                events.append(Event(round(at + 3.0, 3), "blacklist_remove", "", {"number": number}))
        elif what == "top_up":
            events.append(Event(at, "top_up", account, {"parts": rng.randrange(1, 50)}))
        elif what == "pause":
            events.append(Event(at, "carrier", carrier, {"state": "paused"}))
            if rng.random() < 0.7:
                events.append(Event(round(at + 4.0, 3), "carrier", carrier, {"state": "active"}))
        elif what == "window":
            events.append(Event(at, "carrier", carrier, {"window": rng.choice((1, 3, 20))}))
        elif what == "rate":
            events.append(Event(at, "carrier", carrier, {"rate": rng.choice((3, 10, 60))}))
        else:
            events.append(Event(at, "account", account, {"state": "disabled"}))
            events.append(Event(round(at + 3.0, 3), "account", account, {"state": "active"}))
    return events


def _faults(
    rng: Random,
    accounts: list[AccountSpec],
    carriers: list[CarrierSpec],
    until_s: float,
    moods: dict[str, bool],
) -> list[Event]:
    events: list[Event] = []
    names = [spec.name for spec in (*carriers, *accounts)]

    def at() -> float:
        return round(0.3 + rng.random() * (until_s - 1.0), 3)

    def some(most: int) -> range:
        return range(rng.randrange(1, most + 1))

    if moods["network"]:
        for _ in some(6):
            kind = rng.choice(("cut", "cut", "cut_after", "hole", "stall", "slow", "swizzle"))
            args: dict[str, Any] = {
                "cut_after": {"octets": rng.randrange(1, 600)},
                "hole": {"s": rng.choice((1.0, 5.0, 15.0))},
                "stall": {"s": rng.choice((0.5, 3.0, 9.0))},
                "slow": {"s": rng.choice((2.0, 8.0)), "latency_s": rng.choice((0.1, 1.0))},
                "swizzle": {"s": 3.0},
            }.get(kind, {})
            events.append(Event(at(), kind, "" if kind == "swizzle" else rng.choice(names), args))
    if moods["carriers_fall"]:
        for _ in some(3):
            carrier = rng.choice(carriers).name
            kind = rng.choice(("carrier_restart", "carrier_unbind", "refuse_binds"))
            args = {
                "carrier_restart": {"s": rng.choice((0.1, 2.0, 8.0))},
                "refuse_binds": {"s": 3.0, "status": rng.choice((0x05, 0x08, 0x0D))},
            }.get(kind, {})
            events.append(Event(at(), kind, carrier, args))
    if moods["rude_customers"]:
        for _ in some(3):
            kind = rng.choice(("offline", "pause_reading", "offline"))
            events.append(
                Event(at(), kind, rng.choice(names[len(carriers) :]), {"s": rng.choice((2.0, 10.0))})
            )
        events.append(Event(at(), "pause_reading", carriers[0].name, {"s": rng.choice((1.0, 9.0))}))
    if moods["crashes"]:
        for _ in some(3):
            again = rng.choice(("", "", "kill", "power"))
            args = {"down_s": rng.choice((1.5, 5.0)), "again": again}
            events.append(Event(at(), rng.choice(("kill", "power")), "", args))
    if moods["crash_points"]:
        for _ in some(3):
            point = rng.choice(("before", "written", "synced"))
            args = {"point": point, "nth": rng.randrange(1, 15), "how": rng.choice(("kill", "power"))}
            events.append(Event(at(), "crash_point", "", args))
    if moods["disk"]:
        for _ in some(2):
            kind = rng.choice(("eio", "full", "disk_state"))
            args = {
                "eio": {"nth": rng.randrange(1, 20)},
                "full": {"s": rng.choice((0.5, 4.0))},
                "disk_state": {"s": 4.0, "state": rng.choice(("low", "critical"))},
            }[kind]
            events.append(Event(at(), kind, "", args))
    if moods["slow_disk"]:
        events.append(Event(at(), "slow_disk", "", {"s": rng.choice((1.0, 5.0, 12.0))}))
    if moods["clock"]:
        for _ in some(2):
            seconds = rng.choice((-7200.0, -60.0, 30.0, 3600.0, 400_000.0))
            back: dict[str, Any] = {"back_s": rng.choice((5.0, 30.0))} if rng.random() < 0.7 else {}
            events.append(Event(at(), "wall", "", {"s": seconds, **back}))
    if moods["intruders"]:
        kinds = ("password", "half", "garbage", "silence", "foreign_submit")
        for _ in some(3):
            events.append(
                Event(at(), "intruder", "", {"how": rng.choice(kinds), "count": rng.choice((1, 5, 30))})
            )
    if moods["drains"]:
        events.append(Event(at(), "drain"))
    return events


def calm(plan: Plan) -> Plan:
    """The same plan without events: for `shrink.py`."""
    return msgspec.structs.replace(plan, events=[])
