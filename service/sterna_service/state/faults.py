"""What a failing database means for a caller: errors of drivers as refusals."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from sterna_service.errors import Reason, ServiceError

RETRY_SECONDS = 5.0

# Primary result codes of SQLite: https://www.sqlite.org/rescode.html
_SQLITE_FULL = 13
_SQLITE_PROBLEMS = {
    5: "is locked by another process",
    6: "is locked",
    8: "cannot be written",
    10: "cannot be read or written: the disk fails",
    11: "is damaged; restore it from a backup",
    14: "cannot be opened",
    26: "is damaged; restore it from a backup",
}

# SQLSTATEs of PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_FULL = "53100"
_POSTGRES_AGAIN = frozenset({"40001", "40P01"})
_POSTGRES_PROBLEMS = {
    "25006": "cannot be written",
    "53200": "is out of memory",
    "53300": "has no connection left",
    "55P03": "is locked by another process",
    "57014": "took too long",
}


def may_repeat(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction may succeed at once: it met another one."""
    return getattr(error.orig, "sqlstate", None) in _POSTGRES_AGAIN


def is_locked(error: sa.exc.DBAPIError) -> bool:
    """Whether another process holds the file of SQLite."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (5, 6)


def refusal_of(error: sa.exc.SQLAlchemyError, name: str) -> ServiceError | None:
    """What callers are told; None when the database is not to blame. `name` is shown for it."""
    if isinstance(error, sa.exc.TimeoutError):
        return unavailable(name, "has no connection left")
    if not isinstance(error, sa.exc.DBAPIError):
        return None
    original = error.orig
    if isinstance(original, sqlite3.Error):
        # Extended codes hold the primary one in their lowest byte.
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if code == _SQLITE_FULL:
            return _full(name)
        problem = _SQLITE_PROBLEMS.get(code)
        return None if problem is None else unavailable(name, problem)
    state = getattr(original, "sqlstate", None)
    if state == _POSTGRES_FULL:
        return _full(name)
    if state in _POSTGRES_PROBLEMS:
        return unavailable(name, _POSTGRES_PROBLEMS[state])
    lost = state is None or state[:2] in ("08", "57") or error.connection_invalidated
    if lost and isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError)):
        return unavailable(name, "cannot be reached")
    return None


def unavailable(name: str, problem: str) -> ServiceError:
    """The database cannot be used at the moment."""
    return ServiceError(
        Reason.STATE_UNAVAILABLE,
        f"the server's database ({name}) {problem}; try again in a moment",
        metadata={"database": name},
        retry_after=RETRY_SECONDS,
    )


def _full(name: str) -> ServiceError:
    return ServiceError(
        Reason.DISK_FULL,
        f"the disk of the server's database ({name}) is full: nothing more can be kept until "
        "there is room",
        metadata={"path": name},
    )
