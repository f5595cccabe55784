"""There and back keeps every field that Gemini and the other dialects have, in what hypothesis makes up."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dialects.openai_rows import CREATED, Json, answered, translate
from tests.unit.dialects.test_round_trips import as_text, inputs, names, quick, schemas, several, shares, some, words

MODEL = "gemini-3-pro"
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERg=="
SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}

# ---------------------------------------------------------------- requests of Chat Completions

user_parts = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
) | st.builds(lambda text: {"type": "text", "text": text}, words)
users = st.builds(
    lambda content: {"role": "user", "content": content},
    words | st.lists(user_parts, min_size=2, max_size=3),
)
calls = st.lists(st.tuples(names, inputs, words), min_size=1, max_size=3)


def with_calls(number: int, text: str | None, made: list[tuple[str, Json, str]]) -> list[Json]:
    """Write a message with calls, whose names may be equal, and the results of all of them."""
    ids = [f"call_{number}_{index}" for index in range(len(made))]
    said = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": as_text(value)}}
        | (SIGNED if index == 0 else {})
        for index, (call_id, (name, value, _)) in enumerate(zip(ids, made, strict=True))
    ]
    results = [
        {"role": "tool", "content": result, "tool_call_id": call_id}
        for call_id, (_, _, result) in zip(ids, made, strict=True)
    ]
    return [{"role": "assistant", "content": text, "tool_calls": said}, *results]


def conversation(system: str | None, turns: list[tuple[Json, str | None, list[Any]]], last: Json) -> list[Json]:
    messages: list[Json] = [] if system is None else [{"role": "system", "content": system}]
    for number, (asked, text, made) in enumerate(turns):
        messages.append(asked)
        if made:
            messages.extend(with_calls(number, text, made))
        messages.append({"role": "assistant", "content": text or "Done"})
    return [*messages, last]


conversations = st.builds(
    conversation,
    st.none() | words,
    st.lists(st.tuples(users, st.none() | words, calls | st.just([])), max_size=2),
    users,
)
functions = st.builds(
    lambda name, schema, more: {"type": "function", "function": {"name": name, "parameters": schema} | more},
    names,
    schemas,
    some(description=words),
)
choices = st.sampled_from(["auto", "required", "none"]) | st.builds(
    lambda name: {"type": "function", "function": {"name": name}}, names
)
formats = st.just({"type": "json_object"}) | st.builds(
    lambda schema: {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}, schemas
)
chat_rows = st.builds(
    lambda messages, more: {"model": "model", "messages": messages} | more,
    conversations,
    some(
        max_completion_tokens=st.integers(1, 999),
        temperature=shares,
        top_p=shares,
        top_k=st.integers(1, 99),
        seed=st.integers(0, 99),
        stop=several,
        frequency_penalty=shares,
        presence_penalty=shares,
        reasoning_effort=st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        service_tier=st.sampled_from(["flex", "priority"]),
        response_format=formats,
    )
    | st.builds(
        lambda tools, more: {"tools": tools} | more,
        st.lists(functions, min_size=1, max_size=2),
        some(tool_choice=choices),
    )
    | st.builds(lambda budget: {"thinking_token_budget": budget}, st.integers(1, 9_999)),
)


@quick
@given(chat_rows)
def test_a_chat_request_that_went_to_gemini_comes_back_as_it_was(row: Json) -> None:
    there = translate(row, "chat_completions", "generate_content")
    assert translate(there, "generate_content", "chat_completions") == row


# ---------------------------------------------------------------- requests of Gemini


def gemini_turns(number: int, made: list[tuple[str, Json, str]]) -> list[Json]:
    called = [
        {"functionCall": {"id": f"c{number}-{index}", "name": name, "args": args}}
        | ({"thoughtSignature": "c2ln"} if index == 0 else {})
        for index, (name, args, _) in enumerate(made)
    ]
    results = [
        {"functionResponse": {"id": f"c{number}-{index}", "name": name, "response": {"output": text}}}
        for index, (name, _, text) in enumerate(made)
    ]
    return [{"role": "model", "parts": called}, {"role": "user", "parts": results}]


gemini_parts = st.sampled_from(
    [
        {"inlineData": {"mimeType": "image/webp", "data": "AA=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
    ]
) | st.builds(lambda text: {"text": text}, words)
asked = st.builds(lambda parts: {"role": "user", "parts": parts}, st.lists(gemini_parts, min_size=1, max_size=3))
contents = st.builds(
    lambda first, rounds: [
        first,
        *(one for number, made in enumerate(rounds) for one in gemini_turns(number, made)),
    ],
    asked,
    st.lists(calls, max_size=2),
)
configs = some(
    temperature=shares,
    topP=shares,
    topK=st.integers(1, 99),
    maxOutputTokens=st.integers(1, 999),
    stopSequences=several,
    seed=st.integers(0, 99),
    presencePenalty=shares,
    frequencyPenalty=shares,
    thinkingConfig=st.sampled_from([{"thinkingLevel": "LOW"}, {"thinkingBudget": 0}, {"thinkingBudget": 512}]),
) | st.builds(lambda schema: {"responseMimeType": "application/json", "responseJsonSchema": schema}, schemas)
gemini_rows = st.builds(
    lambda said, config, more: {"contents": said} | ({"generationConfig": config} if config else {}) | more,
    contents,
    configs,
    some(
        systemInstruction=st.builds(lambda text: {"parts": [{"text": text}]}, words),
        serviceTier=st.sampled_from(["flex", "priority"]),
    ),
)


@quick
@given(gemini_rows)
def test_a_gemini_request_that_went_to_chat_comes_back_as_it_was(row: Json) -> None:
    there = translate(row, "generate_content", "chat_completions")
    assert translate(there, "chat_completions", "generate_content") == row


# ---------------------------------------------------------------- answers

counts = st.integers(1, 9_999)
usages = st.builds(
    lambda prompt, cached, said, thoughts: {
        "promptTokenCount": prompt + cached,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + cached + said + thoughts,
    },
    *[counts] * 4,
)
said_parts = st.builds(
    lambda thought, text, made: [
        *([{"text": thought, "thought": True}] if thought else []),
        *([{"text": text}] if text else []),
        *(
            {"functionCall": {"id": f"c{index}", "name": name, "args": args}}
            | ({"thoughtSignature": "c2ln"} if index == 0 else {})
            for index, (name, args, _) in enumerate(made)
        ),
    ],
    st.none() | words,
    st.none() | words,
    calls | st.just([]),
)
answers = st.builds(
    lambda parts, reason, usage: {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "served",
        "responseId": "r-1",
    },
    said_parts,
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY"]),
    usages,
)


@quick
@given(answers)
def test_an_answer_of_gemini_that_went_to_chat_comes_back_as_it_was(answer: Json) -> None:
    there = answered(answer, "generate_content", "chat_completions")
    assert there["created"] == CREATED
    assert answered(there, "chat_completions", "generate_content") == answer


# ---------------------------------------------------------------- embeddings


@quick
@given(st.lists(shares, min_size=1, max_size=4), words, some(outputDimensionality=st.integers(1, 99)))
def test_embeddings_and_their_requests_come_back_as_they_were(values: list[float], text: str, more: Json) -> None:
    row = {"content": {"parts": [{"text": text}]}} | more
    there = translate(row, "embed_content", "embeddings")
    [request] = translate(there, "embeddings", "embed_content")["requests"]
    assert request == row | {"model": "models/model"}
    answer = {"embedding": {"values": values}, "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 2}}
    back = answered(answered(answer, "embed_content", "embeddings"), "embeddings", "embed_content")
    assert back == answer
