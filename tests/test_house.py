"""The rules of the house, held by reading the source: who may import what, sizes, words, READMEs.

The table below is the rule book; a folder that is not in it has no rules, which is a failure too.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.config import settings

ROOT = Path(__file__).parent.parent
LINES_MAX = 500
TEST_LINES_MAX = 700  # tables of cases are long and simple
STDLIB = frozenset(sys.stdlib_module_names)


class Rule(msgspec.Struct, frozen=True):
    """What the modules of a folder may import beside each other."""

    house: frozenset[str] = frozenset()  # our own packages, by prefix
    others: frozenset[str] = frozenset()  # packages from elsewhere
    banned: frozenset[str] = frozenset()  # of the standard library
    whole: bool = False  # may know the parts of `gateway` that the daemon does not


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Clocks, randomness, sockets and logs come from outside, as arguments, or not at all. (datetime is arithmetic;
# ruff's DTZ rules keep its clock away.)
WORLD = names(
    "asyncio logging multiprocessing os random secrets select selectors signal socket ssl subprocess"
)
WORLD |= names("threading time uuid")
NETWORK = names("asyncio html http socket socketserver ssl")
DAEMON = names("trio httptools trio_websocket wsproto structlog rich msgspec prometheus_client pyroaring")

WEB = names("litestar hypercorn jinja2 polib trio msgspec structlog")

# The longest entry that holds a file rules it.
RULES: dict[str, Rule] = {
    "gateway/smpp": Rule(others=names("msgspec"), banned=WORLD),
    "filters": Rule(others=names("ahocorasick pyroaring msgspec"), banned=NETWORK | {"sqlite3"}),
    "store": Rule(others=names("sqlite_utils msgspec argon2 cryptography"), banned=NETWORK),
    "gateway": Rule(names("filters store gateway.smpp"), DAEMON, names("asyncio html")),
    "gateway/daemon.py": Rule(names("filters store gateway.smpp admin"), DAEMON, names("asyncio html")),
    "gateway/__main__.py": Rule(whole=True),
    "gateway/demo.py": Rule(names("filters store gateway"), DAEMON, whole=True),
    "gateway/cli": Rule(names("filters store gateway bench"), DAEMON | {"rich_click"}, whole=True),
    "gateway/sim": Rule(names("gateway.smpp"), names("trio msgspec")),
    "admin": Rule(
        names("filters store"),
        WEB | {"python_calamine", "segno", "xlsxwriter"},
        names("asyncio http socket socketserver ssl"),
    ),
    "bench": Rule(names("filters store gateway"), DAEMON, whole=True),
}
# Parts of `gateway` that the daemon itself does not know.
APART = ("gateway.sim", "gateway.cli", "gateway.demo")
PACKAGES = ("gateway", "filters", "store", "admin", "bench", "tests")
WITH_README = (
    "gateway",
    "gateway/smpp",
    "gateway/sim",
    "gateway/cli",
    "gateway/events",
    "gateway/stream",
    "gateway/webhooks",
    "filters",
    "store",
    "admin",
    "bench",
    "tests",
    "tests/interop",
    "tests/fuzz",
)
MIRRORED = {
    "gateway": "gateway",
    "gateway/smpp": "smpp",
    "gateway/sim": "sim",
    "filters": "filters",
    "store": "store",
    "admin": "admin",
}

# Paths of the machine that it was made on, pages that are not in the repository, unfinished work.
FORBIDDEN_WORDS = re.compile(
    r"/wor[k]/|/tmp/pla[n]|/roo[t]/|/home/\w"
    r"|\b(?:smpp|reliability|console|design|style|peers)\.m[d]\b"
    r"|\bTO[D]O\b|\bFIXM[E]\b|\bNotImplementedErro[r]\b|pytest\.(?:mark\.)?(?:ski[p]|xfai[l])"
)
# Other people's programs that cannot be had here: the one reason to leave a test out, said in the one place.
MAY_SKIP = "tests/interop/packages.py"
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".sql", ".html", ".css", ".js", ".yml", ""}


def modules() -> list[Path]:
    """Every module of the project."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def texts() -> list[Path]:
    """Every text file of the project that people write."""
    found = [path for path in ROOT.iterdir() if not path.name.startswith(".git")]
    for folder in (*PACKAGES, ".ci"):
        found += (ROOT / folder).rglob("*")
    return sorted(
        path
        for path in found
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def folder_of(path: Path) -> str:
    """The top-level folder of a file."""
    return name_of(path).partition("/")[0]


def rule_of(path: Path) -> Rule | None:
    """The rule of the longest entry of RULES that holds the file."""
    name = name_of(path)
    fitting = [prefix for prefix in RULES if name == prefix or name.startswith(prefix + "/")]
    return RULES[max(fitting, key=len)] if fitting else None


def own_package(path: Path) -> str:
    """The folder of RULES that a file lies in, as a package: its modules may always import each other."""
    name = name_of(path)
    return max((prefix for prefix in RULES if name.startswith(prefix + "/")), key=len).replace("/", ".")


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, only for type checkers) of every import in a file, wherever it stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, id(node) in typing_only
            for alias in node.names:  # `from gateway import sim` imports a module as well
                inner = f"{node.module}.{alias.name}"
                file = ROOT / inner.replace(".", "/")
                if file.is_dir() or file.with_suffix(".py").is_file():
                    yield inner, id(node) in typing_only


