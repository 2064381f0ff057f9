"""The command line: `gateway.cli:main`. See README.md."""

from gateway.cli.main import main

__all__ = ["main"]
