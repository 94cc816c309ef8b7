"""Events of recognition and synthesis as messages of the protocol: pure functions."""

from __future__ import annotations

from sterna.v1 import audio_pb2, recognition_pb2, speech_pb2
from sterna_service.rpc.from_events import duration, timestamp
from sterna_service.speech.types import (
    Activity,
    AudioPart,
    Encoding,
    Interim,
    PieceBegun,
    PieceSpoken,
    RecognitionDone,
    RecognitionEvent,
    RecognitionStarted,
    Segment,
    SynthesisDone,
    SynthesisEvent,
    SynthesisStarted,
    UtteranceDone,
    Word,
)
from sterna_service.speech.voices import Voice

_ENCODINGS = {
    Encoding.PCM: audio_pb2.AUDIO_ENCODING_PCM_S16LE,
    Encoding.WAV: audio_pb2.AUDIO_ENCODING_WAV,
    Encoding.MP3: audio_pb2.AUDIO_ENCODING_MP3,
    Encoding.OPUS: audio_pb2.AUDIO_ENCODING_OPUS,
    Encoding.AAC: audio_pb2.AUDIO_ENCODING_AAC,
    Encoding.FLAC: audio_pb2.AUDIO_ENCODING_FLAC,
}


def transcribe_event(event: RecognitionEvent) -> speech_pb2.StreamTranscribeResponse | None:
    """One event of a recognition, if the protocol has a message for it."""
    response = speech_pb2.StreamTranscribeResponse
    match event:
        case RecognitionStarted():
            return response(started=recognition_info(event))
        case Activity():
            return response(voice_activity=voice_activity(event))
        case Interim():
            return response(interim=interim_text(event))
        case Segment():
            return response(segment=segment_message(event))
        case RecognitionDone():
            done = recognition_pb2.RecognitionDone(
                text=event.text, audio_duration=duration(event.duration)
            )
            return response(done=done)
        case UtteranceDone():
            return None


class TranscriptBuilder:
    """Collects the events of a recording into one message."""

    def __init__(self) -> None:
        self._response = speech_pb2.TranscribeResponse()

    def add(self, event: RecognitionEvent) -> None:
        """Takes the next event."""
        match event:
            case RecognitionStarted():
                self._response.info.CopyFrom(recognition_info(event))
            case Segment():
                self._response.segments.append(segment_message(event))
            case RecognitionDone():
                self._response.text = event.text
                self._response.audio_duration.CopyFrom(duration(event.duration))
            case _:
                pass  # live audio only

    def build(self) -> speech_pb2.TranscribeResponse:
        """The whole answer."""
        return self._response


def synthesis_started(event: SynthesisStarted) -> speech_pb2.SynthesisStarted:
    """The audio that follows."""
    return speech_pb2.SynthesisStarted(
        synthesis_id=event.synthesis_id,
        model_id=event.model_id,
        voice_id=event.voice_id,
        encoding=_ENCODINGS[event.encoding],
        sample_rate_hertz=event.sample_rate,
        channel_count=event.channels,
    )


def synthesize_event(event: SynthesisEvent) -> speech_pb2.SynthesizeResponse | None:
    """One event of a synthesis, if the protocol has a message for it."""
    match event:
        case SynthesisStarted():
            return speech_pb2.SynthesizeResponse(started=synthesis_started(event))
        case AudioPart():
            return speech_pb2.SynthesizeResponse(audio=event.data)
        case SynthesisDone():
            return speech_pb2.SynthesizeResponse(done=_synthesis_done(event))
        case PieceBegun() | PieceSpoken():
            return None


def stream_synthesize_event(event: SynthesisEvent) -> speech_pb2.StreamSynthesizeResponse | None:
    """As `synthesize_event`, of text that is being written."""
    match event:
        case SynthesisStarted():
            return speech_pb2.StreamSynthesizeResponse(started=synthesis_started(event))
        case AudioPart():
            return speech_pb2.StreamSynthesizeResponse(audio=event.data)
        case SynthesisDone():
            return speech_pb2.StreamSynthesizeResponse(done=_synthesis_done(event))
        case PieceBegun() | PieceSpoken():
            return None


def voice_message(voice: Voice) -> speech_pb2.Voice:
    """A voice."""
    message = speech_pb2.Voice(
        voice_id=voice.voice_id,
        built_in=voice.built_in,
        languages=voice.languages,
        usable=voice.usable,
        engine=voice.engine,
    )
    if voice.create_time is not None:
        message.create_time.CopyFrom(timestamp(voice.create_time))
    if voice.sample_seconds is not None:
        message.sample_duration.CopyFrom(duration(voice.sample_seconds))
    if voice.consent_time is not None:
        message.consent_time.CopyFrom(timestamp(voice.consent_time))
    return message


def recognition_info(event: RecognitionStarted) -> recognition_pb2.RecognitionInfo:
    """What was found out about a recording."""
    return recognition_pb2.RecognitionInfo(
        transcription_id=event.transcription_id,
        model_id=event.model_id,
        language=event.language,
        language_probability=event.language_probability,
    )


def voice_activity(event: Activity) -> recognition_pb2.VoiceActivity:
    """Somebody began or stopped to speak."""
    kind = recognition_pb2.VoiceActivity
    return kind(
        type=kind.TYPE_BEGIN if event.began else kind.TYPE_END, offset=duration(event.offset)
    )


def interim_text(event: Interim) -> recognition_pb2.InterimText:
    """What is being said."""
    return recognition_pb2.InterimText(text=event.text, end_offset=duration(event.end))


def segment_message(segment: Segment) -> recognition_pb2.Segment:
    """A stretch of speech."""
    return recognition_pb2.Segment(
        index=segment.index,
        start_offset=duration(segment.start),
        end_offset=duration(segment.end),
        text=segment.text,
        words=[_word(word) for word in segment.words],
        token_ids=segment.token_ids,
        temperature=segment.temperature,
        average_logprob=segment.average_logprob,
        compression_ratio=segment.compression_ratio,
        no_speech_probability=segment.no_speech_probability,
    )


def _word(word: Word) -> recognition_pb2.Word:
    return recognition_pb2.Word(
        text=word.text,
        start_offset=duration(word.start),
        end_offset=duration(word.end),
        probability=word.probability,
    )


def _synthesis_done(event: SynthesisDone) -> speech_pb2.SynthesisDone:
    return speech_pb2.SynthesisDone(
        audio_duration=duration(event.duration), character_count=event.characters
    )
