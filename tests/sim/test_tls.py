"""The simulators over TLS."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_options import EsmeOptions

from .helpers import LOGIN


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "tls.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("verify", [True, False])
async def test_whole_run_over_tls(certificate: Path, verify: bool) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with SimCarrier(ssl_context=context) as carrier:
        ca = str(certificate) if verify else ""
        options = EsmeOptions(**LOGIN, port=carrier.port, tls=True, tls_ca=ca, messages=5)
        async with SimEsme(options) as esme:
            report = await esme.run()
    assert (report.accepted, report.missing) == (5, 0)


async def test_plain_octets_on_the_tls_port_end_that_link_only(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with SimCarrier(ssl_context=context) as carrier:
        async with SimEsme(EsmeOptions(**LOGIN, port=carrier.port)) as plain:
            with pytest.raises(Exception, match="refused"):
                await plain.bind_all()
        async with SimEsme(EsmeOptions(**LOGIN, port=carrier.port, tls=True)) as secure:
            await secure.bind_all()
