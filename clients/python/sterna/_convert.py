"""From messages of the protocol to the plain dataclasses of `sterna.types`.

A dataclass names fields of its message; their types say how each is converted. A field whose type
allows None is None when the message does not hold it. A converter is compiled once per class.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

T = TypeVar("T")
_Read = Callable[[Message], Any]

# Each dataclass belongs to one message. Two threads may compile the same one, to the same end.
_compiled: dict[type, list[tuple[str, _Read]]] = {}


def from_message(kind: type[T], message: Message) -> T:
    """The dataclass `kind` filled from `message`."""
    readers = _compiled.get(kind)
    if readers is None:
        readers = _compiled[kind] = _compile(kind, message)
    return kind(**{name: read(message) for name, read in readers})


def enum_name(descriptor: EnumDescriptor, member: str) -> str:
    """The value's name in the protocol: "stop" in FinishReason is FINISH_REASON_STOP."""
    zero = descriptor.values_by_number[0].name
    return f"{zero.removesuffix('UNSPECIFIED')}{member.upper()}"


def _compile(kind: Any, message: Message) -> list[tuple[str, _Read]]:
    hints = typing.get_type_hints(kind)
    by_name = message.DESCRIPTOR.fields_by_name
    return [(field.name, _reader(hints[field.name], by_name[field.name])) for field in fields(kind)]


def _reader(hint: Any, field: Any) -> _Read:
    name = field.name
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
        optional = True
    origin = typing.get_origin(hint)
    if origin is tuple:
        item = _value(typing.get_args(hint)[0], field)
        return lambda message: tuple(item(value) for value in getattr(message, name))
    if origin is dict:
        return lambda message: dict(getattr(message, name))
    convert = _value(hint, field)
    if optional:
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
    return lambda message: convert(getattr(message, name))


def _value(hint: Any, field: Any) -> Callable[[Any], Any]:
    if hint is datetime:
        return lambda value: value.ToDatetime(UTC)
    if hint is timedelta:
        return lambda value: value.ToTimedelta()
    if isinstance(hint, type) and issubclass(hint, Enum):
        members = _enum_members(hint, field.enum_type)
        unknown = hint("unspecified")
        return lambda value: members.get(value, unknown)
    if field.message_type is not None:
        return lambda value: from_message(hint, value)
    return lambda value: value


def _enum_members(kind: type[Enum], descriptor: EnumDescriptor) -> dict[int, Enum]:
    numbers = {name: value.number for name, value in descriptor.values_by_name.items()}
    return {numbers[enum_name(descriptor, member.name)]: member for member in kind}
