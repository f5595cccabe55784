"""There and back keeps what Converse and Chat Completions both have: requests and answers that hypothesis makes up.

Each is written in the form that the translation itself would choose among those that are the same.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.tool_names import fit_tool_name, restore_tool_name
from tests.unit.dialects.openai_rows import Json, answered, translate
from tests.unit.dialects.test_round_trips import (
    as_text,
    chat_answers,
    chat_requests,
    inputs,
    names,
    params,
    quick,
    refusing,
    schemas,
    shares,
    some,
    turn,
    words,
)

IMAGE: Json = {"format": "png", "source": {"bytes": "AA=="}}
DOCUMENT: Json = {"format": "pdf", "name": "a b-1 (x)", "source": {"bytes": "AA=="}}

texts = st.builds(lambda text: {"text": text}, words)
cited = st.builds(lambda text: {"citationsContent": {"content": [{"text": text}]}}, words)


def with_calls(
    question: list[Json], said: list[Json], called: list[tuple[str, Json]], answer: list[Json]
) -> list[Json]:
    """Write a question, an answer with calls, their results and perhaps more text of the user."""
    uses = [
        {"toolUse": {"toolUseId": f"c_{n}", "name": name, "input": value}} for n, (name, value) in enumerate(called)
    ]
    results = [
        {"toolResult": {"toolUseId": f"c_{number}", "content": [{"text": "done"}]}} for number in range(len(called))
    ]
    return [turn("user", question), turn("assistant", [*said, *uses]), turn("user", [*results, *answer])]


conversations = st.builds(lambda blocks: [turn("user", blocks)], st.lists(texts, min_size=1, max_size=2)) | st.builds(
    with_calls,
    st.builds(lambda block, more: [block, *more], texts, st.lists(st.just({"image": IMAGE}), max_size=1))
    | st.just([{"text": "Read it."}, {"document": DOCUMENT}]),
    st.lists(texts, max_size=2),
    st.lists(st.tuples(names, inputs), min_size=1, max_size=2),
    st.lists(texts, max_size=2),
)
tools = st.builds(
    lambda name, schema, more: {"toolSpec": {"name": name, "inputSchema": {"json": schema}} | more},
    names,
    schemas,
    some(description=words, strict=st.just(value=True)),
)
choices: st.SearchStrategy[Json] = st.sampled_from([{"auto": {}}, {"any": {}}]) | st.builds(
    lambda name: {"tool": {"name": name}}, names
)
formats = st.builds(
    lambda name, schema, more: {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": as_text(schema), "name": name} | more},
    },
    names,
    schemas,
    some(description=words),
)
model_fields = st.sampled_from(
    [
        ({}, {}),
        ({"effort": "low"}, {"thinking": {"type": "adaptive"}}),
        ({}, {"thinking": {"type": "disabled"}}),
        ({}, {"top_k": 4, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ({}, {"top_k": 4}),
    ]
)


def request(messages: list[Json], tool_config: Json, output: Json, fields: tuple[Json, Json], more: Json) -> Json:
    effort, own = fields
    found = {"messages": messages, "toolConfig": tool_config} | more
    found |= {"outputConfig": output | effort} if output | effort else {}
    return found | ({"additionalModelRequestFields": own} if own else {})


inferences = some(
    maxTokens=st.integers(1, 9_999),
    temperature=shares,
    topP=shares,
    stopSequences=st.lists(words, min_size=1, max_size=2),
)
requests = st.builds(
    request,
    conversations,
    st.builds(
        lambda found, choice: {"tools": found} | choice,
        st.lists(tools, min_size=1, max_size=2),
        some(toolChoice=choices),
    ),
    some(textFormat=formats),
    model_fields,
    some(
        system=st.lists(texts, min_size=1, max_size=2),
        serviceTier=st.builds(lambda kind: {"type": kind}, st.sampled_from(["default", "flex", "priority"])),
        inferenceConfig=inferences.filter(bool),
    ),
)


def for_claude(row: Json, kind: RowKind, to: RowKind) -> Json:
    """Translate a request for a Claude model, for which Converse has the most."""
    return translate(row, kind, to, model="anthropic.claude-x")


@quick
@given(requests)
def test_a_converse_request_comes_back_from_chat_completions(row: Json) -> None:
    there = for_claude(row, "converse", "chat_completions")
    assert for_claude(there, "chat_completions", "converse") == row


def _leniently(row: Json, kind: RowKind) -> Json | None:
    """Translate a request to Converse without the fields that it rejects; None for a message or a missing field."""
    while True:
        try:
            return for_claude(row, kind, "converse")
        except Untranslatable as error:
            refused = error.field.partition(".")[0]
        if refused == "messages" or refused not in row:
            return None
        del row[refused]


def _assert_stable(there: Json | None) -> None:
    if there is not None:
        assert for_claude(for_claude(there, "converse", "chat_completions"), "chat_completions", "converse") == there


@quick
@given(chat_requests)
def test_what_converse_takes_of_a_chat_request_does_not_change_any_more(row: Json) -> None:
    _assert_stable(_leniently(row, "chat_completions"))


@quick
@given(params)
def test_what_converse_takes_of_a_messages_request_does_not_change_any_more(row: Json) -> None:
    # The names of these are those in Chat Completions, through which the request goes.
    for name in ("thinking", "tool_choice"):
        row.pop(name, None)
    _assert_stable(_leniently(row, "messages"))


@quick
@given(chat_answers | st.builds(refusing, chat_answers, words))
def test_a_chat_answer_comes_back_from_converse(answer: Json) -> None:
    there = answered(answer, "chat_completions", "converse")
    back = answered(there, "converse", "chat_completions")
    choice, again = answer["choices"][0], back["choices"][0]
    message = choice["message"]
    refusal = message["refusal"]
    assert again["message"].get("tool_calls") == message.get("tool_calls")
    assert again["message"].get("reasoning_content") == message.get("reasoning_content")
    assert again["message"]["content"] == (refusal or message["content"])
    assert again["finish_reason"] == ("content_filter" if refusal else choice["finish_reason"])
    details = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details")
    assert {name: back["usage"][name] for name in details} == {name: answer["usage"][name] for name in details}
    assert back["service_tier"] == answer["service_tier"]
    assert answered(back, "chat_completions", "converse") == there


@quick
@given(st.text("_x2e5f.:/ é", min_size=1, max_size=8))
def test_the_name_of_a_tool_comes_back_whatever_it_is(name: str) -> None:
    fitting = fit_tool_name(name, "name")
    assert set(fitting) <= set("_x2e5fabcd0123456789")
    assert restore_tool_name(fitting) == name
