"""Ids of tool calls fit the server that receives the request, for calls and results alike."""

from __future__ import annotations

import re

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import MISTRAL, OPENAI, VLLM
from tests.unit.dialects.openai_rows import USER, Json, answered, chat, completion, message, responses, translate

ANTHROPIC_ID = re.compile("[a-zA-Z0-9_-]{1,64}")
MISTRAL_ID = re.compile("[a-zA-Z0-9]{9}")


def calling(*ids: str) -> Json:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str, content: str = "x") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def to_anthropic(*turns: Json) -> list[tuple[str, str]]:
    """Translate turns after one of the user; give each call with its id and each result with that of its call."""
    document = translate(chat(messages=[USER, *turns, USER]), "chat_completions", "messages")
    blocks = [block for turn in document["messages"] if isinstance(turn["content"], list) for block in turn["content"]]
    return [(block["type"], block.get("id") or block["tool_use_id"]) for block in blocks if block["type"] != "text"]


def test_the_ids_of_kimi_become_ids_that_anthropic_accepts() -> None:
    assert to_anthropic(calling("functions.f:0"), result("functions.f:0")) == [
        ("tool_use", "functions_f_0"),
        ("tool_result", "functions_f_0"),
    ]


@pytest.mark.parametrize("odd", ["a b", "a/b", "chatcmpl-tool:é", "x" * 65, "", ".", "call|fc_1", "\N{GRINNING FACE}"])
def test_an_id_that_anthropic_rejects_is_replaced_in_call_and_result(odd: str) -> None:
    [(_, used), (_, answered_id)] = to_anthropic(calling(odd), result(odd))
    assert ANTHROPIC_ID.fullmatch(used)
    assert used == answered_id


@pytest.mark.parametrize("plain", ["call_1", "toolu_01A", "a", "x" * 64, "-_-"])
def test_an_id_that_fits_stays(plain: str) -> None:
    assert to_anthropic(calling(plain), result(plain)) == [("tool_use", plain), ("tool_result", plain)]


def test_ids_that_become_alike_stay_apart() -> None:
    ids = [used for _, used in to_anthropic(calling("f.0", "f:0", "f_0"), result("f_0"), result("f:0"), result("f.0"))]
    assert len(set(ids)) == 3
    assert ids[2] == "f_0"
    assert ids[3:] == ids[2::-1]


def test_long_ids_with_the_same_beginning_stay_apart() -> None:
    first, second = "x" * 80 + "1", "x" * 80 + "2"
    ids = [used for _, used in to_anthropic(calling(first, second), result(second), result(first))]
    assert all(map(ANTHROPIC_ID.fullmatch, ids))
    assert ids[0] != ids[1]
    assert ids[2:] == [ids[1], ids[0]]


def test_an_id_that_comes_again_in_a_later_turn_is_replaced_with_its_result() -> None:
    turns = [turn for _ in range(3) for turn in (calling("call_0"), result("call_0"))]
    assert to_anthropic(*turns) == [
        ("tool_use", "call_0"),
        ("tool_result", "call_0"),
        ("tool_use", "call_0_2"),
        ("tool_result", "call_0_2"),
        ("tool_use", "call_0_3"),
        ("tool_result", "call_0_3"),
    ]


def test_an_id_twice_in_one_turn_has_its_results_in_order() -> None:
    found = to_anthropic(calling("call_0", "call_0"), result("call_0"), result("call_0"))
    assert [used for _, used in found] == ["call_0", "call_0_2", "call_0", "call_0_2"]


def test_a_replaced_id_is_never_one_that_a_later_call_has() -> None:
    found = to_anthropic(calling("a", "a"), result("a"), result("a"), calling("a_2"), result("a_2"))
    ids = [used for kind, used in found if kind == "tool_use"]
    assert ids == ["a", "a_3", "a_2"]


def test_a_call_without_a_result_does_not_take_the_result_of_a_later_one() -> None:
    found = to_anthropic(calling("a"), USER, calling("a"), result("a"))
    assert found[-1] == ("tool_result", found[-2][1])


