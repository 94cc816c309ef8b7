"""A recording that is being uploaded: in memory while small, else in a file without a name."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from sterna_service.errors import Reason, ServiceError

_IN_MEMORY = 2 * 1024 * 1024
_PART = 1024 * 1024


class Upload:
    """The bytes of one recording. The file has no name: nothing of it outlives the request."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    async def fill(self, parts: AsyncIterator[bytes], idle_seconds: float) -> None:
        """Takes everything that comes.

        Raises:
            ServiceError: It is more than the limit, or nothing comes for too long.
        """
        while True:
            try:
                async with asyncio.timeout(idle_seconds):
                    part = await anext(parts)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ServiceError(
                    Reason.DEADLINE_EXCEEDED,
                    f"no audio came for {idle_seconds:g} s; send the recording without a pause",
                    metadata={"limit": f"{idle_seconds:g}"},
                ) from None
            self._size += len(part)
            if self._size > self._limit:
                raise ServiceError(
                    Reason.AUDIO_TOO_LARGE,
                    f"the recording is larger than the limit of {self._limit} bytes; send less",
                    metadata={"limit_bytes": str(self._limit)},
                )
            # The kernel takes it into its cache: no thread is needed for so little.
            self._file.write(part)

    def parts(self) -> Iterator[bytes]:
        """Everything, from the beginning."""
        self._file.seek(0)
        while part := self._file.read(_PART):
            yield part
