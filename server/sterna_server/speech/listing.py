"""`sterna voices`."""

from __future__ import annotations

from sterna.v1 import speech_pb2
from sterna_server.settings import Settings
from sterna_server.speech.connection import Speech, run


def list_voices(settings: Settings) -> list[str]:
    """The lines of a table. Raises `CommandError`."""

    async def work(speech: Speech) -> list[speech_pb2.Voice]:
        request = speech_pb2.ListVoicesRequest(page_size=1000)
        return list((await speech.stub.ListVoices(request, **speech.options)).voices)

    voices = run(settings, work)
    width = max(len("VOICE"), *(len(voice.voice_id) for voice in voices))
    lines = [f"{'VOICE'.ljust(width)}  KIND        LANGUAGE  STATE"]
    for voice in voices:
        kind = "predefined" if voice.built_in else "custom"
        state = "usable" if voice.usable else "not usable with these weights"
        language = ",".join(voice.languages) or "-"
        lines.append(f"{voice.voice_id.ljust(width)}  {kind:10}  {language:8}  {state}")
    return lines
