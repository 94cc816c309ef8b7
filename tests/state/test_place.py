"""What databases are called in messages."""

from __future__ import annotations

import pytest

from sterna_service.state import place


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@db.example:5433/sterna",
        "postgresql://me:s3/cret@db.example:5433/sterna",
        "postgresql://me@db.example:5433/sterna?password=s3cret",
        "postgresql+psycopg://me@db.example:5433/sterna?sslpassword=s3cret&sslmode=require",
    ],
)
def test_no_password_is_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_need_psycopg", lambda: None)
    found = place.place_of(url)
    assert "cret" not in found.name
    assert found.name.endswith("@db.example:5433/sterna")
    assert found.url is not None
    assert "cret" in found.url.render_as_string(hide_password=False)
