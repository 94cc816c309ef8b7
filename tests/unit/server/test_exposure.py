"""Where a server without keys may listen, and how the command line makes keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sterna_server.errors import CommandError
from sterna_server.exposure import check_exposure, is_loopback
from sterna_server.keys.commands import create_key, listed_keys, revoke_key
from sterna_server.keys.reading import expiry_of, limits_of, scopes_of
from sterna_server.keys.table import as_objects, as_table
from sterna_server.settings import Settings
from sterna_service.access.keys import PREFIX
from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.access.scopes import Scope

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NOTHING: dict[str, Any] = {
    "requests": None,
    "tokens": None,
    "concurrent": None,
    "streams": None,
    "upload": None,
}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("--host", {"host": "0.0.0.0"}),
        ("--listen", {"listen": ["127.0.0.1:1", "[::]:11434,ollama"]}),
        ("--grpc-host", {"grpc_host": "192.0.2.1"}),
    ],
)
def test_no_keys_for_others(setting: str, values: dict[str, Any]) -> None:
    with pytest.raises(CommandError) as caught:
        check_exposure(Settings(**values), rest=True, grpc=True)
    assert str(caught.value).startswith(setting)
    assert "--auth keys" in str(caught.value)
    assert "--allow-unauthenticated" in str(caught.value)
    check_exposure(Settings(**values, auth="keys"), rest=True, grpc=True)
    check_exposure(Settings(**values, allow_unauthenticated=True), rest=True, grpc=True)


def test_only_ports_that_are_opened_count() -> None:
    check_exposure(Settings(host="0.0.0.0"), rest=False, grpc=True)
    check_exposure(Settings(grpc_host="0.0.0.0"), rest=True, grpc=False)
    check_exposure(Settings(), rest=True, grpc=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("30m", NOW + timedelta(minutes=30)),
        ("90D", NOW + timedelta(days=90)),
        ("4w", NOW + timedelta(weeks=4)),
        ("2030-01-31", datetime(2030, 1, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_expiry(text: str, expected: datetime | None) -> None:
    assert expiry_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "0d", "-1d", "2029-12-31", "2030-02-31", "999999w"])
def test_bad_expiry(text: str) -> None:
    with pytest.raises(CommandError, match="--expires"):
        expiry_of(text, NOW)


def test_limits() -> None:
    assert limits_of(**NOTHING) == NO_LIMITS
    assert limits_of(**NOTHING | {"requests": 0, "upload": "20MiB"}) == Limits(
        requests=0, upload=20 * 2**20
    )
    with pytest.raises(CommandError, match="--tokens must be 0"):
        limits_of(**NOTHING | {"tokens": -1})
    with pytest.raises(CommandError, match="--upload lots"):
        limits_of(**NOTHING | {"upload": "lots"})


def test_scopes_may_be_listed() -> None:
    assert scopes_of(["inference,speech", "admin"]) == {"inference", "speech", "admin"}
    with pytest.raises(CommandError, match="--scope: 'root'"):
        scopes_of(["root"])


def test_a_key_from_its_making_to_its_end(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    made = create_key(settings, "laptop", ["inference"], "90d", Limits(requests=7))
    assert made.key.startswith(PREFIX)
    assert made.key not in made.summary
    assert json.loads(made.to_json())["key"] == made.key
    (key,) = listed_keys(settings, every=False)
    assert (key.name, key.limits) == ("laptop", Limits(requests=7))
    assert key.scopes == {Scope.INFERENCE}
    table = "\n".join(as_table([key]))
    assert "laptop" in table
    assert "requests 7" in table
    for shown in (table, as_objects([key])):
        assert made.key not in shown
        assert key.digest not in shown
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    assert key.digest.encode() in stored
    assert made.key.encode() not in stored
    with pytest.raises(CommandError, match="exists"):
        create_key(settings, "laptop", ["inference"], "", NO_LIMITS)
    assert "laptop" in revoke_key(settings, "laptop")
    with pytest.raises(CommandError, match="no key"):
        revoke_key(settings, "laptop")
    assert listed_keys(settings, every=False) == []
    (key,) = listed_keys(settings, every=True)
    assert json.loads(as_objects([key]))[0]["state"] == "revoked"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101])
def test_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="NAME"):
        create_key(Settings(home=tmp_path), name, ["admin"], "", NO_LIMITS)


def test_a_key_needs_a_database_that_lasts(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a directory should be")
    with pytest.raises(CommandError, match="cannot be written"):
        create_key(Settings(home=tmp_path / "home"), "a", ["admin"], "", NO_LIMITS)
