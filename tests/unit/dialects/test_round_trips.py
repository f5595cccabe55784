"""There and back keeps every field that both dialects have: requests and answers that hypothesis makes up.

Each is written in the form that the translation itself would choose among those that are the same: a single text as a
string and not as a part, a schema called ``answer``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.dialects.openai_rows import CREATED, Json, answered, translate

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)
names = st.text("abc_XYZ", min_size=1, max_size=4)
shares = st.floats(0, 1, allow_nan=False)
schemas = st.builds(lambda name: {"type": "object", "properties": {name: {"type": "string"}}}, names)
inputs = st.dictionaries(names, st.integers(-9, 9) | words | st.none(), max_size=2)
several = st.lists(words, min_size=2, max_size=3)


def as_text(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Make objects with some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


# ---------------------------------------------------------------- requests of Messages

blocks = st.builds(lambda text: {"type": "text", "text": text}, words)
images = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "source": {"type": "url", "url": "https://images.example/a.png"}},
    ]
)
uses = st.builds(
    lambda name, value: {"type": "tool_use", "id": f"c_{name}", "name": name, "input": value}, names, inputs
)
results = st.builds(
    lambda name, content: {"type": "tool_result", "tool_use_id": name, "content": content},
    names,
    words | st.lists(blocks, min_size=2, max_size=2),
)


def turn(role: str, content: Any) -> Json:
    return {"role": role, "content": content}


user_turns = st.builds(
    lambda content: turn("user", content),
    words
    | st.lists(blocks | images, min_size=2, max_size=3)
    | st.builds(
        lambda found, rest: [*found, *rest], st.lists(results, min_size=1, max_size=2), st.lists(blocks, max_size=2)
    ),
)
assistant_turns = st.builds(
    lambda content: turn("assistant", content),
    words
    | st.lists(blocks, min_size=2, max_size=2)
    | st.builds(
        lambda texts, calls: [*texts, *calls], st.lists(blocks, max_size=1), st.lists(uses, min_size=1, max_size=2)
    ),
)


def paired(turns: list[Json]) -> list[Json]:
    """Give each call an id of its own, and each result that of a call in the turn before; others are left out."""
    waiting: list[str] = []
    numbers = count()
    found = []
    for one in turns:
        given = one["content"]
        if isinstance(given, list):
            ids = iter(waiting)
            given = [*filter(None, (_with_id(block, ids, numbers) for block in given))]
            waiting = [block["id"] for block in given if block["type"] == "tool_use"]
        found.append(turn(one["role"], _simplest(given)))
    return found


def _with_id(block: Json, waiting: Iterator[str], numbers: Iterator[int]) -> Json | None:
    match block["type"]:
        case "tool_use":
            return block | {"id": f"c_{next(numbers)}"}
        case "tool_result":
            call_id = next(waiting, None)
            return block | {"tool_use_id": call_id} if call_id else None
        case _:
            return block


def _simplest(content: Any) -> Any:
    match content:
        case []:
            return "Hello"
        case [{"type": "text", "text": text}]:
            return text
        case _:
            return content


conversations = st.builds(
    lambda pairs, last: paired([one for pair in pairs for one in pair] + [last]),
    st.lists(st.tuples(user_turns, assistant_turns), max_size=2),
    user_turns,
)
tool_choices = st.sampled_from(["auto", "any"]).flatmap(
    lambda kind: st.sampled_from([{"type": kind}, {"type": kind, "disable_parallel_tool_use": True}])
) | st.builds(lambda name: {"type": "tool", "name": name}, names)
custom_tools = st.builds(
    lambda name, schema, more: {"name": name, "input_schema": schema} | more,
    names,
    schemas,
    some(description=words, strict=st.just(value=True)),
)
params = st.builds(
    lambda conversation, limit, effort, more, tools: (
        {"model": "model", "messages": conversation, "max_tokens": limit} | effort | more | tools
    ),
    conversations,
    st.integers(1, 9_999),
    st.sampled_from(
        [
            {},
            {"thinking": {"type": "disabled"}},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ]
    ),
    some(
        system=words | st.lists(blocks, min_size=2, max_size=2),
        temperature=shares,
        top_p=shares,
        top_k=st.integers(1, 9),
        stop_sequences=several,
        service_tier=st.sampled_from(["auto", "standard_only"]),
        metadata=st.builds(lambda user: {"user_id": user}, words),
    ),
    st.just({})
    | st.builds(
        lambda tools, choice: {"tools": tools, "tool_choice": choice},
        st.lists(custom_tools, min_size=1, max_size=2),
        tool_choices,
    ),
)


@quick
@given(params)
def test_a_messages_request_comes_back_from_chat_completions(row: Json) -> None:
    there = translate(row, "messages", "chat_completions")
    assert translate(there, "chat_completions", "messages") == row


@quick
@given(params)
def test_a_messages_request_comes_back_from_responses(row: Json) -> None:
    for missing in ("top_k", "stop_sequences"):
        row.pop(missing, None)
    if row.get("thinking", {}).get("type") == "enabled":
        del row["thinking"]
    there = translate(row, "messages", "responses")
    assert translate(there, "responses", "messages") == row


# ---------------------------------------------------------------- requests of OpenAI's dialect

texts = st.builds(lambda text: {"type": "text", "text": text}, words)
image_parts = st.builds(
    lambda detail: {"type": "image_url", "image_url": {"url": "https://images.example/a.png"} | detail},
    some(detail=st.sampled_from(["auto", "low", "high"])),
)
other_parts = st.sampled_from(
    [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    ]
)
calls = st.builds(
    lambda name, value: {
        "id": f"f_{name}",
        "type": "function",
        "function": {"name": name, "arguments": as_text(value)},
    },
    names,
    inputs,
) | st.builds(
    lambda name, text: {"id": f"t_{name}", "type": "custom", "custom": {"name": name, "input": text}}, names, words
)
user_messages = st.builds(
    lambda content: turn("user", content), words | st.lists(texts | image_parts | other_parts, min_size=2, max_size=3)
)
assistant_messages = st.builds(
    lambda content: turn("assistant", content),
    words
    | st.lists(texts | st.builds(lambda words: {"type": "refusal", "refusal": words}, words), min_size=2, max_size=2),
)


def answered_calls(content: str | None, called: list[Json], output: str) -> list[Json]:
    """Write a message with calls, and an answer for each."""
    return [
        {"role": "assistant", "content": content, "tool_calls": called},
        *({"role": "tool", "content": output, "tool_call_id": call["id"]} for call in called),
    ]


rounds = st.builds(
    lambda user, rest: [user, *rest],
    user_messages,
    st.builds(lambda message: [message], assistant_messages)
    | st.builds(
        answered_calls,
        st.none() | words,
        st.lists(calls, min_size=1, max_size=2, unique_by=lambda call: call["id"]),
        words,
    ),
)
openai_messages = st.builds(
    lambda first, parts, last: [*first, *(one for part in parts for one in part), last],
    st.lists(st.builds(turn, st.sampled_from(["system", "developer"]), words), max_size=2),
    st.lists(rounds, max_size=2),
    user_messages,
)
chat_tools = st.builds(
    lambda name, more: {"type": "function", "function": {"name": name} | more},
    names,
    some(description=words, parameters=schemas, strict=st.just(value=True)),
) | st.builds(
    lambda name, syntax: {
        "type": "custom",
        "custom": {
            "name": name,
            "format": {"type": "grammar", "grammar": {"definition": "a", "syntax": syntax}},
        },
    },
    names,
    st.sampled_from(["lark", "regex"]),
)
chat_choices = st.sampled_from(["auto", "none", "required"]) | st.builds(
    lambda kind, name: {"type": kind, kind: {"name": name}}, st.sampled_from(["function", "custom"]), names
)
allowed = st.builds(
    lambda name: {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": name}}]},
    },
    names,
)
formats = st.sampled_from([{"type": "text"}, {"type": "json_object"}]) | st.builds(
    lambda name, schema, more: {"type": "json_schema", "json_schema": {"name": name, "schema": schema} | more},
    names,
    schemas,
    some(description=words, strict=st.booleans()),
)
chat_requests = st.builds(
    lambda messages, more: {"model": "model", "messages": messages} | more,
    openai_messages,
    some(
        max_completion_tokens=st.integers(1, 9_999),
        temperature=st.floats(0, 2, allow_nan=False),
        top_p=shares,
        tools=st.lists(chat_tools, min_size=1, max_size=2),
        tool_choice=chat_choices | allowed,
        parallel_tool_calls=st.booleans(),
        response_format=formats,
        reasoning_effort=st.sampled_from(["none", "minimal", "low", "max"]),
        verbosity=st.sampled_from(["low", "medium", "high"]),
        service_tier=st.sampled_from(["auto", "default", "flex", "scale", "priority", "fast"]),
        safety_identifier=words,
        user=words,
        metadata=st.dictionaries(names, words, max_size=2),
        store=st.just(value=True),
        moderation=st.just({"model": "omni"}),
        prompt_cache_key=words,
        prompt_cache_options=some(mode=st.sampled_from(["implicit", "explicit"]), ttl=st.just("30m")),
        prompt_cache_retention=st.sampled_from(["in_memory", "24h"]),
    ),
)


@quick
@given(chat_requests, st.booleans())
def test_a_chat_request_comes_back_from_responses(row: Json, logprobs: bool) -> None:
    row |= {"logprobs": True, "top_logprobs": 2} if logprobs else {}
    there = translate(row, "chat_completions", "responses")
    assert translate(there, "responses", "chat_completions") == row
    assert translate(translate(there, "responses", "chat_completions"), "chat_completions", "responses") == there


# ---------------------------------------------------------------- answers

thoughts = st.none() | words
counts = st.integers(0, 9_999)


def chat_answer(
    said_words: str | None, thought: str | None, called: list[Json], cut: str | None, used: list[int]
) -> Json:
    """Write a completion in the form in which the translations write it."""
    message: Json = {"role": "assistant", "content": said_words or (None if called else ""), "refusal": None}
    message |= {"tool_calls": called} if called else {}
    message |= {"reasoning_content": thought} if thought else {}
    prompt, made, read, written, reasoned = used
    prompt += read + written
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": "served",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": cut or ("tool_calls" if called else "stop"),
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": made,
            "total_tokens": prompt + made,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": reasoned},
        },
        "service_tier": "default",
    }


function_calls = calls.filter(lambda call: call["type"] == "function")
usages = st.lists(counts, min_size=5, max_size=5)
cuts = st.sampled_from([None, "length", "content_filter"])
chat_answers = st.builds(chat_answer, st.none() | words, thoughts, st.lists(function_calls, max_size=2), cuts, usages)
free_answers = st.builds(chat_answer, st.none() | words, thoughts, st.lists(calls, max_size=2), cuts, usages)


def refusing(answer: Json, refusal: str) -> Json:
    message = answer["choices"][0]["message"] | {"content": None, "refusal": refusal}
    message.pop("tool_calls", None)
    answer["choices"] = [answer["choices"][0] | {"message": message, "finish_reason": "stop"}]
    return answer


@quick
@given(chat_answers | st.builds(refusing, chat_answers, words))
def test_a_chat_answer_comes_back_from_messages(answer: Json) -> None:
    there = answered(answer, "chat_completions", "messages")
    assert answered(there, "messages", "chat_completions") == answer


@quick
@given(free_answers | st.builds(refusing, free_answers, words), st.booleans())
def test_a_chat_answer_comes_back_from_responses(answer: Json, logprobs: bool) -> None:
    choice = answer["choices"][0]
    if logprobs and choice["message"]["content"]:
        choice["logprobs"] = {"content": [{"token": "a", "logprob": -1.5, "top_logprobs": []}], "refusal": None}
    there = answered(answer, "chat_completions", "responses")
    assert answered(there, "responses", "chat_completions") == answer


@quick
@given(chat_answers)
def test_a_message_comes_back_from_responses(answer: Json) -> None:
    row = answered(answer, "chat_completions", "messages")
    assert answered(answered(row, "messages", "responses"), "responses", "messages") == row
