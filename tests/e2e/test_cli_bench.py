"""`sterna bench` as a command. What it measures is never asserted, only that it does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.server_process import run_sterna

QUICK = ("--rounds", "1", "--threads", "1", "--generate", "8", "--prompt", "16", "--prefix", "32")
LATE = ("--late-prompt", "48")


def test_json_holds_every_part(home: Path) -> None:
    short = ("--streams", "1,2", "--batched-prompt", "8", "--batched-generate", "4")
    result = run_sterna("bench", *QUICK, *LATE, *short, "--json", home=home)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["model"] == "sterna/tern-nano"
    rows = [(figure["what"], figure["streams"]) for figure in report["figures"]]
    assert rows[:4] == [("decode", 1), ("prefill", 1), ("batched", 1), ("batched", 2)]
    assert [what for what, _ in rows[4:]] == [
        "first token: prompt of 1",
        "first token: prompt of 16",
        "first token: 32 cached + 1",
        "token time of 4 streams during a prompt of 48",
    ]
    assert all(len(figure["values"]) == 1 for figure in report["figures"])
    assert all(figure["floors"][0]["threads"] == 1 for figure in report["figures"])
    (start,) = report["start"]
    assert start["runs"][0]["total_ms"] > 0


def test_table_compares_settings(home: Path) -> None:
    variant = ("--only", "decode", "--variant", "prefix_cache=off")
    result = run_sterna("bench", *QUICK, *variant, home=home)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("decode ")]
    assert [row[-1] for row in rows] == ["defaults", "prefix_cache=off"]


def test_bad_options_are_one_line(home: Path) -> None:
    result = run_sterna("bench", "--only", "speed", home=home)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "sterna: --only: there is no part 'speed'; there are: decode, prefill, batched, "
        "first-token, fairness"
    ]
