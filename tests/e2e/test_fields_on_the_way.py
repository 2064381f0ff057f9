"""What happens to single fields between a customer and a carrier, and which never come to light."""

from pathlib import Path

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.times import format_relative

from .peer import bound, connected
from .world import PASSWORD, UPSTREAM, until, world


@pytest.mark.parametrize("coding", [0x02, 0x04, 0xF5])
async def test_binary_goes_octet_for_octet_from_customer_to_carrier(tmp_path: Path, coding: int) -> None:
    octets = bytes(range(0xFF, 0x7F, -1)) + b"\0\xff\0\x1b"
    async with world(tmp_path, document={"word": [{"text": "x", "action": "mask"}]}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.submit(octets, data_coding=coding)
        await until(lambda: gateway.sim.log.parts)
        message = gateway.sim.log.parts[0].message
        assert (message.text, message.data_coding) == (octets, coding)


async def test_a_sender_of_twelve_letters_is_refused_and_one_of_eleven_passes(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        for sender, status in ((b"a_long@name", 0), (b"a_longer@name", Status.ESME_RINVSRCADR)):
            named = {"source_addr": sender, "source_addr_ton": 5, "source_addr_npi": 0}
            assert (await peer.submit(**named)).command_status == status  # type: ignore[arg-type]


async def test_the_parts_of_a_message_share_everything_but_their_number(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port) as peer:
            payload = (0x0424, ("您好" * 100).encode("utf-16-be"))
            validity = format_relative(3600)
            answer = await peer.submit(b"", data_coding=8, validity_period=validity, tlvs=(payload,))
            await peer.receive()  # its one receipt: all of it is over and stored
        seen = gateway.sim.log.parts
        assert len({part.sequence_number for part in seen}) == len(seen) == 3
        assert [part.message.part[1:] for part in seen] == [(3, 1), (3, 2), (3, 3)]
        shared = {
            (m.part[0], m.source, m.destination, m.esm_class, m.data_coding, m.registered_delivery)
            for m in (part.message for part in seen)
        }
        assert len(shared) == 1
        sent = [
            decode_body(CommandId.SUBMIT_SM, attempt.pdu or b"")
            for attempt in (await gateway.life(answer.message_id.decode())).attempts
        ]
        told = {pdu.validity_period for pdu in sent if isinstance(pdu, SubmitSm)}
        assert len(sent) == 3
        assert told and told <= {format_relative(seconds) for seconds in range(3570, 3601)}


async def test_no_password_is_in_the_log_whoever_binds_and_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    guesses = ("gu3ssed", "far-too-long-" * 4)
    async with world(tmp_path, carrier={"password": "c4rrier"}, bound=False) as gateway:
        await until(lambda: gateway.daemon.dialer.trouble)  # it refuses our password
        async with bound(gateway.port):
            pass
        for guess in guesses:
            async with connected(gateway.port) as peer:
                assert await peer.bind(password=guess) != 0
        async with connected(gateway.port) as peer:
            await peer.stream.send_all(
                bytes.fromhex("0000001F000000090000000000000001") + b"acme\0gu3ssedxx!"
            )
            assert await peer.is_closed()
    logged = "".join(capfd.readouterr())
    assert "acme" in logged
    for password in (*guesses, PASSWORD, UPSTREAM["password"], "c4rrier"):
        assert password not in logged


async def test_other_protocols_on_the_port_hurt_nobody_who_is_bound(tmp_path: Path) -> None:
    strange = (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes.fromhex("16030100C8"),
        b"AMQP\0\0\x09\1",
        b"PROXY TCP4 1.2.3.4",
    )
    async with world(tmp_path) as gateway, bound(gateway.port) as customer:
        for octets in strange * 25:
            async with connected(gateway.port) as peer:
                await peer.stream.send_all(octets)
        assert (await customer.submit()).command_status == 0
        await customer.receive()
