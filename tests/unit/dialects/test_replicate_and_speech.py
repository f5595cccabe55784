"""Chat Completions as predictions of Replicate, and OpenAI's speech requests as ElevenLabs' own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import RequestError, Untranslatable, UpstreamError
from batchgate.providers.dialects.chat_via_replicate import chat_to_prediction, prediction_to_completion
from batchgate.providers.dialects.speech_via_elevenlabs import speech_to_elevenlabs

USER = {"role": "user", "content": "Hello"}


def prediction(model: str = "meta/llama", **fields: Any) -> tuple[str, Any]:
    """Translate a chat request; return the path and the body."""
    body = msgspec.json.encode({"model": model, "messages": [USER]} | fields)
    path, sent = chat_to_prediction(body, model)
    return path, msgspec.json.decode(sent)


def test_a_text_and_its_numbers_become_the_input() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]},
        USER,
    ]
    numbers: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7}
    path, body = prediction(messages=messages, **numbers, max_completion_tokens=9, stop=["a", "b"], n=1, user=None)
    assert path == "/v1/models/meta/llama/predictions"
    assert body["input"] == {
        "prompt": "Hello",
        "system_prompt": "Be brief.\n\nBe kind.",
        "max_tokens": 9,
        "stop_sequences": "a,b",
        **numbers,
    }


def test_the_id_of_a_version_goes_into_the_body() -> None:
    assert prediction(model="a" * 64) == ("/v1/predictions", {"version": "a" * 64, "input": {"prompt": "Hello"}})
    assert prediction(model="meta/llama:abc")[1]["version"] == "meta/llama:abc"
    assert prediction(model="meta/../llama")[0] == "/v1/predictions"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [USER, {"role": "assistant", "content": "x"}, USER]}, "messages.0"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages.0"),
        ({"messages": [USER | {"name": "Ann"}]}, "messages.0.name"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": "a,b"}, "stop"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"anything": 1}, "anything"),
    ],
)
def test_what_a_prediction_cannot_say_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        prediction(**fields)
    assert refused.value.field == path


@pytest.mark.parametrize("body", [b"[]", b'{"messages":5}', b"{"])
def test_a_body_that_is_no_chat_request_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        chat_to_prediction(body, "meta/llama")


@pytest.mark.parametrize("output", ["Hello", ["Hel", "lo"]])
def test_the_output_becomes_the_text_of_a_completion(output: object) -> None:
    body = msgspec.json.encode({"id": "p", "output": output, "metrics": {"input_token_count": 3}})
    completion = msgspec.json.decode(prediction_to_completion(body, "meta/llama", 5))
    assert completion["choices"][0]["message"]["content"] == "Hello"
    assert completion["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
    assert (completion["created"], completion["model"]) == (5, "meta/llama")


def test_output_that_is_no_text_cannot_be_used() -> None:
    with pytest.raises(UpstreamError) as unusable:
        prediction_to_completion(b'{"id":"p","output":{"url":"x"}}', "meta/llama", 5)
    assert not unusable.value.retry_safe


def speech(**fields: Any) -> tuple[str, Any]:
    """Translate a speech request; return the path and the body."""
    body = msgspec.json.encode({"model": "elevenlabs/eleven_v3", "input": "Hello", "voice": "v1"} | fields)
    path, sent = speech_to_elevenlabs(body, "eleven_v3")
    return path, msgspec.json.decode(sent)


def test_speech_becomes_text_to_speech() -> None:
    assert speech() == (
        "/v1/text-to-speech/v1?output_format=mp3_44100_128",
        {"text": "Hello", "model_id": "eleven_v3"},
    )
    path, body = speech(response_format="pcm", speed=1.1, stream_format="audio", instructions=None)
    assert path == "/v1/text-to-speech/v1?output_format=pcm_24000"
    assert body["voice_settings"] == {"speed": 1.1}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"response_format": "flac"}, "response_format"),
        ({"instructions": "calm"}, "instructions"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"voice": "../x"}, "voice"),
        ({"voice": "{voice_id}"}, "voice"),
    ],
)
def test_what_elevenlabs_cannot_say_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        speech(**fields)
    assert refused.value.field == path


def test_a_speech_request_without_text_is_refused() -> None:
    with pytest.raises(RequestError):
        speech(input=5)
