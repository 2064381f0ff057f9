"""`sluice.toml`, environment and command line, merged into one typed `Config`, each value with its source.

Strict: an unknown key, a wrong type or a value out of bounds is an error that names file, key, what was found
and what is wanted. All problems are reported at once. Later sources win: default, file, environment, option.
"""

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from gateway.settings import Config
from store import strict

__all__ = ["Config", "ConfigError", "Loaded", "Setting", "load", "parse_listen", "reference", "settings"]

DEFAULT_FILE = "sluice.toml"
REFERENCE_BEGIN, REFERENCE_END = "<!-- configuration reference -->", "<!-- end -->"
ENVIRONMENT_PREFIX = "SLUICE__"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one or more whole sentences each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Setting(msgspec.Struct, frozen=True):
    """One key of the configuration as data: what the reference and `sluice check` print."""

    path: str  # "smpp.tls.listen"
    type: Any
    default: Any
    description: str
    is_file: bool

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return ENVIRONMENT_PREFIX + self.path.upper().replace(".", "__")


class Loaded(msgspec.Struct, frozen=True):
    """A configuration and where each of its values came from."""

    config: Config
    sources: dict[str, str]  # "smpp.listen" -> "default" | "sluice.toml" | "SLUICE__SMPP__LISTEN" | "--data"
    file: str = ""  # "" when no file was read

    def values(self) -> Iterator[tuple[str, Any, str]]:
        """(path, value, source) of every key, in the order of the reference."""
        for setting in settings():
            value: Any = self.config
            for name in setting.path.split("."):
                value = getattr(value, name)
            yield setting.path, value, self.sources.get(setting.path, "default")


def settings(struct: type[msgspec.Struct] = Config, prefix: str = "") -> list[Setting]:
    """Every key, sections in order, as data."""
    found: list[Setting] = []
    sections: list[Setting] = []
    for field in msgspec.structs.fields(struct):
        path = prefix + field.name
        if _is_section(field.type):
            sections += settings(field.type, path + ".")
        else:
            metas = _metas(field.type)
            description = next((m.description for m in reversed(metas) if m.description), "")
            is_file = any((m.extra or {}).get("path") for m in metas)
            found.append(Setting(path, field.type, field.default, description, is_file))
    return found + sections


