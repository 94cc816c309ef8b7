"""Synthesis with pocket-tts: one loaded model, one file of coded audio per stream."""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pocket_tts import TTSModel, export_model_state

from sterna_service.speech.bundle import CONFIG_NAME, WEIGHTS_NAME, tokenizer_file
from sterna_service.speech.workers.encode import Encoder
from sterna_service.speech.workers.espeak import RATE as ESPEAK_RATE
from sterna_service.speech.workers.espeak import EspeakVoice
from sterna_service.speech.workers.serve import Call, Operation, WorkerError

# Of 80 ms each.
_FRAMES_PER_CHUNK = 4
_MOST_VOICES = 8

LIGHT: tuple[str, ...] = ()
"""Operations that pass by the others: none."""


class Synthesizer:
    """The operations of the synthesis worker."""

    def __init__(self) -> None:
        self._model: TTSModel | None = None
        self._loaded = ""
        self._voices: collections.OrderedDict[tuple[str, int], Any] = collections.OrderedDict()
        self._streams: dict[int, tuple[Any, Encoder]] = {}

    def load(self, call: Call) -> dict[str, Any]:
        """Loads the bundle in `path`, unless it is the one that is loaded."""
        path = call.header["path"]
        if path != self._loaded:
            self._model, self._loaded = None, ""
            self._voices.clear()
            try:
                self._model = _load(Path(path))
            except Exception as error:
                problem = str(error).partition("\n")[0] or type(error).__name__
                raise WorkerError(
                    "CHECKPOINT_INVALID",
                    f"the synthesis model {path} cannot be loaded: {problem}",
                    model=path,
                ) from None
            self._loaded = path
        assert self._model is not None
        return {"sample_rate": self._model.sample_rate}

    def open(self, call: Call) -> dict[str, Any]:
        """Prepares to speak with the voice in the file `voice`, or with espeak-ng."""
        header = call.header
        voice: Any
        if header["espeak"]:
            voice, own_rate = EspeakVoice(header["espeak"]), ESPEAK_RATE
        else:
            voice, own_rate = self._voice(Path(header["voice"])), self._speaker().sample_rate
        rate = header["rate"] or own_rate
        encoder = Encoder(header["encoding"], own_rate, rate, header["speed"])
        self._streams[call.stream] = (voice, encoder)
        return {"rate": rate}

    def say(self, call: Call) -> dict[str, Any]:
        """Speaks `text`; emits the audio as it is made."""
        voice, encoder = self._streams[call.stream]
        if isinstance(voice, EspeakVoice):
            for samples in voice.speak(call.header["text"], call):
                if data := encoder.push(samples):
                    call.emit("audio", data)
            return {"duration": encoder.seconds}
        model = self._speaker()
        chunks = model.generate_audio_stream(
            voice, call.header["text"], copy_state=True, stop=call.cancelled
        )
        # The first frame of 80 ms leaves alone; later ones that are ready leave together.
        model.max_decoder_frames_per_call = 1
        # To the end, even when nobody listens: the threads behind it stop at the event, and must
        # be gone before the next text.
        for chunk in chunks:
            model.max_decoder_frames_per_call = _FRAMES_PER_CHUNK
            if not call.cancelled.is_set() and (data := encoder.push(chunk.numpy())):
                call.emit("audio", data)
        return {"duration": encoder.seconds}

    def finish(self, call: Call) -> tuple[dict[str, Any], bytes]:
        """Ends the file."""
        _, encoder = self._streams[call.stream]
        data = encoder.finish()
        return {"duration": encoder.seconds}, data

    def clone(self, call: Call) -> None:
        """Makes a voice from float32 samples at the model's rate; writes it to `path`."""
        model = self._speaker()
        samples = np.frombuffer(call.data, dtype="<f4").copy()
        with torch.no_grad():
            state = model.get_state_for_audio_prompt(torch.from_numpy(samples)[None])
        export_model_state(state, call.header["path"])

    def close(self, call: Call) -> None:
        """Forgets a stream."""
        self._streams.pop(call.stream, None)

    def _speaker(self) -> TTSModel:
        assert self._model is not None, "load comes first"
        return self._model

    def _voice(self, path: Path) -> Any:
        """The state in a file; the last few are kept."""
        key = (str(path), path.stat().st_mtime_ns)
        if key not in self._voices:
            try:
                state = self._speaker().get_state_for_audio_prompt(path)
            except Exception as error:
                problem = str(error).partition("\n")[0] or type(error).__name__
                raise WorkerError(
                    "CHECKPOINT_INVALID",
                    f"the voice in {path.name} cannot be read: {problem}",
                    file=path.name,
                ) from None
            self._voices[key] = state
            if len(self._voices) > _MOST_VOICES:
                self._voices.popitem(last=False)
        self._voices.move_to_end(key)
        return self._voices[key]


def operations() -> dict[str, Operation]:
    """What this worker does."""
    worker = Synthesizer()
    each = (worker.load, worker.open, worker.say, worker.finish, worker.clone, worker.close)
    return {operation.__name__: operation for operation in each}


def _load(path: Path) -> TTSModel:
    """The model of a bundle: its configuration, made to name the bundle's own files only."""
    config = yaml.safe_load((path / CONFIG_NAME).read_text())
    config["weights_path"] = str(path / WEIGHTS_NAME)
    config.pop("weights_path_without_voice_cloning", None)
    for part in ("flow_lm", "mimi"):
        config[part].pop("weights_path", None)
    config["flow_lm"]["lookup_table"]["tokenizer_path"] = str(tokenizer_file(path))
    with tempfile.TemporaryDirectory(prefix="sterna-speech-") as directory:
        resolved = Path(directory) / "model.yaml"
        resolved.write_text(yaml.safe_dump(config))
        return TTSModel.load_model(config=resolved)
