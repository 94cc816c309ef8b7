"""Which limits hold on which listener."""

from __future__ import annotations

from pathlib import Path

import pytest

from sterna_rest.options import ListenerLimits
from sterna_server.limiting import grpc_limits, rest_limits
from sterna_server.sections.listener import Listener, listener
from sterna_server.settings import ConfigurationError, Settings, load_settings
from sterna_service.access.limits import Limits

SIZE = 100 * 1024 * 1024


def test_none_on_loopback() -> None:
    settings = Settings()
    assert rest_limits(settings, listener("127.0.0.1:8000")) == ListenerLimits()
    assert not any(grpc_limits(settings).to_json().values())


def test_guarded_elsewhere() -> None:
    settings = Settings(grpc_host="0.0.0.0")
    expected = {"requests": 100, "concurrent": 10, "streams": 5, "upload": SIZE}
    assert rest_limits(settings, listener("0.0.0.0:8000")) == ListenerLimits(**expected)
    assert grpc_limits(settings) == Limits(tokens=0, **expected)


def test_settings_come_before_what_is_usual_and_listeners_before_settings() -> None:
    settings = Settings(limit_requests=7, limit_tokens=500, limit_streams=0)
    assert rest_limits(settings, listener("127.0.0.1:1")) == ListenerLimits(requests=7, tokens=500)
    own = listener("[::]:1,requests=0,concurrent=3,upload=2MiB,tokens=9")
    assert rest_limits(settings, own) == ListenerLimits(
        tokens=9, concurrent=3, upload=2 * 1024 * 1024
    )


def test_a_listener_with_everything() -> None:
    text = "[::1]:8443, ollama, cert=a.crt, key=a.key, client_ca=b.crt, requests=1, upload=5KB"
    assert listener(text) == Listener(
        "::1",
        8443,
        ollama=True,
        cert=Path("a.crt"),
        key=Path("a.key"),
        client_ca=Path("b.crt"),
        requests=1,
        upload=5000,
    )


@pytest.mark.parametrize(
    "option", ["requests", "requests=", "requests=-1", "requests=x", "upload=x", "ollama=1", "x=1"]
)
def test_bad_options(option: str) -> None:
    with pytest.raises(ValueError, match=option.partition("=")[0]):
        listener(f"127.0.0.1:1,{option}")


def test_bad_proxies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STERNA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="'ten' is no address"):
        load_settings({"trusted_proxies": ["10.0.0.1", "ten"]})
