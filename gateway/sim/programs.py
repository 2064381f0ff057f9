"""The simulators as programs: `cli_carrier(options)` and `cli_esme(options)`, called by the command line.

Lines on standard output are JSON objects, one an event, so that scripts can read them.
"""

import json
import signal
import ssl
import sys
from typing import Any

import trio

from gateway.sim.behaviour import CarrierOptions
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import Refused, SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.wire import LostFraming

RECONNECT_S = 1.0


def say(event: str, **fields: Any) -> None:
    """One line on standard output."""
    sys.stdout.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def cli_carrier(options: CarrierOptions) -> None:
    """Run a simulated carrier until SIGINT or SIGTERM."""
    trio.run(_carrier, options)


async def _carrier(options: CarrierOptions) -> None:
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key or None)
    carrier = SimCarrier(
        options,
        host=options.host,
        port=options.port,
        system_id=options.system_id,
        password=options.password,
        fast=options.fast,
        seed=options.seed,
        ssl_context=context,
        listen=not options.connect,
    )
    async with carrier, trio.open_nursery() as nursery:
        nursery.start_soon(until_signalled, nursery.cancel_scope)
        if options.connect:
            for _ in range(options.binds):
                nursery.start_soon(_connect_out, carrier, options)
        nursery.start_soon(_say_binds, carrier)
        if not options.connect:
            say("listening", name="carrier", address=f"{carrier.host}:{carrier.port}")
        while True:
            await trio.sleep(options.report_s or float("inf"))
            say("statistics", name="carrier", **carrier.statistics())
    say("stopped", name="carrier", **carrier.statistics())


async def _say_binds(carrier: SimCarrier) -> None:
    """A line whenever the number of bound links changes."""
    before = 0
    while True:
        binds = len([link for link in carrier.links if link.bound])
        if binds != before:
            say("bound", name="carrier", binds=binds)
            before = binds
        await carrier.wait_change()


def cli_esme(options: EsmeOptions) -> int:
    """Run a simulated ESME to its end; the exit code: 0, or 1 if anything is missing, or the bind failed."""
    return trio.run(_esme, options)


async def _esme(options: EsmeOptions) -> int:
    async with SimEsme(options) as esme:
        try:
            report = await esme.run()
        except (Refused, OSError) as error:
            say("failed", name="esme", cause=str(error))
            return 1
        say("finished", name="esme", **esme.statistics())
        return int(bool(report.missing or report.unanswered or report.unmatched or report.duplicates))


async def _connect_out(carrier: SimCarrier, options: CarrierOptions) -> None:
    """One outgoing connection, made again whenever it ends."""
    host, _, port = options.connect.rpartition(":")
    while True:
        try:
            stream = await trio.open_tcp_stream(host, int(port))
            if options.connect_as == "outbind":
                link, status = await carrier.outbind(stream), 0
            else:
                link, status = await carrier.bind_in(stream, dialect=options.dialect)
        except (OSError, LostFraming, trio.BrokenResourceError) as error:
            say("unreachable", address=options.connect, cause=str(error))
        else:
            if status:
                say("refused", address=options.connect, command_status=status)
            await link.wait_closed()
        await trio.sleep(RECONNECT_S)


async def until_signalled(scope: trio.CancelScope) -> None:
    """Cancel `scope` at the first SIGINT or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _signal in signals:
            scope.cancel()
            return
