"""A world for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.world import World, world


@pytest.fixture
def console(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "data") as made:
        yield made
