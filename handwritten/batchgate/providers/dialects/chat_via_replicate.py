"""Translates Chat Completions to predictions of Replicate's language models, and their output back.

The input of a prediction is the model's own matter. What nearly all language models have is used: a prompt, a system
prompt, and the usual numbers. So a request is one text of the user, and all else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.dialects.rules import NO_STREAM
from batchgate.providers.dialects.translation import to_single_line

_SAME: Final = frozenset({"temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"})
"""The fields that the models have under the same name."""
_HANDLED: Final = frozenset({"model", "messages", "stream", "stop", "n", "max_tokens", "max_completion_tokens"})
_SYSTEM: Final = frozenset({"system", "developer"})
_ONE_TEXT: Final = "Replicate's models take one text of the user, after a system prompt at most"
_NO_FIELD: Final = "Replicate's models have no such input; leave it out, or send the model's own input to its own url"
_MODEL: Final = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)")


class _Part(Struct):
    type: str
    text: str | None = None


class _Message(Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[Raw] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class _Metrics(Struct):
    input_token_count: int | None = None
    output_token_count: int | None = None


class _Prediction(Struct):
    id: str
    output: str | list[str]
    metrics: _Metrics | None = None


_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_MESSAGES: Final = msgspec.json.Decoder(list[_Message])
_STOP: Final = msgspec.json.Decoder(str | list[str] | None)
_PREDICTION: Final = msgspec.json.Decoder(_Prediction)
_ENCODER: Final = msgspec.json.Encoder()


def chat_to_prediction(body: bytes, model: str) -> tuple[str, bytes]:
    """Return the path and the body of the create for a chat request to a model or the id of a version.

    Raises `RequestError` that names an invalid field, or `Untranslatable` for one that no prediction has.
    """
    try:
        fields = _FIELDS.decode(body)
        input_ = _prompts(_MESSAGES.decode(fields.get("messages", Raw(b"[]")))) | _options(fields)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    if _MODEL.fullmatch(model):
        return f"/v1/models/{model}/predictions", _ENCODER.encode({"input": input_})
    return "/v1/predictions", _ENCODER.encode({"version": model, "input": input_})


def prediction_to_completion(body: bytes, model: str, created: int) -> bytes:
    """Return the output of a prediction as a Chat Completion in one line; raises `UpstreamError` if it is no text."""
    try:
        prediction = _PREDICTION.decode(body)
    except DECODING_ERRORS as error:
        raise unusable_answer(f"its output is no text ({describe_decoding_error(error)})") from error
    text = prediction.output if isinstance(prediction.output, str) else "".join(prediction.output)
    completion: dict[str, object] = {
        "id": f"chatcmpl-{prediction.id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "finish_reason": "stop"}
        ],
    }
    counts = prediction.metrics or _Metrics()
    if counts.input_token_count is not None or counts.output_token_count is not None:
        prompt, answer = counts.input_token_count or 0, counts.output_token_count or 0
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        completion["usage"] = usage
    return to_single_line(_ENCODER.encode(completion))


def _prompts(messages: Sequence[_Message]) -> dict[str, object]:
    """Return the prompt and the system prompt; raises `Untranslatable` for any other conversation."""
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if message.tool_calls or message.tool_call_id is not None or message.role in {"tool", "function"}:
            raise Untranslatable(path, "Replicate's models have no tools; leave them out")
        if message.name is not None:
            raise Untranslatable(f"{path}.name", _NO_FIELD)
        if message.role not in _SYSTEM and (message.role != "user" or index != len(messages) - 1):
            raise Untranslatable(path, f"{_ONE_TEXT}; leave the history out")
    if not messages or messages[-1].role != "user":
        raise Untranslatable("messages", _ONE_TEXT)
    texts = [_text(message, f"messages.{index}") for index, message in enumerate(messages)]
    found: dict[str, object] = {"prompt": texts[-1]}
    return found | {"system_prompt": "\n\n".join(texts[:-1])} if len(texts) > 1 else found


def _text(message: _Message, path: str) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    for number, part in enumerate(message.content):
        if part.type != "text":
            raise Untranslatable(f"{path}.content.{number}", f"only text can be sent, not {part.type!r}; {_ONE_TEXT}")
    return "".join(part.text or "" for part in message.content)


def _options(fields: Mapping[str, Raw]) -> dict[str, object]:
    """Return the other inputs; raises `Untranslatable` for a field without one, unless it is null."""
    options: dict[str, object] = {}
    for name, raw in fields.items():
        if bytes(raw) == b"null" or name in {"model", "messages"}:
            continue
        if name in _SAME:
            options[name] = raw
        elif name not in _HANDLED:
            raise Untranslatable(name, _NO_FIELD)
    if bytes(fields.get("stream", Raw(b"false"))) == b"true":
        raise Untranslatable("stream", NO_STREAM)
    if bytes(fields.get("n", Raw(b"1"))) not in {b"1", b"null"}:
        raise Untranslatable("n", "a prediction has one answer; send one request for each answer that you want")
    limits = {bytes(fields[name]) for name in ("max_tokens", "max_completion_tokens") if name in fields} - {b"null"}
    if len(limits) > 1:
        raise Untranslatable("max_tokens", "it differs from max_completion_tokens; leave one of them out")
    if limits:
        options["max_tokens"] = Raw(limits.pop())
    stop = _STOP.decode(fields.get("stop", Raw(b"null")))
    if stop:
        options["stop_sequences"] = _joined([stop] if isinstance(stop, str) else stop)
    return options


def _joined(stops: Sequence[str]) -> str:
    """Return stop sequences as the models take them, separated by commas."""
    if any("," in stop for stop in stops):
        raise Untranslatable("stop", "Replicate's models separate stop sequences by commas, so none may contain one")
    return ",".join(stops)
