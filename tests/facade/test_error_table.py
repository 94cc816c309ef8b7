"""Every reason of the core has its HTTP answer, and every status of gRPC has one, too."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from sterna.v1.error_reason_pb2 import ErrorReason
from sterna_rest.errors import ApiError
from sterna_rest.errors.from_core import core_error
from sterna_rest.errors.table import REASONS

PREFIX = "ERROR_REASON_"
ALL_REASONS = [
    value.name.removeprefix(PREFIX)
    for value in ErrorReason.DESCRIPTOR.values
    if value.name != f"{PREFIX}UNSPECIFIED"
]


def rpc_error(
    code: grpc.StatusCode,
    message: str = "text",
    *details: object,
) -> grpc.aio.AioRpcError:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)  # type: ignore[arg-type]
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def reason(name: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=name, domain="sterna", metadata=metadata)


def test_the_table_has_exactly_the_reasons_of_the_protocol() -> None:
    assert sorted(REASONS) == sorted(ALL_REASONS)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        # The contract's own list.
        ("INVALID_FIELD", 400, "invalid_value"),
        ("FIELD_OUT_OF_RANGE", 422, "invalid_value"),
        ("CONTEXT_LENGTH_EXCEEDED", 400, "context_length_exceeded"),
        ("MODEL_NOT_FOUND", 404, "model_not_found"),
        ("MODEL_NOT_LOADED", 400, "model_not_loaded"),
        ("RATE_LIMITED", 429, "rate_limit_exceeded"),
        ("CONCURRENCY_LIMITED", 429, "rate_limit_exceeded"),
        ("SERVER_STARTING", 503, "service_unavailable"),
        ("SERVER_DRAINING", 503, "service_unavailable"),
        ("QUEUE_FULL", 503, "service_unavailable"),
        ("AUDIO_TOO_LARGE", 413, "audio_too_large"),
        ("UNAUTHENTICATED", 401, "invalid_api_key"),
        ("PATH_FORBIDDEN", 403, "path_forbidden"),
        ("SWAP_IN_PROGRESS", 409, "swap_in_progress"),
        ("VOICE_BUILT_IN", 400, "voice_built_in"),
        ("INTERNAL", 500, "server_error"),
    ],
)
def test_reasons_become_the_statuses_of_the_contract(name: str, status: int, code: str) -> None:
    error = core_error(rpc_error(grpc.StatusCode.UNKNOWN, "text", reason(name)))
    assert (error.status_code, error.code, error.message) == (status, code, "text")


@pytest.mark.parametrize("name", ALL_REASONS)
def test_every_reason_gives_an_envelope_with_four_keys(name: str) -> None:
    error = core_error(rpc_error(grpc.StatusCode.UNKNOWN, "text", reason(name)))
    assert set(error.envelope()) == {"message", "type", "param", "code"}
    assert error.envelope()["type"]
    assert ("retry-after" in error.response("/v1/x").headers) == (error.status_code in (429, 503))


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_status_without_a_reason_is_answered(code: grpc.StatusCode) -> None:
    error = core_error(rpc_error(code))
    assert 400 <= error.status_code < 600
    assert error.message


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS]
)
def test_internals_of_grpc_are_not_told(code: grpc.StatusCode) -> None:
    error = core_error(rpc_error(code, "Unexpected <class 'KeyError'>: /secret/path"))
    assert error.status_code == 500
    assert "secret" not in error.message


def test_the_address_of_an_unreachable_core_is_not_told() -> None:
    error = core_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "connect failed: unix:/private"))
    assert (error.status_code, error.code) == (503, "service_unavailable")
    assert "private" not in error.message


def test_a_reason_that_is_not_known_is_treated_by_its_status() -> None:
    error = core_error(rpc_error(grpc.StatusCode.NOT_FOUND, "No such thing.", reason("NEW")))
    assert (error.status_code, error.message) == (404, "No such thing.")


def test_a_reason_of_somebody_else_does_not_count() -> None:
    info = error_details_pb2.ErrorInfo(reason="MODEL_NOT_FOUND", domain="example.org")
    assert core_error(rpc_error(grpc.StatusCode.INTERNAL, "x", info)).status_code == 500


def test_the_field_is_renamed_in_param_and_message() -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="spec.sampling.top_p")]
    )
    error = core_error(
        rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT,
            "spec.sampling.top_p must be above 0; got -1.",
            reason("FIELD_OUT_OF_RANGE", field="spec.sampling.top_p"),
            bad,
        ),
        lambda field: field.rpartition(".")[2],
    )
    assert error.param == "top_p"
    assert error.message == "`top_p` must be above 0; got -1."


def test_an_unknown_model_names_the_parameter() -> None:
    error = core_error(
        rpc_error(grpc.StatusCode.NOT_FOUND, "No model 'x'.", reason("MODEL_NOT_FOUND", model="x"))
    )
    assert error.param == "model"


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds"),
    [(0.2, "1", "200"), (2.0, "2", "2000"), (2.1, "3", "2100")],
)
def test_retry_info_becomes_headers(seconds: float, header: str, milliseconds: str) -> None:
    delay = duration_pb2.Duration()
    delay.FromMicroseconds(int(seconds * 1e6))
    error = core_error(
        rpc_error(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "full",
            reason("QUEUE_FULL"),
            error_details_pb2.RetryInfo(retry_delay=delay),
        )
    )
    headers = error.response("/v1/x").headers
    assert headers["retry-after"] == header
    assert headers["retry-after-ms"] == milliseconds


def test_broken_details_do_not_break_the_answer() -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, details="gone"
    )
    assert core_error(error).status_code == 404


def test_bodies_differ_by_family_of_paths() -> None:
    error = ApiError(404, "Gone.", code="not_found")
    assert error.response("/v1/models").body == (
        b'{"error":{"message":"Gone.","type":"invalid_request_error","param":null,"code":"not_found"}}'
    )
    assert error.response("/api/models").body == b'{"detail":"Gone."}'
    assert error.response("/v10").body == b'{"detail":"Gone."}'