def load(
    file: str | Path | None = None, *, data: str | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    """Read and merge the configuration.

    Args:
      file: the file to read; None reads `sluice.toml` if there is one in the working directory.
      data: the `--data` option; wins over everything.
      environ: for tests; None is the process's environment.
    Raises:
      ConfigError: with every problem found.
    """
    problems: list[str] = []
    path = Path(file) if file is not None else Path(DEFAULT_FILE)
    document: dict[str, Any] = {}
    if file is not None or path.exists():
        document = _read(path)
    known = {setting.path: setting for setting in settings()}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in _flatten(document, Config, "", str(path), problems):
        try:
            taken = strict.take(value, known[key].type)
        except strict.Wrong as wrong:
            problems.append(f"{path}: {key}: {wrong}.")
            continue
        if known[key].is_file and taken and not Path(taken).is_absolute():
            taken = str(path.parent / taken)
        values[key], sources[key] = taken, str(path)
    by_variable = {setting.variable: setting for setting in known.values()}
    for variable, text in (os.environ if environ is None else environ).items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            problems.append(strict.unknown_key("environment", variable, by_variable))
            continue
        try:
            values[setting.path] = strict.take(text, setting.type, strict=False)
            sources[setting.path] = variable
        except strict.Wrong as wrong:
            problems.append(f"environment: {variable}: {wrong}.")
    if data is not None:
        values["store.data"], sources["store.data"] = data, "--data"
    if problems:
        raise ConfigError(problems)
    config = _build(Config, "", values)
    problems = [f"{sources.get(key, 'default')}: {key}: {text}" for key, text in _contradictions(config)]
    if problems:
        raise ConfigError(problems)
    return Loaded(config, sources, str(path) if document else "")


def parse_listen(text: str) -> tuple[str, int]:
    """`"127.0.0.1:2775"`, `":0"` or `"[::1]:2775"` as (host, port); an empty host is every address.

    Raises ValueError with a sentence.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f'"{text}" is no address and port; write it like "127.0.0.1:2775" or "[::1]:2775"')
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f'"{text}": put an IPv6 address in brackets, like "[::1]:2775"')
    return host.strip("[]"), int(port)


def reference() -> str:
    """The configuration reference as markdown, one table a section; README.md holds exactly this."""
    lines: list[str] = []
    section = ""
    for setting in settings():
        head, _, key = setting.path.rpartition(".")
        if head != section:
            section = head
            title = f"**`[{head}]`** {_section_text(head)}"
            lines += ["", title, "", "| key | default | meaning |", "|---|---|---|"]
        default = msgspec.json.encode(setting.default).decode()
        lines.append(f"| `{key}` | `{default}` | {setting.description}{_bounds_text(setting)} |")
    return "\n".join(lines).strip() + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            [f"{path} cannot be read: {error.strerror}. Name another file with --config."]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8 text (octet {error.start}). Save it as UTF-8."]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not valid TOML: {error}."]) from error


def _flatten(
    table: dict[str, Any], struct: type[msgspec.Struct], prefix: str, where: str, problems: list[str]
) -> Iterator[tuple[str, Any]]:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        if key not in fields:
            spot = f"{where}: [{prefix.removesuffix('.')}]" if prefix else where
            problems.append(strict.unknown_key(spot, key, fields))
        elif not _is_section(fields[key]):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _flatten(value, fields[key], f"{prefix}{key}.", where, problems)
        else:
            found = strict.describe_value(value)
            problems.append(
                f"{where}: {prefix}{key}: {found} cannot be used here; wanted: a table, [{prefix}{key}]."
            )


def _build(struct: type[msgspec.Struct], prefix: str, values: dict[str, Any]) -> Any:
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        path = prefix + field.name
        if _is_section(field.type):
            given[field.name] = _build(field.type, path + ".", values)
        elif path in values:
            given[field.name] = values[path]
    return struct(**given)


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Values that are fine alone and wrong together, or wrong in a way that types cannot say."""
    listeners = {
        "smpp.listen": config.smpp.listen,
        "smpp.tls.listen": config.smpp.tls.listen,
        "http.listen": config.http.listen,
        "http.tls.listen": config.http.tls.listen,
        "console.listen": config.console.listen,
        "kannel.listen": config.kannel.listen,
        "jasmin.listen": config.jasmin.listen,
        "jasmin.rest_listen": config.jasmin.rest_listen,
    }
    seen: dict[tuple[str, int], str] = {}
    for key, text in listeners.items():
        if not text:
            continue
        try:
            address = parse_listen(text)
        except ValueError as error:
            yield key, f"{error}."
            continue
        if address[1] and address in seen:
            yield key, f"{text} is already taken by {seen[address]}. Give each listener its own port."
        seen[address] = key
    for section, tls in (("smpp.tls", config.smpp.tls), ("http.tls", config.http.tls)):
        if tls.listen and not (tls.certificate and tls.key):
            yield (
                f"{section}.listen",
                f"a TLS listener needs {section}.certificate and {section}.key. Name both PEM files.",
            )
    if len(config.smpp.system_id.encode()) > 15:
        yield "smpp.system_id", "it has more than 15 octets, which SMPP does not allow. Shorten it."
    if config.smpp.home_country and not (
        config.smpp.home_country.isascii() and config.smpp.home_country.isdigit()
    ):
        yield "smpp.home_country", 'it must be digits only, such as "86".'
    if config.store.disk_critical_mib > config.store.disk_low_mib:
        yield "store.disk_critical_mib", "it is above store.disk_low_mib. Make it the smaller of the two."
    if config.receipts.retry_s_min > config.receipts.retry_s_max:
        yield "receipts.retry_s_min", "it is above receipts.retry_s_max. Make it the smaller of the two."
    for key, blocks in (
        ("http.trusted_proxies", config.http.trusted_proxies),
        ("webhooks.allow_private", config.webhooks.allow_private),
    ):
        for block in blocks:
            try:
                ipaddress.ip_network(block)
            except ValueError:
                yield key, f'"{block}" is no CIDR block; write it like "10.0.0.0/8".'


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _metas(kind: Any) -> list[msgspec.Meta]:
    return (
        [m for m in get_args(kind)[1:] if isinstance(m, msgspec.Meta)]
        if hasattr(kind, "__metadata__")
        else []
    )


def _section_text(path: str) -> str:
    struct: Any = Config
    for name in path.split("."):
        struct = next(f.type for f in msgspec.structs.fields(struct) if f.name == name)
    return " ".join((struct.__doc__ or "").split())


def _bounds_text(setting: Setting) -> str:
    text = strict.describe_type(setting.type)
    return f" ({text})" if text.startswith("one of") else ""


def write_reference(readme: Path) -> None:
    """Put the reference between its markers in a file."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(REFERENCE_BEGIN)
    _, end, after = rest.partition(REFERENCE_END)
    assert begin and end, f"{readme} has no {REFERENCE_BEGIN} and {REFERENCE_END}"
    readme.write_text(f"{before}{begin}\n{reference()}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    write_reference(Path("README.md"))
