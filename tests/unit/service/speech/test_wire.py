"""Messages between server and worker."""

from __future__ import annotations

import asyncio
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna_service.speech import wire

HEADERS = st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans()))


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=2000)), max_size=5))
def test_messages_come_out_as_they_went_in(
    sent: list[tuple[dict[str, object], bytes]],
) -> None:
    stream = io.BytesIO(b"".join(wire.encode(header, data) for header, data in sent))
    got = [wire.receive_blocking(stream) for _ in sent]
    assert [(m.header, m.data) for m in got if m is not None] == sent
    assert wire.receive_blocking(stream) is None


def test_a_message_that_is_cut_off_is_the_end() -> None:
    whole = wire.encode({"op": "x"}, b"data")
    for length in range(len(whole)):
        assert wire.receive_blocking(io.BytesIO(whole[:length])) is None


async def test_lengths_that_no_message_has_are_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\xff" * 8)
    with pytest.raises(ValueError, match="none of ours"):
        await wire.receive(reader)
