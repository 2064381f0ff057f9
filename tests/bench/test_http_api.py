"""The HTTP benchmark with the real daemon, small: whatever was answered 202 has a final state, and ids are new."""

import msgspec
import pytest

from bench.__main__ import main
from bench.http_load import HttpLoad, HttpLoadOptions
from bench.runner import Result


@pytest.mark.slow
def test_singles_batches_and_a_long_body_are_all_delivered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http", "--small", "--json"]) == 0
    result = msgspec.json.decode(capsys.readouterr().out, type=Result)
    assert result.problems == []
    assert result.figures["lost"] == 0
    for name in ("messages_per_s", "batches_per_s", "ndjson_rows_per_s", "messages_daemon_cpu_us"):
        assert result.figures[name] > 0


def answer(status: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 %b OK" % status, b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_refusal_and_an_id_that_came_twice_are_counted() -> None:
    load = HttpLoad(HttpLoadOptions())
    for name in (b"msg_1", b"msg_2", b"msg_1"):
        load._count(answer(b"202", b"{}", b"location: /v1/messages/" + name))
    load._count(answer(b"503"))
    assert (load._messages, load._doubled, load._refused) == (3, 1, {503: 1})


def test_rejected_rows_of_a_batch_are_counted() -> None:
    load = HttpLoad(HttpLoadOptions(batch=3))
    load._count(answer(b"202", b'{"accepted":2,"rejected":[{"index":1}]}'))
    assert (load._messages, load._refused) == (2, {0: 1})


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_an_answer_counts_when_it_is_whole(cut: int) -> None:
    whole = answer(b"202", b"x" * 30)
    assert HttpLoad._whole(whole + b"HTTP/1.1 202") == len(whole)
    assert HttpLoad._whole(whole[:-cut]) == 0


def test_an_answer_without_a_length_ends_the_run() -> None:
    with pytest.raises(ConnectionError, match="content-length"):
        HttpLoad._whole(b"HTTP/1.1 200 OK\r\n\r\n")
