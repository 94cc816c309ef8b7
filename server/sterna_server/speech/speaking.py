"""`sterna speak`: to a file, to standard output, or to the loudspeaker."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

from sterna.v1 import audio_pb2, speech_pb2
from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_server.speech.connection import Speech, run

_RATE = 24_000
_ENCODINGS = {
    ".wav": audio_pb2.AUDIO_ENCODING_PCM_S16LE,
    ".pcm": audio_pb2.AUDIO_ENCODING_PCM_S16LE,
    ".mp3": audio_pb2.AUDIO_ENCODING_MP3,
    ".opus": audio_pb2.AUDIO_ENCODING_OPUS,
    ".ogg": audio_pb2.AUDIO_ENCODING_OPUS,
    ".aac": audio_pb2.AUDIO_ENCODING_AAC,
    ".flac": audio_pb2.AUDIO_ENCODING_FLAC,
}
# Programs that play raw samples from their standard input, the first one that is there.
_PLAYERS = (
    ("aplay", "-q", "-t", "raw", "-f", "S16_LE", "-r", f"{_RATE}", "-c", "1"),
    ("pacat", "--format=s16le", f"--rate={_RATE}", "--channels=1"),
    ("play", "-q", "-t", "raw", "-e", "signed", "-b", "16", "-r", f"{_RATE}", "-c", "1", "-"),
    ("ffplay", "-nodisp", "-autoexit", "-v", "error", "-f", "s16le", "-ar", f"{_RATE}", "-i", "-"),
)

Write = Callable[[bytes], object]


def speak(
    settings: Settings,
    text: str,
    *,
    voice: str,
    model: str,
    speed: float,
    output: Path | None,
    play: bool,
) -> float:
    """Speaks; returns the seconds of audio. Raises `CommandError`."""
    encoding = audio_pb2.AUDIO_ENCODING_PCM_S16LE
    if output is not None:
        encoding = _encoding(output)
    elif not play:
        if sys.stdout.isatty():
            raise CommandError("say where the audio goes: -o FILE, --play, or a pipe")
        encoding = audio_pb2.AUDIO_ENCODING_WAV
    config = speech_pb2.SynthesisConfig(
        voice_id=voice, model_id=model, speed=speed, encoding=encoding
    )
    with _output(output, play) as write:

        async def work(speech: Speech) -> float:
            request = speech_pb2.SynthesizeRequest(config=config, text=text)
            seconds = 0.0
            async for event in speech.stub.Synthesize(request, **speech.options):
                if event.audio:
                    write(event.audio)
                elif event.WhichOneof("event") == "done":
                    seconds = event.done.audio_duration.ToTimedelta().total_seconds()
            return seconds

        return run(settings, work)


def _encoding(output: Path) -> audio_pb2.AudioEncoding:
    encoding = _ENCODINGS.get(output.suffix.lower())
    if encoding is None:
        raise CommandError(f"{output}: name a file that ends in {', '.join(_ENCODINGS)}")
    return encoding


@contextlib.contextmanager
def _output(output: Path | None, play: bool) -> Iterator[Write]:
    with contextlib.ExitStack() as open_:
        sinks: list[Write] = []
        if output is not None:
            sinks.append(open_.enter_context(_file(output)))
        if play:
            sinks.append(open_.enter_context(_player()))
        if not sinks:
            sinks.append(_to_standard_output)

        def write(data: bytes) -> None:
            for sink in sinks:
                sink(data)

        yield write


@contextlib.contextmanager
def _file(path: Path) -> Iterator[Write]:
    """The file appears when it is complete."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        if path.suffix.lower() == ".wav":
            with wave.open(str(unfinished), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(_RATE)
                yield file.writeframes
        else:
            with unfinished.open("wb") as stream:
                yield stream.write
        unfinished.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _player() -> Iterator[Write]:
    command = next((each for each in _PLAYERS if shutil.which(each[0])), None)
    if command is None:
        names = ", ".join(each[0] for each in _PLAYERS)
        raise CommandError(f"no program that plays audio was found ({names}); use -o FILE")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as player:
        assert player.stdin is not None
        stdin = player.stdin

        def write(data: bytes) -> None:
            stdin.write(data)
            stdin.flush()

        try:
            yield write
        except BrokenPipeError:
            raise CommandError(f"{command[0]} cannot play here; use -o FILE") from None
        finally:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()


def _to_standard_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
