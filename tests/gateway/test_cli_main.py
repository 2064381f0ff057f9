"""The command line's frame: help that loads nothing, options that every command has, exit codes, READMEs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli.main import COMMANDS
from gateway.cli.main import sluice as root
from store.files import DataLock
from tests.gateway.cli_runner import sluice

READMES = sorted(p for p in (Path(__file__).parents[2]).rglob("README.md") if ".venv" not in p.parts)
HEAVY = ("trio", "msgspec", "sqlite_utils", "cryptography", "argon2", "structlog", "gateway.config", "store")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words: "sim carrier"."""
    context = click.Context(root)
    for name in COMMANDS:
        _, command, _ = root.resolve_command(context, [name])
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())
        else:
            yield name, command


def test_help_loads_no_command(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from gateway.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"{name} +{re.escape(text[:30])}", run.stdout), name


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_takes_config_and_data_and_explains_its_options(
    name: str, command: click.Command
) -> None:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert {"--config", "--data"} <= {flag for option in options for flag in option.opts}
    assert command.help, f"{name} says nothing about itself"
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_has_a_help_page(name: str) -> None:
    run = sluice(*name.split(), "--help")
    assert run.code == 0
    assert f"sluice {name}" in run.out


def test_python_m_gateway_is_the_same_program() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("sluice, version ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["aply"], "No such command 'aply'"),
        (["apply"], "Missing argument 'FILE'"),
        (["export", "--loud"], "No such option"),
        (["export", "--config", "none.toml"], "none.toml cannot be read: No such file or directory."),
        (["receipts", "parked", "--limit", "0"], "0 is not in the range"),
        (["sim", "esme", "--text", "fr"], "'fr' is not one of"),
        (["bench", "nonsense"], "There is no benchmark nonsense"),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_why_on_standard_error(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = sluice(*arguments)
    assert run.code == 2
    assert text in " ".join(run.err.split())
    assert run.out == ""


def test_a_bad_configuration_exits_2_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[smpp]\nlisen = 1\nenquire_link_s = true\n")
    run = sluice("export", "--config", tmp_path / "s.toml")
    assert run.code == 2
    assert len(run.err.strip().splitlines()) == 2
    assert 'The nearest known key is "listen"' in run.err


def test_what_needs_a_daemon_says_how_to_start_it(tmp_path: Path) -> None:
    run = sluice("send", "--account", "a", "--to", "1", "--text", "x", "--data", tmp_path)
    assert run.code == 1
    assert f"Start it with: sluice serve --data {tmp_path}" in run.err


def test_a_directory_in_use_by_somebody_who_does_not_answer_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.common.STARTING_S_MAX", 0.0)
    with DataLock.acquire(tmp_path):
        run = sluice("export", "--data", tmp_path)
    assert run.code == 1
    assert "is in use by process" in run.err


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_command_line_in_a_readme_exists(readme: Path) -> None:
    known = dict(commands())
    for line in re.findall(
        r"^ *(?:\$ )?(sluice .*)$|`(sluice [^`]*)`", readme.read_text("utf-8"), re.MULTILINE
    ):
        words = shlex.split("".join(line).partition("#")[0].replace("…", "").replace("...", ""))[1:]
        name = next((name for name in known if words[: len(name.split())] == name.split()), None)
        groups = {name.partition(" ")[0] for name in known if " " in name}
        assert name or not words or words[0] in groups or words[0].startswith("-"), f"{readme}: {line}"
        if name:
            flags = {
                flag for parameter in known[name].params for flag in parameter.opts + parameter.secondary_opts
            }
            used = {word.partition("=")[0].strip("[]") for word in words if word.strip("[").startswith("--")}
            assert used <= flags | {"--help"}, f"{readme}: {line}"
