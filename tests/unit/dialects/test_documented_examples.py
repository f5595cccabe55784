"""The examples of the vendors' documentation, in spec/examples, say the same in every dialect."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from batchgate.engine.model.provider_call import RowKind
from tests.unit.dialects.openai_rows import Json, answered, translate

EXAMPLES = Path(__file__).parents[3] / "spec" / "examples"

REQUESTS: dict[RowKind, str] = {
    "messages": "MessageParams/custom_tool",
    "chat_completions": "ChatCompletionRequest/function_tool",
    "responses": "ResponsesRequest/function_tool",
}
ANSWERS: dict[RowKind, str] = {
    "messages": "Message/tool_use",
    "chat_completions": "ChatCompletion/function_call",
    "responses": "Response/function_call",
}
KINDS: tuple[RowKind, ...] = ("messages", "chat_completions", "responses")
both_ways = pytest.mark.parametrize(("kind", "to"), [(kind, to) for kind in KINDS for to in KINDS if kind != to])


def example(name: str) -> Json:
    document: Json = msgspec.json.decode((EXAMPLES / f"{name}.json").read_bytes())
    return document


def essence(request: Json) -> Json:
    """Reduce a request to what the examples of all three dialects say, in words of none."""
    turns = request.get("messages") or request["input"]
    instructions = request.get("system") or request.get("instructions")
    tool = request["tools"][0].get("function") or request["tools"][0]
    schema = tool.get("input_schema") or tool["parameters"]
    return {
        "instructions": instructions or turns[0]["content"],
        "question": turns[-1]["content"],
        "tool": (tool["name"], tool["description"], tool["strict"], schema),
    }


@both_ways
def test_a_documented_request_is_translated(kind: RowKind, to: RowKind) -> None:
    assert essence(translate(example(REQUESTS[kind]), kind, to)) == essence(example(REQUESTS[to]))


def called(answer: Json, kind: RowKind) -> tuple[str, Json]:
    """Read the name and the arguments of the only call in an answer."""
    match kind:
        case "messages":
            block = answer["content"][-1]
            return block["name"], block["input"]
        case "chat_completions":
            call = answer["choices"][0]["message"]["tool_calls"][0]["function"]
        case _:
            call = answer["output"][-1]
    return call["name"], msgspec.json.decode(call["arguments"])


@both_ways
def test_a_documented_answer_calls_the_same_tool(kind: RowKind, to: RowKind) -> None:
    answer = answered(example(ANSWERS[kind]), kind, to)
    assert called(answer, to) == ("get_weather", {"location": "Paris, France"})
