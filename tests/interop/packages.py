"""Other people's programs: where they are, or a skip that says what is missing and how to get it.

This is the one place of the whole suite that leaves a test out, and only where a package cannot be had.
`tests/interop/install.sh` installs them all; `make test` calls it.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / ".interop" / "node_modules"
# Debian puts servers where an ordinary user's PATH does not look.
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def program(name: str, package: str) -> str:
    """The path of a program of a Debian package; skips the test where there is none."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        pytest.skip(
            f"{name} is missing: Debian's package {package} is not installed (tests/interop/install.sh)"
        )
    return path


def node_with_smpp() -> str:
    """The path of node, with npm's smpp beside it; skips the test where either is missing."""
    node = program("node", "nodejs")
    if not (NODE_MODULES / "smpp" / "package.json").is_file():
        pytest.skip(f"npm's smpp is not in {NODE_MODULES.relative_to(ROOT)} (tests/interop/install.sh)")
    return node


def left_out(because: str) -> NoReturn:
    """Skip the rest of a test: this machine does not permit what it needs."""
    pytest.skip(because)
