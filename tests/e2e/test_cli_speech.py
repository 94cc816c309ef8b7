"""Speech from the command line, as far as it goes without the extra `voice`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hub_server import hub_server
from tests.support.server_process import run_sterna

pytestmark = pytest.mark.e2e


def test_whisper_weights_are_pulled_with_their_terms(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hub_server() as hub:
        root = tmp_path / "whisper"
        root.mkdir()
        for name in ("config.json", "model.bin", "tokenizer.json"):
            (root / name).write_text(name)
        hub.repositories["Systran/faster-whisper-base"] = root
        pulled = run_sterna("pull", "--voice", "base", "--hub-endpoint", hub.url, home=home)
    assert pulled.returncode == 0, pulled.stderr
    assert "Systran/faster-whisper-base" in pulled.stderr
    assert "licence MIT" in pulled.stderr
    assert "148 MB" in pulled.stderr
    assert (home / "speech" / "recognition" / "base" / "model.bin").read_text() == "model.bin"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pull",), "--voice"),
        (("pull", "--voice", "nothing"), "no speech weights called nothing"),
        (("transcribe", "/no/such/file.wav"), "No such file"),
        (("transcribe", __file__, "--core", "127.0.0.1:1"), "no core answers"),
        (("speak", "Hi", "-o", "x.midi"), ".mp3"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    result = run_sterna(*arguments, home=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