def objections(path: Path) -> Iterator[str]:
    """What a module imports against the rules."""
    rule = rule_of(path)
    if rule is None:
        yield f"{name_of(path)}: its folder has no rule"
        return
    own = own_package(path)
    apart = () if rule.whole else APART
    for module, typing_only in imports(path):
        top = module.partition(".")[0]
        said = f"{name_of(path)} imports {module}"
        if top in STDLIB:
            if top in rule.banned and not typing_only:
                yield f"{said}: it must come from outside, as an argument"
        elif within(module, own) or any(within(module, prefix) for prefix in rule.house):
            if any(within(module, prefix) and not within(own, prefix) for prefix in apart):
                yield f"{said}: the daemon does not know it"
        elif (ROOT / top).is_dir():
            # A package that holds an allowed one is imported with it: `gateway` for `gateway.smpp`.
            if not any(prefix.startswith(module + ".") for prefix in (own, *rule.house)):
                yield f"{said}: its folder may not know it"
        elif top not in rule.others:
            yield f"{said}: it is not on its folder's list"


@pytest.mark.parametrize("package", ["gateway", "filters", "store", "admin", "bench"])
def test_every_import_is_allowed(package: str) -> None:
    found = [text for path in modules() if folder_of(path) == package for text in objections(path)]
    assert not found, "\n".join(found)


def test_nobody_imports_the_console_but_the_composition_root() -> None:
    found = [
        name_of(path)
        for path in modules()
        if name_of(path) != "gateway/daemon.py" and folder_of(path) not in ("admin", "tests")
        for module, _ in imports(path)
        if within(module, "admin")
    ]
    assert not found


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from store import model\nimport time, trio.abc\n"
        "def f():\n    import socket\nif TYPE_CHECKING:\n    from gateway.core import Core\n"
    )
    assert set(imports(module)) == {
        ("store", False),
        ("store.model", False),
        ("time", False),
        ("trio.abc", False),
        ("socket", False),
        ("gateway.core", True),
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("gateway/smpp/x.py", "import trio"),
        ("gateway/smpp/x.py", "from time import monotonic"),
        ("gateway/smpp/x.py", "from store.model import Part"),
        ("filters/x.py", "import sqlite3"),
        ("filters/x.py", "from gateway.smpp import text"),
        ("store/x.py", "import trio"),
        ("store/x.py", "from gateway.smpp.text import decode_text"),
        ("gateway/x.py", "from gateway.sim.carrier import SimCarrier"),
        ("gateway/x.py", "from gateway import sim"),
        ("gateway/x.py", "import asyncio"),
        ("gateway/x.py", "import jinja2"),
        ("gateway/x.py", "import bench.load"),
        ("gateway/x.py", "import admin.app"),
        ("admin/x.py", "from gateway.status import Status"),
        ("admin/x.py", "import socket"),
        ("gateway/sim/x.py", "from gateway.core import Core"),
    ],
)
def test_an_offender_is_found(file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("gateway/smpp", "gateway/sim", "filters", "store", "admin", "bench"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / file).write_text(text + "\n")
    assert list(objections(tmp_path / file))
    (tmp_path / file).write_text("import msgspec\nfrom collections import deque\n")
    assert not list(objections(tmp_path / file))


@pytest.mark.parametrize("folder", WITH_README)
def test_every_folder_says_what_it_is(folder: str) -> None:
    readme = ROOT / folder / "README.md"
    assert readme.exists(), f"{folder} has no README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) >= 10


def test_no_module_is_too_long() -> None:
    found = {}
    for path in modules():
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > (TEST_LINES_MAX if folder_of(path) == "tests" else LINES_MAX):
            found[name_of(path)] = length
    assert not found, f"split these, one idea each: {found}"


def test_every_module_says_what_it_is() -> None:
    found = []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if folder_of(path) != "tests" and text.strip() and not ast.get_docstring(ast.parse(text)):
            found.append(name_of(path))
    assert not found


def test_nothing_names_the_machine_or_leaves_work_undone() -> None:
    found = [
        f"{name_of(path)}:{number}: {match[0]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := FORBIDDEN_WORDS.search(line))
        and not (name_of(path) == MAY_SKIP and match[0].startswith("pytest."))
    ]
    assert not found, "\n".join(found)


def test_no_bare_except_and_none_that_swallows_cancellation() -> None:
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else ""
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            swallows = ("BaseException" in caught.split() or "Cancelled" in caught) and not raises
            if not node.type or swallows:
                found.append(f"{name_of(path)}:{node.lineno}: except {caught}")
    assert not found, "\n".join(found)


def test_every_setting_is_read_by_the_program() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in modules()
        if folder_of(path) in ("gateway", "store") and path.name not in ("settings.py", "config.py")
    )
    unread = [
        setting.path
        for setting in settings()
        if not re.search(rf"\.{setting.path.rpartition('.')[2]}\b", source)
    ]
    assert not unread, (
        f"a setting that does nothing is a lie: read it, or take it out of settings.py: {unread}"
    )


@pytest.mark.parametrize(("folder", "tests"), MIRRORED.items())
def test_tests_mirror_the_tree(folder: str, tests: str) -> None:
    assert any((ROOT / "tests" / tests).glob("test_*.py")), f"{folder} has no tests in tests/{tests}"
