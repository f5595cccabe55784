"""Requests that Vertex's jobs cannot have, what groups them, and the lines of results, as they were seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.provider_call import RequestRow, RowKind
from batchgate.providers.batches.vertex_rows import read_result, refusal, response_schema
from batchgate.providers.handlers.vertex import VertexHandler

HANDLER = VertexHandler()
CONTENTS = [{"role": "user", "parts": [{"text": "Hello"}]}]
CLAUDE = "claude-opus-9@20261101"


def row(kind: RowKind = "generate_content", model: str = "gemini-3-pro", **body: Any) -> RequestRow:
    own = {"contents": CONTENTS} if kind == "generate_content" else {"messages": [{"role": "user", "content": "Hello"}]}
    headers = body.pop("headers", {})
    params = msgspec.json.encode({"model": model, **own, **body})
    return RequestRow(custom_id="c", params=params, model=model, headers=headers, kind=kind)


def tool(parameters: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": parameters}]}]}


def nested(depth: int) -> dict[str, Any]:
    """Make a value of so many objects in each other."""
    return {"x": nested(depth - 1)} if depth > 1 else {"x": "end"}


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (tool({"$defs": {"a": {"type": "string"}}}), "tools.0.functionDeclarations.0.parametersJsonSchema.$defs"),
        (tool({"type": "object", "properties": {"a name": {"type": "string"}}}), "properties.a name: Vertex's jobs"),
        (tool({"type": "object", "properties": {}}), "parametersJsonSchema.properties: Vertex's jobs take no empty"),
        ({"tools": [{"googleSearch": {}}]}, "tools.0.googleSearch: Vertex's jobs take no empty object"),
        (tool({"type": ["string", "null"]}), "parametersJsonSchema.type: Vertex's jobs take a type as one text"),
        (tool({"type": "string", "enum": ["a", None]}), "parametersJsonSchema.enum.1: Vertex's jobs take no null"),
        (tool({"examples": [["a"]]}), "examples.0: Vertex's jobs take no null and no list in a list"),
        (tool(nested(14)), "Vertex's jobs take no objects that are nested so deeply"),
        ({"cachedContent": "cachedContents/x"}, "cachedContent: Vertex's jobs have no cache"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_row_that_would_fail_the_import_of_all_is_refused_by_name(body: dict[str, Any], problem: str) -> None:
    assert problem in (refusal(HANDLER, row(**body)) or "")


@pytest.mark.parametrize(
    "found",
    [
        row(),
        row(**tool({"type": "object", "properties": {"a_name": {"type": "string", "enum": ["x"]}}})),
        row(**tool(nested(12))),
        row(generationConfig={"responseSchema": {"type": "STRING"}, "temperature": 0.5}),
        row("chat_completions", max_tokens=5),
        row("messages", max_tokens=5),
        row("messages", CLAUDE, max_tokens=5, tools=[{"name": "t", "input_schema": {"type": "object"}}]),
        row("chat_completions", CLAUDE, max_tokens=5),
    ],
)
def test_other_rows_are_not_refused(found: RequestRow) -> None:
    assert refusal(HANDLER, found) is None


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (row("chat_completions", "meta/llama-9"), "model: Vertex's jobs take models of Google and Anthropic alone"),
        (row("embeddings", "text-embedding-9", input="a"), "url: embeddings are not sent in jobs of Vertex"),
        (
            row("messages", CLAUDE, headers={"anthropic-beta": "a"}),
            "anthropic-beta: Vertex's jobs have no place for it",
        ),
        (row("completions"), "url: vertex does not support completions"),
        (row("chat_completions", logit_bias={"1": 1}), "logit_bias"),
    ],
)
def test_rows_that_no_job_of_vertex_takes_are_refused_by_name(found: RequestRow, problem: str) -> None:
    assert problem in (refusal(HANDLER, found) or "")


def test_rows_share_a_job_if_they_have_the_same_response_schema() -> None:
    def chat(*required: str) -> RequestRow:
        schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [*required]}
        return row(
            "chat_completions",
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        )

    assert response_schema(HANDLER, row()) == response_schema(HANDLER, row("chat_completions")) == ""
    assert response_schema(HANDLER, row(generationConfig={"temperature": 1})) == ""
    one = response_schema(HANDLER, chat("a"))
    assert one
    assert response_schema(HANDLER, chat("a")) == one
    assert response_schema(HANDLER, chat()) not in {one, ""}
    assert response_schema(HANDLER, row("messages", CLAUDE, output_config={"format": {"schema": {}}})) == ""


# ---------------------------------------------------------------- results


def line(**fields: Any) -> bytes:
    return msgspec.json.encode({"custom_id": "r0", "processed_time": "2026-09-02T00:00:00Z", "request": {}} | fields)


@pytest.mark.parametrize("response", [{"candidates": []}, {"content": [], "type": "message"}])
@pytest.mark.parametrize("status", [{}, {"status": ""}, {"status": None}])
def test_an_answer_is_read(response: dict[str, Any], status: dict[str, Any]) -> None:
    result = read_result(line(response=response, **status))
    assert result is not None
    assert result.row_id == "r0"
    assert result.response is not None
    assert (result.response.status, msgspec.json.decode(result.response.body)) == (200, response)


def test_an_answer_of_claude_in_a_body_is_unwrapped() -> None:
    result = read_result(line(response={"body": {"type": "message"}, "status_code": 200}))
    assert result is not None
    assert result.response is not None
    assert result.response.body == b'{"type":"message"}'


ERROR = '{"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}'


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (f"Too Many Requests: {ERROR}", 429, "Slow down."),
        ('Bad Request: {"error":{"code":400,"message":"Wrong."}}', 400, "Wrong."),
        ('Bad Request: {"code":3,"message":"Wrong."}', 400, "Wrong."),
        ("Bad Request: Service agents are being provisioned", 400, "Service agents are being provisioned"),
        ("Not Found: {broken", 404, "{broken"),
        ("Something else", 500, "Something else"),
        ({"odd": 1}, 500, "neither a response nor an error"),
        ("", 500, "neither a response nor an error"),
    ],
)
def test_an_error_is_read_from_the_text_of_its_status(status: object, code: int, message: str) -> None:
    result = read_result(line(status=status))
    assert result is not None
    assert result.response is not None
    error = msgspec.json.decode(result.response.body)["error"]
    assert (result.response.status, error["code"]) == (code, code)
    assert message in error["message"]


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"custom_id":7,"response":{"a":1}}', b'{"response":{"a":1}}', b"\xff"])
def test_a_line_that_names_no_request_is_no_result(text: bytes) -> None:
    assert read_result(text) is None
