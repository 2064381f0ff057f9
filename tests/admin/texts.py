"""Every text that the console marks for translation, found in templates and source."""

import ast
from pathlib import Path

from admin.rendering import ENVIRONMENTS, TEMPLATES

ADMIN = Path(__file__).parents[2] / "admin"
MARKERS = frozenset({"N_", "t", "translate"})


def marked() -> dict[str, str]:
    """text -> where it stands first."""
    found: dict[str, str] = {}
    for path in sorted(TEMPLATES.glob("*.html")):
        source = path.read_text(encoding="utf-8")
        for line, _, text in ENVIRONMENTS["en"].extract_translations(source):  # type: ignore[attr-defined]
            if isinstance(text, tuple):  # one with values: ("… %(count)s …", None)
                text = next(one for one in text if one)
            if isinstance(text, str):
                found.setdefault(text, f"{path.name}:{line}")
    for path in sorted(ADMIN.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            for argument in node.args:
                if name in MARKERS and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.setdefault(argument.value, f"{path.name}:{node.lineno}")
    return found
