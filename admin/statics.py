"""Our own static files, from a fixed map in memory: nothing on the disk can be reached by a path.

Addresses hold a hash of the content, so a browser keeps each for a year and never has an old one.
"""

import gzip
import hashlib
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "static"
VENDORED = FOLDER / "vendor"
MANIFEST = VENDORED / "manifest.json"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
HASH_CHARACTERS = 12


class StaticFile(msgspec.Struct, frozen=True):
    """One file, ready to be sent."""

    path: str
    media_type: str
    content: bytes
    compressed: bytes


class Vendored(msgspec.Struct, frozen=True):
    """A file that others wrote: where it is from, and what it must be."""

    file: str
    package: str
    version: str
    licence: str
    source: str
    sha256: str


def manifest() -> list[Vendored]:
    """Everything under `static/vendor`, as it was when somebody looked at it."""
    return msgspec.json.decode(MANIFEST.read_bytes(), type=list[Vendored])


def _load() -> dict[str, StaticFile]:
    files = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in MEDIA_TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]
            files[path.name] = StaticFile(
                f"/static/{digest}/{path.name}",
                MEDIA_TYPES[path.suffix],
                content,
                gzip.compress(content, 9, mtime=0),
            )
    return files


FILES = _load()
BY_PATH = {file.path: file for file in FILES.values()}


def static_path(name: str) -> str:
    """The address of a file; KeyError for one that we do not have."""
    return FILES[name].path
