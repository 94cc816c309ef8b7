"""`sterna transcribe`, `speak` and `voices`, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.support.server_process import clean_environment
from tests.support.speech import spoken, wav

pytestmark = pytest.mark.e2e


def sterna(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "sterna_server.cli", *arguments],
        capture_output=True,
        timeout=240,
        check=True,
        env=clean_environment(home, STERNA_WHISPER_MODEL="digits"),
    )


def test_a_recording_is_transcribed(voice_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "three.wav"
    path.write_bytes(wav(spoken([7, 3, 1])))
    result = sterna(voice_home, "transcribe", str(path), "--language", "en", "--format", "json")
    assert json.loads(result.stdout)["text"] == "seven three one"


def test_a_text_is_spoken_into_a_file(voice_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    sterna(voice_home, "speak", "Hello there.", "-o", str(path))
    with wave.open(str(path)) as file:
        assert file.getframerate() == 24_000
        assert file.getnframes() % 1920 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["hello.wav"]


def test_a_text_is_spoken_into_a_pipe_and_voices_are_listed(voice_home: Path) -> None:
    assert sterna(voice_home, "speak", "Hello there.").stdout.startswith(b"RIFF")
    listed = sterna(voice_home, "voices").stdout.decode()
    assert "alba" in listed
    assert "usable" in listed
