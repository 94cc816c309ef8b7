"""What was used, over real gRPC and by the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sterna.v1 import model_admin_pb2
from sterna_service.app import CoreOptions
from tests.support.core import (
    PATIENCE,
    CoreClient,
    chat,
    endless_answer,
    eventually,
    refusal,
    running_core,
)
from tests.support.server_process import run_sterna

MODEL = "sterna/tern-nano"


async def listed(core: CoreClient, **fields: object) -> model_admin_pb2.ListUsageResponse:
    request = model_admin_pb2.ListUsageRequest(**fields)  # type: ignore[arg-type]
    return await core.admin.ListUsage(request, timeout=PATIENCE)


async def test_answers_are_counted(sterna_home: Path, tmp_path: Path, database_url: str) -> None:
    bundles = sterna_home / "bundles"
    bundles.mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(bundles)
    options = CoreOptions(home=tmp_path, port=0, database_url=database_url)
    today = datetime.now(UTC).date().isoformat()
    async with running_core(options) as core:
        answers = [await core.generate(chat("What is the capital of France?")) for _ in range(2)]
        (row,) = (await listed(core, first_day=today)).usage
        assert (row.day, row.model_id, row.key_id, row.request_count) == (today, MODEL, "", 2)
        used = [each.usage for each in answers]
        assert row.prompt_token_count == sum(each.prompt_token_count for each in used)
        assert row.completion_token_count == sum(each.completion_token_count for each in used)
        assert row.cached_token_count == sum(each.cached_token_count for each in used)
        assert (await listed(core, model_id="other")).usage == []
        await core.generate(chat("What is the capital of France?"))
    # What was not written yet is, when the server stops.
    done = run_sterna("usage", "--json", home=tmp_path, STERNA_DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["model"], told["requests"]) == (MODEL, 3)
    table = run_sterna("usage", home=tmp_path, STERNA_DATABASE_URL=database_url)
    lines = table.stdout.splitlines()
    assert lines[0].split()[:3] == ["DAY", "MODEL", "KEY"]
    assert lines[-1].split()[0] == "total"


async def test_an_answer_that_is_broken_off_is_counted(endless_core: CoreClient) -> None:
    call = endless_core.stream(endless_answer())
    seen = 0
    async for event in call:
        seen += len(event.delta.token_ids)
        if seen >= 20:
            break
    call.cancel()

    async def is_counted() -> bool:
        rows = (await listed(endless_core)).usage
        return any(row.completion_token_count >= 20 and row.prompt_token_count for row in rows)

    await eventually(is_counted)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"first_day": "yesterday"}, "first_day"),
        ({"last_day": "20300101"}, "last_day"),
        ({"first_day": "2030-01-02", "last_day": "2030-01-01"}, "first_day"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "%%"}, "page_token"),
    ],
)
async def test_questions_that_make_no_sense(
    core: CoreClient, fields: dict[str, object], wrong: str
) -> None:
    assert (await refusal(listed(core, **fields))).fields == [wrong]


def test_without_a_database(tmp_path: Path) -> None:
    done = run_sterna("usage", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no database yet" in done.stderr
