"""How a failed call becomes an exception."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from sterna import AsyncClient, SternaError, errors
from sterna.errors import FieldViolation
from tests.support.flaky_server import Failure, FlakyServer, error_info


async def fail(server: FlakyServer, client: AsyncClient, failure: Failure) -> SternaError:
    """The exception that a failure becomes. The call is one that is never repeated."""
    server.failures.append(failure)
    with pytest.raises(SternaError) as caught:
        await client.create_session()
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequestError),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.InvalidRequestError),
        (grpc.StatusCode.NOT_FOUND, errors.NotFoundError),
        (grpc.StatusCode.ALREADY_EXISTS, errors.ConflictError),
        (grpc.StatusCode.ABORTED, errors.ConflictError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.AuthenticationError),
        (grpc.StatusCode.PERMISSION_DENIED, errors.AccessDeniedError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitError),
        (grpc.StatusCode.UNAVAILABLE, errors.UnavailableError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotSupportedError),
        (grpc.StatusCode.INTERNAL, errors.ServerError),
        (grpc.StatusCode.UNKNOWN, errors.ServerError),
    ],
)
async def test_the_class_follows_the_status(
    server: FlakyServer,
    client: AsyncClient,
    code: grpc.StatusCode,
    kind: type[SternaError],
) -> None:
    error = await fail(server, client, Failure(code))
    assert type(error) is kind
    assert error.code is code
    assert (error.reason, error.metadata, error.violations) == ("", {}, ())
    assert error.retry_after is None


def test_every_status_but_ok_has_a_class() -> None:
    assert set(grpc.StatusCode) - errors._CLASSES.keys() == {grpc.StatusCode.OK}


async def test_details_are_read(server: FlakyServer, client: AsyncClient) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="spec.sampling.top_p", description="above 0, at most 1")
    details = (error_info("FIELD_OUT_OF_RANGE", field="top_p", limit="1"), bad, retry)
    error = await fail(
        server, client, Failure(grpc.StatusCode.INVALID_ARGUMENT, "top_p is 2", details)
    )
    assert error.reason == "FIELD_OUT_OF_RANGE"
    assert error.metadata == {"field": "top_p", "limit": "1"}
    assert error.violations == (FieldViolation("spec.sampling.top_p", "above 0, at most 1"),)
    assert error.retry_after == 1.5
    assert error.message == "top_p is 2"
    assert str(error) == "top_p is 2 [FIELD_OUT_OF_RANGE]"


async def test_reasons_of_others_are_not_ours(server: FlakyServer, client: AsyncClient) -> None:
    details = (error_info("API_KEY_INVALID", domain="googleapis.com", key="k"),)
    error = await fail(server, client, Failure(grpc.StatusCode.UNAUTHENTICATED, "no", details))
    assert (error.reason, error.metadata) == ("", {})
    assert str(error) == "no [UNAUTHENTICATED]"


async def test_unreadable_details_do_not_hide_the_error(
    server: FlakyServer, client: AsyncClient
) -> None:
    failure = Failure(grpc.StatusCode.NOT_FOUND, "gone", raw_details=b"\xff\xff\xff")
    error = await fail(server, client, failure)
    assert type(error) is errors.NotFoundError
    assert error.message == "gone"
