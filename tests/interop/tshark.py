"""Asks tshark, Wireshark's dissector on the command line, what it reads in a capture."""

import subprocess
from pathlib import Path

import msgspec

from .packages import program

SMPP_PORT = 2775
SEPARATOR, BETWEEN = "\x1e", "\x1f"
RUN_S_MAX = 120.0


class Frame(msgspec.Struct, frozen=True):
    """One packet with SMPP in it. `fields` has every occurrence of each field asked for, as tshark writes it."""

    number: int
    stream: int
    up: bool
    fields: dict[str, list[str]]


def tshark(capture: Path, display_filter: str, *fields: str) -> list[Frame]:
    """The packets that pass the filter, with these fields; skips the test where there is no tshark."""
    names = ("frame.number", "tcp.stream", "tcp.dstport", *fields)
    run = subprocess.run(
        [
            program("tshark", "tshark"),
            *(
                "-n",
                "-r",
                str(capture),
                "-d",
                f"tcp.port=={SMPP_PORT},smpp",
                "-Y",
                display_filter,
                "-T",
                "fields",
            ),
            *("-E", f"separator={SEPARATOR}", "-E", f"aggregator={BETWEEN}", "-E", "occurrence=a"),
            *(part for name in names for part in ("-e", name)),
        ],
        capture_output=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    frames = []
    for line in run.stdout.decode("utf-8", "replace").split("\n")[
        :-1
    ]:  # splitlines would split at the separators
        number, stream, port, *values = line.split(SEPARATOR)
        found = {name: value.split(BETWEEN) for name, value in zip(fields, values, strict=True) if value}
        frames.append(Frame(int(number), int(stream), int(port) == SMPP_PORT, found))
    return frames
