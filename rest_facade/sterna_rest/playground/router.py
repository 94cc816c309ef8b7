"""`GET /playground`, and the files of its page. They need nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path as FilePath

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

_PAGE = FilePath(__file__).parent / "page"
_FILES = {"style.css", "playground.js", "api.js", "text.js", "voice.js"}
# The page shows what models write: only its own scripts run, and it talks to this server alone.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Asked again each time, so that an upgraded server never meets an old page.
    "cache-control": "no-cache",
}


@router.get("/playground")
async def playground() -> FileResponse:
    """The page."""
    return FileResponse(_PAGE / "index.html", headers=_HEADERS)


@router.get("/playground/{name}")
async def playground_file(name: str) -> FileResponse:
    """A file of the page."""
    if name not in _FILES:
        raise HTTPException(404)
    return FileResponse(_PAGE / name, headers=_HEADERS)
