"""A simulated carrier and ESME joined by memory streams: no sockets, so the autojump clock is exact."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_books import EsmeReport
from gateway.sim.esme_options import EsmeOptions

LOGIN = {"system_id": "carrier", "password": "password"}


def fixed_wall() -> float:
    """2026-11-22 22:13:20 UTC."""
    return 1795385600.0


@asynccontextmanager
async def pair(
    behaviour: Behaviour | None = None, *, carrier_seed: int = 1, **options: Any
) -> AsyncIterator[tuple[SimCarrier, SimEsme]]:
    """Both, not yet bound."""
    async with (
        SimCarrier(behaviour, seed=carrier_seed, listen=False, wall=fixed_wall) as carrier,
        SimEsme(EsmeOptions(**{**LOGIN, **options}), connect=carrier.connect) as esme,
    ):
        yield carrier, esme


async def talk(
    behaviour: Behaviour | None = None, *, carrier_seed: int = 1, **options: Any
) -> tuple[SimCarrier, EsmeReport]:
    """A whole run of the ESME against the carrier."""
    async with pair(behaviour, carrier_seed=carrier_seed, **options) as (carrier, esme):
        report = await esme.run()
    return carrier, report
