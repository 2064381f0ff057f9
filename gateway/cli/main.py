"""`sluice`: the table of commands, loaded only when called, and what every failure looks like.

Exit codes: 0 done, 1 it failed, 2 the command line, a configuration or a document is wrong. Results go to
standard output; failures go to standard error, as sentences.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import rich_click as click

from gateway.cli.common import EXIT_FAILED, EXIT_USAGE, CommandFailed

# name -> (module:attribute, what it does); the help page is printed without importing any of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("gateway.cli.serve:serve", "Run the gateway."),
    "demo": ("gateway.cli.demo:demo", "Run a demonstration: a carrier, customers and traffic."),
    "apply": ("gateway.cli.apply:apply", "Declare carriers, routes, groups, users, accounts, words, lists."),
    "export": ("gateway.cli.export:export", "Print what is declared, as a document for apply."),
    "check": ("gateway.cli.check:check", "Check configuration, data directory, disk and store."),
    "send": ("gateway.cli.send:send", "Submit one message."),
    "message": ("gateway.cli.message:message", "Print a message's whole life."),
    "receipts": ("gateway.cli.receipts:receipts", "Look at receipts that match no message."),
    "webhooks": ("gateway.cli.webhooks:webhooks", "Look after webhooks: list, test, dead letters, replay."),
    "carriers": ("gateway.cli.carriers:carriers", "Look after carriers: list, pause, resume, rate, rebind."),
    "sim": ("gateway.cli.sim:sim", "Run a simulated carrier or ESME."),
    "bench": ("gateway.cli.bench:bench", "Measure."),
    "backup": ("gateway.cli.backup:backup", "Copy the store, while the gateway runs or not."),
    "admin": ("gateway.cli.admin:admin", "Make administrators."),
}


class LazyGroup(click.RichGroup):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return click.RichCommand(name=cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in COMMANDS:
            module, _, attribute = COMMANDS[args[0]][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return args[0], command, args[1:]
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sluice", prog_name="sluice")
def sluice() -> None:
    """Sluice: a high-throughput SMPP gateway."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    try:
        result = sluice.main(arguments, prog_name="sluice", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except CommandFailed as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted.", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read our output has enough of it (`sluice export | head`).
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
