"""Control operations on carriers of a running daemon: carriers.list, .state, .rate, .rebind."""

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.control import ControlError, Handler, actor
from gateway.status import status_report
from store.carriers_edit import note_rebind, set_carrier_rate, set_carrier_state
from store.directory import Carrier

if TYPE_CHECKING:
    from gateway.daemon import Daemon


def carrier_operations(daemon: "Daemon") -> dict[str, Handler]:
    """Handlers by name."""

    def find(params: dict[str, Any]) -> Carrier:
        name = str(params.get("name"))
        carriers = daemon.core.directory.carriers.values()
        for carrier in carriers:
            if carrier.name == name:
                return carrier
        known = ", ".join(sorted(carrier.name for carrier in carriers)) or "none yet"
        raise ControlError(f'There is no carrier "{name}". Carriers: {known}.')

    async def list_all(params: dict[str, Any]) -> Any:
        return msgspec.to_builtins(status_report(daemon).carriers, str_keys=True)

    async def state(params: dict[str, Any]) -> Any:
        carrier, wanted = find(params), params.get("state")
        if wanted not in ("active", "paused"):
            raise ControlError("A carrier is active or paused.", kind="usage")

        def write() -> None:
            with daemon.configuration.writing(actor()) as transaction:
                set_carrier_state(transaction, carrier.id, wanted)

        await daemon.ports.off_loop(write)
        await daemon.reload_directory()
        return {"name": carrier.name, "state": wanted}

    async def rate(params: dict[str, Any]) -> Any:
        carrier, wanted = find(params), int(params.get("rate", -1))

        def write() -> None:
            with daemon.configuration.writing(actor()) as transaction:
                set_carrier_rate(transaction, carrier.id, wanted)

        await daemon.ports.off_loop(write)
        await daemon.reload_directory()
        return {"name": carrier.name, "rate": wanted, "before": carrier.rate}

    async def rebind(params: dict[str, Any]) -> Any:
        carrier = find(params)

        def write() -> None:
            with daemon.configuration.writing(actor()) as transaction:
                note_rebind(transaction, carrier.id)

        await daemon.ports.off_loop(write)
        daemon.rebind(carrier.id)
        return {"name": carrier.name, "binds": len(daemon.core.carriers[carrier.id].binds)}

    return {
        "carriers.list": list_all,
        "carriers.state": state,
        "carriers.rate": rate,
        "carriers.rebind": rebind,
    }
