"""Translates OpenAI's speech requests to ElevenLabs' text-to-speech; what cannot be said is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.own_urls import own_endpoint_of

FORMATS: Final[Mapping[str, str]] = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_128",
    "wav": "wav_44100",
    "pcm": "pcm_24000",
}
"""ElevenLabs' output_format of each response_format; OpenAI's pcm has 24,000 samples a second."""


class _Speech(Struct):
    """OpenAI's request."""

    input: str
    voice: str
    model: str | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: str | None = None


_SPEECH: Final = msgspec.json.Decoder(_Speech)
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def speech_to_elevenlabs(body: bytes, model: str) -> tuple[str, bytes]:
    """Return the path with its query, and the body; ``model`` is ElevenLabs' name.

    Raises `RequestError` that names an invalid field, or `Untranslatable` for one that ElevenLabs does not have.
    """
    try:
        speech, fields = _SPEECH.decode(body), _FIELDS.decode(body)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    for name, value in fields.items():
        if name not in _Speech.__struct_fields__ and bytes(value) != b"null":
            raise Untranslatable(name, "ElevenLabs has no such field; leave it out, or send its own request")
    output = FORMATS.get(speech.response_format or "mp3")
    if output is None:
        accepted = ", ".join(FORMATS)
        raise Untranslatable("response_format", f"ElevenLabs has {accepted}, not {speech.response_format!r}")
    if speech.stream_format not in {None, "audio"}:
        raise Untranslatable("stream_format", "a batch has no streams; leave it out")
    path = f"/v1/text-to-speech/{speech.voice}?output_format={output}"
    if own_endpoint_of(path) is None:
        raise Untranslatable("voice", "it must be the id of a voice of ElevenLabs")
    sent: dict[str, object] = {"text": speech.input, "model_id": model}
    if speech.speed is not None:
        sent["voice_settings"] = {"speed": speech.speed}
    return path, msgspec.json.encode(sent)
