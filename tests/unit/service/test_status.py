"""Refusals as statuses: the table is complete and says what the protocol says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from sterna.v1 import error_reason_pb2
from sterna_service.errors import Reason, ServiceError, out_of_range
from sterna_service.rpc.status import STATUS_OF, status_of

PROTO = Path(__file__).parents[3] / "proto" / "sterna" / "v1" / "error_reason.proto"


def documented() -> dict[str, str]:
    """Reason to gRPC status, as the comments of the protocol say."""
    pattern = r"((?:  //.*\n)+)  ERROR_REASON_(\w+) = [1-9]\d*;"
    found = {}
    for comment, name in re.findall(pattern, PROTO.read_text()):
        status = re.match(r"\s*// ([A-Z_]+)", comment)
        assert status is not None, name
        found[name] = status[1]
    return found


def test_reasons_are_those_of_the_protocol() -> None:
    names = {
        value.name.removeprefix("ERROR_REASON_")
        for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values
    }
    assert {reason.value for reason in Reason} == names - {"UNSPECIFIED"}


def test_every_reason_has_the_status_that_the_protocol_documents() -> None:
    assert {reason.value: status.name for reason, status in STATUS_OF.items()} == documented()


def test_a_refusal_carries_its_details() -> None:
    error = out_of_range("spec.sampling.top_p", "above 0, at most 1", 7)
    status = status_of(error, "id-1")
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "spec.sampling.top_p must be above 0, at most 1, got 7"
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("sterna", "FIELD_OUT_OF_RANGE")
    assert info.metadata == {"field": "spec.sampling.top_p", "limit": "above 0, at most 1"}
    assert status.details[1].Unpack(request)
    assert [each.field for each in request.field_violations] == ["spec.sampling.top_p"]
    assert len(status.details) == 2


def test_a_refusal_for_now_says_how_long_to_wait() -> None:
    status = status_of(ServiceError(Reason.QUEUE_FULL, "full", retry_after=1.5), "id")
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_a_bug_can_be_found_by_its_request() -> None:
    status = status_of(ServiceError(Reason.INTERNAL, "the server failed"), "id-9")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata == {"request_id": "id-9"}


@pytest.mark.parametrize("letter", ["x", "é", "語", "🦆"])
@pytest.mark.parametrize("reason", list(Reason))
def test_every_status_fits_the_headers_that_it_travels_in(reason: Reason, letter: str) -> None:
    names = ("model", "adapter", "tensor", "limit")
    error = ServiceError(
        reason, letter * 100_000, field="f", metadata=dict.fromkeys(names, letter * 100_000)
    )
    status = status_of(error, "id")
    # Each byte of the message that is not ASCII becomes three characters, the details base64.
    headers = len(quote(status.message, safe="")) + math.ceil(status.ByteSize() / 3) * 4
    assert headers < 8000
    assert "\N{REPLACEMENT CHARACTER}" not in status.message
