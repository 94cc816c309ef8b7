"""Uploads: files in forms."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import UploadFile

# The core takes messages of at most this size.
PART_BYTES = 64 * 1024


async def file_parts(file: UploadFile) -> AsyncIterator[bytes]:
    """The bytes of an uploaded file, in parts for the core."""
    await file.seek(0)
    while part := await file.read(PART_BYTES):
        yield part
