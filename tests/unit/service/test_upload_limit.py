"""Uploads over gRPC: cut off at the limit of their client, refused where they are no messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sterna.v1.speech_pb2 import TranscribeRequest
from sterna_service.errors import Reason, ServiceError
from sterna_service.rpc.interceptor import _checked, _tolerant


async def test_what_is_too_large_is_not_read_to_its_end() -> None:
    sent = 0

    async def messages() -> AsyncIterator[TranscribeRequest]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield TranscribeRequest(audio=bytes(1000))

    taken = 0

    async def take() -> None:
        nonlocal taken
        async for _ in _checked(messages(), 10_500):
            taken += 1

    with pytest.raises(ServiceError) as caught:
        await take()
    assert caught.value.reason is Reason.AUDIO_TOO_LARGE
    assert caught.value.metadata == {"limit_bytes": "10500"}
    assert (taken, sent) == (10, 11)


async def test_a_message_of_an_upload_that_is_none_is_refused() -> None:
    parse = _tolerant(TranscribeRequest.FromString)

    async def messages() -> AsyncIterator[object]:
        yield parse(TranscribeRequest(audio=b"1").SerializeToString())
        yield parse(b"\xff\xff\xff\xff")

    checked = _checked(messages(), 0)
    assert await anext(checked) == TranscribeRequest(audio=b"1")
    with pytest.raises(ServiceError) as caught:
        await anext(checked)
    assert caught.value.reason is Reason.INVALID_FIELD
