from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pull(_message.Message):
    __slots__ = ("source", "revision", "state", "total_bytes", "received_bytes", "file_count", "received_file_count", "current_file")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Pull.State]
        STATE_RESOLVING: _ClassVar[Pull.State]
        STATE_DOWNLOADING: _ClassVar[Pull.State]
        STATE_VERIFYING: _ClassVar[Pull.State]
        STATE_PACKING: _ClassVar[Pull.State]
        STATE_COMPLETED: _ClassVar[Pull.State]
    STATE_UNSPECIFIED: Pull.State
    STATE_RESOLVING: Pull.State
    STATE_DOWNLOADING: Pull.State
    STATE_VERIFYING: Pull.State
    STATE_PACKING: Pull.State
    STATE_COMPLETED: Pull.State
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FILE_FIELD_NUMBER: _ClassVar[int]
    source: str
    revision: str
    state: Pull.State
    total_bytes: int
    received_bytes: int
    file_count: int
    received_file_count: int
    current_file: str
    def __init__(self, source: _Optional[str] = ..., revision: _Optional[str] = ..., state: _Optional[_Union[Pull.State, str]] = ..., total_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., file_count: _Optional[int] = ..., received_file_count: _Optional[int] = ..., current_file: _Optional[str] = ...) -> None: ...
