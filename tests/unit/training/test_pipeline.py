"""`make all` from texts to tables, with a model and a corpus as small as they can be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

ROOT = Path(__file__).resolve().parents[3]
MAKE = shutil.which("make")
LIMIT = 3


def _texts(directory: Path) -> None:
    """Stories and questions in the form that the texts of a real run have."""
    directory.mkdir()
    animals = ("dog", "cat", "bird", "frog", "duck")
    stories = [
        f"Once upon a time, there was a {animals[i % 5]} named Tom{i}. It played all day. "
        f"Then it found {i} stones and was happy."
        for i in range(200)
    ]
    questions = [f"Which band made the record number {i}?" for i in range(400)]
    (directory / "stories.json").write_text(json.dumps(stories))
    (directory / "trivia-questions.json").write_text(json.dumps(questions))


def _environment(directory: Path) -> None:
    """Stands for an environment that is set up: it runs the Python of this test."""
    (directory / "bin").mkdir(parents=True)
    python = directory / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (directory / "ready").touch()


def _make(tmp_path: Path, goal: str = "train") -> str:
    variables = {
        "DATA": tmp_path / "texts",
        "RUN": tmp_path / "run",
        "VENV": tmp_path / "venv",
        "SIZE": "tiny",
        "CORPUS": "60K",
        "TOKENS": "16K",
        "DECAY": "4K",
        "TWIN": "8K",
        "THREADS": 1,
        "FLAGS": "--no-compile --batch 1024",
        "STEPS": 3,
        "PROMPTS": 4,
        "LIMIT": LIMIT,
        "LONGEST": 4,
    }
    assert MAKE is not None
    command = [MAKE, goal, *(f"{name}={value}" for name, value in variables.items())]
    # Run by make itself, a test would hand its options down.
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    where = ROOT if goal == "train" else ROOT / "training"
    done = subprocess.run(
        command, cwd=where, env=clean, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(MAKE is None, reason="make is not installed")
def test_make_train_goes_from_texts_to_tables(tmp_path: Path) -> None:
    _texts(tmp_path / "texts")
    _environment(tmp_path / "venv")
    _make(tmp_path)
    run = tmp_path / "run"

    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[-1]["event"] == "done"
    assert log[-1]["tokens"] >= 16_000
    assert (run / "before-decay.pt").exists()
    config = json.loads((run / "export" / "config.json").read_text())
    assert config["architectures"] == ["BitNetForCausalLM"]
    assert json.loads((run / "adapter" / "adapter_config.json").read_text())["r"] == 16
    table = (run / "evaluation.md").read_text()
    assert re.search(rf"\| capital \| \d / {LIMIT} \(\d+ %\)", table)
    assert f"search flow: the right answer in the end | 0 / {LIMIT}" in table
    assert "in the style and exactly right" in (run / "style.md").read_text()
    assert (run / "conversations.md").read_text().count("     > ") >= 28
    assert "exact" in (run / "perplexity.txt").read_text()

    _a_second_time_nothing_is_made_again(tmp_path)


def _a_second_time_nothing_is_made_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    results = [p for p in run.rglob("*") if p.is_file()]
    before: dict[Path, Any] = {p: p.stat().st_mtime_ns for p in results}
    _make(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in results} == before


@pytest.mark.skipif(MAKE is None, reason="make is not installed")
def test_twins_differ_only_in_the_arithmetic(tmp_path: Path) -> None:
    _texts(tmp_path / "texts")
    _environment(tmp_path / "venv")
    _make(tmp_path, "build")
    said = _make(tmp_path, "twins")
    assert said.count("nats per token") == 6
    options = []
    for kind in ("bf16", "float"):
        log = (tmp_path / "run" / f"twin-{kind}" / "log.jsonl").read_text().splitlines()
        options.append(json.loads(log[0])["options"])
    assert [o.pop("arithmetic") for o in options] == ["bf16", "float"]
    assert options[0] == options[1]
