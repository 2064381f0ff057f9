"""What the command line may ask of a running daemon, by name: see `gateway/control.py` for the wire."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filters.verdict import explain
from gateway.control import ControlError, Handler
from gateway.control_carriers import carrier_operations
from gateway.control_store import store_operations, webhook_rules
from gateway.control_traffic import copy_files, life_report, parked_report
from gateway.control_webhooks import webhook_operations
from gateway.smpp.constants import Ton
from gateway.smpp.text import encode_sender
from gateway.status import status_report
from gateway.submissions import with_text
from store.apply import Change

if TYPE_CHECKING:
    from gateway.daemon import Daemon


def operations(daemon: "Daemon") -> dict[str, Handler]:
    """All operations of `control.sock`."""
    core, ports, configuration = daemon.core, daemon.ports, daemon.configuration

    def in_flight() -> dict[int, int]:
        consolidated = configuration.used()
        return {
            user: balance.used + balance.reserved - consolidated.get(user, 0)
            for user, balance in core.quota.balances.items()
        }

    async def changed(changes: list[Change]) -> None:
        await daemon.reload()

    async def send(params: dict[str, Any]) -> Any:
        account = core.accounts_by_system_id.get(str(params.get("account")))
        if account is None:
            known = ", ".join(sorted(core.accounts_by_system_id)) or "none yet"
            raise ControlError(f'There is no account "{params.get("account")}". Accounts: {known}.')
        submit = with_text(str(params.get("to", "")), str(params.get("text", "")))
        sender = str(params.get("sender") or "")
        if sender:
            submit.source_addr = encode_sender(sender)
            submit.source_addr_ton = Ton.INTERNATIONAL if sender.isdigit() else Ton.ALPHANUMERIC
        submit.registered_delivery = 1 if params.get("receipt", True) else 0
        result = await core.submit_one(account, submit)
        if result < 0:
            raise ControlError(f"Refused: {explain(-result)}")
        return {"id": str(result)}

    async def message(params: dict[str, Any]) -> Any:
        report = await ports.store.read(
            lambda s: life_report(s, core.directory, str(params.get("id")), node=daemon.config.store.node)
        )
        return msgspec.to_builtins(report, str_keys=True)

    async def parked(params: dict[str, Any]) -> Any:
        limit = int(params.get("limit", 50))
        return msgspec.to_builtins(await ports.store.read(lambda s: parked_report(s, core.directory, limit)))

    async def habits(params: dict[str, Any]) -> Any:
        return {
            state.carrier.name: msgspec.to_builtins(state.correlation.habits.habit())
            for state in core.carriers.values()
        }

    async def backup(params: dict[str, Any]) -> Any:
        destination = Path(str(params.get("dest")))
        files = await ports.store.read(lambda s: copy_files(daemon.data, configuration, s, destination))
        return [str(file) for file in files]

    async def status(params: dict[str, Any]) -> Any:
        return msgspec.to_builtins(status_report(daemon), str_keys=True)

    async def stop(params: dict[str, Any]) -> Any:
        daemon.drain()
        return {"draining": True}

    return (
        store_operations(
            configuration,
            home_country=daemon.config.smpp.home_country,
            in_flight=in_flight,
            rules=webhook_rules(daemon.config.webhooks),
            changed=changed,
        )
        | webhook_operations(daemon)
        | carrier_operations(daemon)
        | {
            "send": send,
            "message": message,
            "receipts.parked": parked,
            "receipts.habits": habits,
            "backup": backup,
            "status": status,
            "stop": stop,
        }
    )