@pytest.mark.parametrize("turns", [[result("a")], [calling("b"), result("a")], [result("a"), calling("a")]])
def test_a_result_without_an_earlier_call_is_refused_by_its_path(turns: list[Json]) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_anthropic(*turns)
    assert re.fullmatch(r"messages\.\d\.tool_call_id", caught.value.field)
    assert caught.value.reason == "no earlier assistant message has a tool call with this id"


def test_the_ids_of_responses_fit_anthropic_too() -> None:
    items = [
        {"type": "function_call", "call_id": "fc:1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "fc:1", "output": "x"},
    ]
    document = translate(responses(input=[USER, *items]), "responses", "messages")
    assert document["messages"][1]["content"][0]["id"] == document["messages"][2]["content"][0]["tool_use_id"] == "fc_1"


# ---------------------------------------------------------------- other servers


def from_anthropic(target: ServerCapabilities, *ids: str) -> list[str]:
    turns = [
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": one, "name": "f", "input": {}} for one in ids],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": one, "content": "x"} for one in ids]},
    ]
    row = {"model": "m", "max_tokens": 9, "messages": turns}
    sent = translate(row, "messages", "chat_completions", target)["messages"]
    calls = [call["id"] for call in sent[1]["tool_calls"]]
    assert calls == [answer["tool_call_id"] for answer in sent[2:]]
    return calls


def test_mistral_gets_ids_of_nine_letters_and_digits() -> None:
    ids = from_anthropic(MISTRAL, "toolu_01", "toolu_02", "D681PevKs")
    assert all(map(MISTRAL_ID.fullmatch, ids))
    assert len(set(ids)) == 3
    assert ids[2] == "D681PevKs"
    assert from_anthropic(MISTRAL, "toolu_01", "toolu_02", "D681PevKs") == ids, "the same at each try"


def test_openai_gets_ids_of_at_most_forty_characters() -> None:
    long = "srvtoolu_" + "x" * 50
    assert from_anthropic(OPENAI, long, "functions.f:0", long + "1") == [long[:40], "functions.f:0", long[:38] + "_2"]


def test_a_server_without_a_rule_gets_the_ids_that_were_sent() -> None:
    assert from_anthropic(VLLM, "x" * 80, "functions.f:0") == ["x" * 80, "functions.f:0"]


# ---------------------------------------------------------------- answers


def call_ids(document: Json) -> list[str]:
    if "content" in document:
        return [block["id"] for block in document["content"]]
    return [item["call_id"] for item in document["output"]]


@pytest.mark.parametrize("to", ["messages", "responses"])
@pytest.mark.parametrize("sent", ["functions.f:0", "call_0", "x" * 90])
def test_an_answer_keeps_the_ids_of_its_server(to: RowKind, sent: str) -> None:
    assert call_ids(answered(completion(calling(sent)), "chat_completions", to)) == [sent]


@pytest.mark.parametrize("to", ["messages", "responses"])
def test_ids_that_the_server_left_out_are_unique(to: RowKind) -> None:
    first = answered(completion(calling("", "")), "chat_completions", to)
    again = answered(completion(calling("", "")), "chat_completions", to)
    other = answered(completion(calling("", ""), created=2), "chat_completions", to)
    older = answered(completion({"function_call": {"name": "f", "arguments": "{}"}}), "chat_completions", to)
    assert call_ids(first) == call_ids(again), "the same at each read"
    ids = call_ids(first) + call_ids(other) + call_ids(older)
    assert len(set(ids)) == 5
    assert all(ANTHROPIC_ID.fullmatch(one) and len(one) <= 40 for one in ids)


def test_a_call_of_a_response_without_an_id_gets_one() -> None:
    answer = {
        "id": "resp_1",
        "status": "completed",
        "output": [{"type": "function_call", "name": "f", "arguments": '{"a":1}'}],
    }
    [call] = answered(answer, "responses", "chat_completions")["choices"][0]["message"]["tool_calls"]
    assert ANTHROPIC_ID.fullmatch(call["id"])
    assert call["function"] == {"name": "f", "arguments": '{"a":1}'}


def test_a_message_keeps_its_ids_as_a_completion() -> None:
    used = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    document = answered(message(used, stop_reason="tool_use"), "messages", "chat_completions")
    assert document["choices"][0]["message"]["tool_calls"][0]["id"] == "toolu_1"
