"""The WebSocket benchmark with the real daemon, small: every submit acked once, every final event read once."""

import msgspec
import pytest

from bench.__main__ import main
from bench.runner import Result
from bench.stream_load import StreamLoad, StreamLoadOptions


@pytest.mark.slow
def test_submits_are_acked_and_events_read_without_loss_or_repetition(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["stream", "--small", "--json"]) == 0
    result = msgspec.json.decode(capsys.readouterr().out, type=Result)
    assert result.problems == []
    assert result.figures["lost"] == 0
    for name in ("submits_per_s", "events_per_s", "submits_daemon_cpu_us"):
        assert result.figures[name] >= 0


def test_a_refusal_and_an_id_that_came_twice_are_counted() -> None:
    load = StreamLoad(StreamLoadOptions())
    for ref, name in enumerate((b"msg_1", b"msg_2", b"msg_1")):
        load._ack(b'{"op":"ack","ref":"%d","id":"%b","parts":1}' % (ref, name))
    load._ack(b'{"op":"nack","ref":"9","problem":{}}')
    assert (load._refused, load._doubled, sorted(load._ids)) == (1, 1, [b"msg_1", b"msg_2"])
