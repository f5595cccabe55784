"""The simulated model's answers have every field that the newest SDKs require, with its exact type."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import TypeAdapter, ValidationError

from tests.unit.providers.simulator_calls import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    INSTANT,
    MESSAGES,
    RESPONSES,
    ask,
    question,
    written,
)

ANSWERS = [
    pytest.param(MESSAGES, question(), Message, id="message"),
    pytest.param(MESSAGES, question(max_tokens=1), Message, id="cut off message"),
    pytest.param(CHAT, question(), ChatCompletion, id="chat completion"),
    pytest.param(CHAT, question(max_tokens=1), ChatCompletion, id="cut off chat completion"),
    pytest.param(RESPONSES, written(input="Hello", instructions="Be brief"), Response, id="response"),
    pytest.param(RESPONSES, written(input="Hello", max_output_tokens=1), Response, id="cut off response"),
    pytest.param(COMPLETIONS, written(prompt="Hello"), Completion, id="completion"),
    pytest.param(COMPLETIONS, written(prompt="Hello", max_tokens=1), Completion, id="cut off completion"),
    pytest.param(EMBEDDINGS, written(input="Hello"), CreateEmbeddingResponse, id="embedding"),
    pytest.param(EMBEDDINGS, written(input=["a", "b"], dimensions=4), CreateEmbeddingResponse, id="embeddings"),
]


@pytest.mark.parametrize(("path", "call", "model"), ANSWERS)
def test_an_answer_is_valid_by_the_strict_types_of_the_sdk(path: str, call: bytes, model: type[Any]) -> None:
    response = ask(INSTANT, path, call).response
    assert response.status == 200, response.body
    answer = TypeAdapter(model).validate_json(response.body, strict=True)
    assert answer.usage.model_dump()


@pytest.mark.parametrize("field", ["input_tokens_details", "parallel_tool_calls", "created_at", "tools"])
def test_a_missing_field_would_be_found(field: str) -> None:
    body = ask(INSTANT, RESPONSES, written(input="Hello")).response.body
    with pytest.raises(ValidationError):
        TypeAdapter(Response).validate_json(body.replace(field.encode(), b"other"), strict=True)
