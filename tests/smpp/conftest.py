"""Fixtures of the session tests."""

import pytest


@pytest.fixture(params=[0, 1], ids=["whole", "octet by octet"])
def octets_per_read(request: pytest.FixtureRequest) -> int:
    """How the wire cuts what it carries: 0 is not at all."""
    octets: int = request.param
    return octets
