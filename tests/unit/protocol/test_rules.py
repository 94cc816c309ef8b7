"""Rules of the protocol that buf does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from sterna.v1 import (
    access_pb2,
    error_reason_pb2,
    generation_pb2,
    inference_pb2,
    model_admin_pb2,
    speech_pb2,
)
from sterna_service.rpc.status import STATUS_OF

PROTO = Path(__file__).resolve().parents[3] / "proto"
FILES = (access_pb2, inference_pb2, model_admin_pb2, speech_pb2)
UNSIGNED = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
}


def reachable(file: FileDescriptor, seen: set[str]) -> Iterator[Descriptor]:
    """Messages of a file and of the files of this package that it imports."""
    if file.package != "sterna.v1" or file.name in seen:
        return
    seen.add(file.name)
    yield from file.message_types_by_name.values()
    for imported in file.dependencies:
        yield from reachable(imported, seen)


SEEN: set[str] = set()
MESSAGES = [message for file in FILES for message in reachable(file.DESCRIPTOR, SEEN)]


def test_every_file_is_looked_at() -> None:
    on_disk = {str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto")}
    assert on_disk == SEEN | {"sterna/v1/error_reason.proto"}


def test_there_are_no_unsigned_integers() -> None:
    unsigned = [
        field.full_name
        for message in MESSAGES
        for field in message.fields
        if field.type in UNSIGNED
    ]
    assert unsigned == []


def test_zero_differs_from_absence_in_every_sampling_number() -> None:
    fields = generation_pb2.SamplingParams.DESCRIPTOR.fields
    without = {field.name for field in fields if not field.has_presence}
    assert without == {"logit_bias"}


@pytest.mark.parametrize("file", FILES[1:], ids=lambda file: file.DESCRIPTOR.name)
def test_every_list_has_pages(file: object) -> None:
    (service,) = file.DESCRIPTOR.services_by_name.values()  # type: ignore[attr-defined]
    lists = [method for method in service.methods if method.name.startswith("List")]
    assert lists
    for method in lists:
        assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
        assert "next_page_token" in method.output_type.fields_by_name


def test_both_forms_of_generation_take_the_same() -> None:
    for request in (inference_pb2.GenerateRequest, inference_pb2.StreamGenerateRequest):
        (field,) = request.DESCRIPTOR.fields
        assert field.message_type is generation_pb2.GenerationSpec.DESCRIPTOR


def test_each_reason_has_the_status_that_its_comment_says() -> None:
    text = (PROTO / "sterna/v1/error_reason.proto").read_text()
    found = re.findall(
        r"  // ([A-Z_]+)(?: with \w+)?\. (?:.*\n  //.*)*.*\n  ERROR_REASON_(\w+) =", text
    )
    documented = {reason: status for status, reason in found}
    names = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()}
    assert documented.keys() == names - {"UNSPECIFIED"}
    assert {reason.value: status.name for reason, status in STATUS_OF.items()} == documented


def test_errors_named_by_rpcs_exist() -> None:
    known = dict(error_reason_pb2.ErrorReason.items())
    named = [
        name
        for path in PROTO.rglob("*.proto")
        for block in re.findall(r"Errors?:(?:\s+(?:// )?[A-Z_]{4,}[,.])+", path.read_text())
        for name in re.findall(r"[A-Z_]{4,}", block)
    ]
    assert len(named) > 80
    assert [name for name in named if f"ERROR_REASON_{name}" not in known] == []
