"""What all commands share: --config and --data, the configuration, the daemon or else the files."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from gateway.config import Config, Loaded
    from store.config_db import ConfigStore
    from store.port import TrafficStore

EXIT_FAILED = 1
EXIT_USAGE = 2
STARTING_S_MAX = 10.0  # a daemon with a million pending messages accepts again within this
POLL_S = 0.05

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandFailed(Exception):
    """Ends the command: the text goes to standard error, the code to the shell."""

    def __init__(self, text: str, *, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def common_options(command: Command) -> Command:
    """--config and --data, as parameters `config` and `data`."""
    config = click.option(
        "--config",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Configuration; by default sluice.toml in the working directory, if there is one.",
    )
    data = click.option(
        "--data",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Data directory; wins over store.data.",
    )
    return config(data(command))


def load_config(config: str | None, data: str | None) -> "Loaded":
    """The merged configuration; CommandFailed with every problem."""
    from gateway.config import ConfigError, load

    try:
        return load(config, data=data)
    except ConfigError as error:
        raise CommandFailed(str(error), exit_code=EXIT_USAGE) from error


def ask_daemon(data: str, op: str, **params: Any) -> Any:
    """The result of a control operation; None when no daemon runs there.

    A daemon that has the directory's lock and no socket yet is starting: it gets some seconds.
    """
    from gateway.control import ControlClient, ControlUnavailable

    client = ControlClient(Path(data))
    deadline = time.monotonic() + STARTING_S_MAX
    with failures():
        while True:
            try:
                return client.call(op, **params)
            except ControlUnavailable:
                if not _in_use(Path(data)) or time.monotonic() > deadline:
                    return None
            time.sleep(POLL_S)


def need_daemon(data: str, op: str, **params: Any) -> Any:
    """The result of a control operation that only a running daemon can do."""
    answer = ask_daemon(data, op, **params)
    if answer is None:
        raise CommandFailed(f"No gateway runs on {data}. Start it with: sluice serve --data {data}")
    return answer


def _in_use(data: Path) -> bool:
    from store.files import DataInUse, DataLock

    if not data.exists():
        return False
    try:
        DataLock.acquire(data).release()
    except DataInUse:
        return True
    return False


@contextmanager
def offline_store(data: str) -> Iterator["ConfigStore"]:
    """`config.db` opened by this process, under the lock, while no daemon runs."""
    from store.config_db import ConfigStore
    from store.files import DataLock

    with failures(), DataLock.acquire(Path(data)), ConfigStore.open(data) as store:
        yield store


@contextmanager
def offline_traffic(config: "Config") -> Iterator["TrafficStore"]:
    """The traffic store opened by this process; the caller has the lock (`offline_store`)."""
    import msgspec

    from gateway.daemon import store_options
    from store.traffic import SqliteStore

    # A command passes by: it keeps no ballast.
    options = msgspec.structs.replace(store_options(config), ballast_octets=0)
    with failures():
        traffic = SqliteStore.open(
            Path(config.store.data), now_ms=time.time_ns() // 1_000_000, options=options
        )
        try:
            yield traffic
        finally:
            traffic.close()


def offline_in_flight(config: "Config", store: "ConfigStore") -> dict[int, int]:
    """By user id, parts used and reserved that `config.db` does not know yet, counted from the day files."""
    from gateway.recovery import used_before

    if not (Path(config.store.data) / "days").exists():
        return {}
    with offline_traffic(config) as traffic:
        settled, before = store.used(), used_before(store, traffic)
        return {
            user: reserved + used + before.get(user, 0) - settled.get(user, 0)
            for user, (reserved, used) in traffic.recover().usage.items()
        }


@contextmanager
def failures() -> Iterator[None]:
    """Errors of the control socket and the store as failures of the command."""
    from gateway.control import ControlError
    from store.files import StoreError

    try:
        yield
    except ControlError as error:
        code = EXIT_USAGE if error.kind == "usage" else EXIT_FAILED
        raise CommandFailed(str(error), exit_code=code) from error
    except StoreError as error:
        raise CommandFailed(str(error)) from error
