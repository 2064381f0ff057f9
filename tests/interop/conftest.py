"""One gateway for all tests of this folder; each test has an account and a carrier of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .certificates import write_certificate
from .conversations import Recorded, record
from .gateway_process import PEOPLE, Gateway


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of 127.0.0.1 in one PEM file."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "tls.pem")


@pytest.fixture(scope="session")
def running_gateway(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), certificate)
    gateway.apply(**PEOPLE)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def gateway(running_gateway: Gateway) -> Iterator[Gateway]:
    """The running gateway; whatever its peer did, it must not have met an error of its own."""
    assert running_gateway.alive, "the gateway has ended; an earlier test says why"
    before = len(running_gateway.trouble())
    yield running_gateway
    assert running_gateway.trouble()[before:] == []


@pytest.fixture(scope="session")
def recorded(running_gateway: Gateway) -> list[Recorded]:
    """Whole conversations of the gateway, for those who read them."""
    before = len(running_gateway.trouble())
    found = record(running_gateway)
    assert running_gateway.trouble()[before:] == []
    return found
