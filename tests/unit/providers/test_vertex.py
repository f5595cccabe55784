"""The Vertex handler: the address, the body and the answer of each kind of row for the models of each publisher."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import RequestError, Untranslatable, UpstreamError
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.providers.handlers.vertex import VertexHandler
from tests.unit.providers import calls
from tests.unit.providers.calls import COMPLETION, MESSAGE, Json, response

HOST = "https://europe-west4-aiplatform.googleapis.com"
PLACE = "/projects/my-project/locations/europe-west4"
GEMINI, CLAUDE, LLAMA = "gemini-3-pro", "claude-opus-9@20261101", "meta/llama-9"
CHAT: Json = {"messages": [{"role": "user", "content": "Hello"}]}
CONTENTS: Json = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
BODIES: dict[RowKind, Json] = {
    "messages": CHAT | {"max_tokens": 64},
    "chat_completions": CHAT | {"max_tokens": 64},
    "responses": {"input": "Hello", "max_output_tokens": 64},
    "generate_content": CONTENTS | {"generationConfig": {"maxOutputTokens": 64}},
    "converse": {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 64},
    },
    "embeddings": {"input": "Hello"},
    "embed_content": {"content": {"parts": [{"text": "Hello"}]}},
    "completions": {"prompt": "Hello"},
    "invoke_model": {"inputText": "a"},
}
CONVERSATIONS: tuple[RowKind, ...] = ("messages", "chat_completions", "responses", "generate_content", "converse")
ANSWER: Json = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
}
HANDLER = VertexHandler(now=lambda: 1_700_000_000.0)


def account(**fields: Any) -> Account:
    given = {"base_url": HOST, "region": "europe-west4", "project": "my-project", "api_key": "ya29.token"}
    return calls.account(**(given | fields))


def row(kind: RowKind, model: str = GEMINI, body: Json | None = None, **fields: Any) -> RequestRow:
    """Make a row; its params have the model, as every row of a batch has."""
    params = msgspec.json.encode({"model": f"vertex/{model}", **BODIES[kind], **(body or {})})
    return RequestRow(**({"custom_id": "c-1", "params": params, "model": model, "headers": {}, "kind": kind} | fields))


def sent(found: RequestRow, **fields: Any) -> tuple[str, Json]:
    """Return the path and the body of a row's call."""
    request = HANDLER.encode(account(**fields), found)
    return request.url.removeprefix(HOST), msgspec.json.decode(request.body)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("model", [GEMINI, f"google/{GEMINI}", f"publishers/google/models/{GEMINI}"])
def test_a_model_of_google_runs_by_generate_content(model: str) -> None:
    path, body = sent(row("generate_content", model))
    assert path == f"/v1beta1{PLACE}/publishers/google/models/{GEMINI}:generateContent"
    assert body == BODIES["generate_content"]


@pytest.mark.parametrize("model", [CLAUDE, f"anthropic/{CLAUDE}", f"publishers/anthropic/models/{CLAUDE}"])
def test_claude_runs_by_raw_predict_with_a_version_and_without_the_model(model: str) -> None:
    path, body = sent(row("messages", model, {"stream": False}))
    assert path == f"/v1{PLACE}/publishers/anthropic/models/{CLAUDE}:rawPredict"
    assert body == BODIES["messages"] | {"anthropic_version": "vertex-2023-10-16"}


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_a_model_of_another_publisher_runs_by_chat_completions(kind: RowKind) -> None:
    path, body = sent(row(kind, LLAMA))
    assert path == f"/v1{PLACE}/endpoints/openapi/chat/completions"
    assert body["model"] == LLAMA
    assert body["messages"] == CHAT["messages"]


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_every_conversation_is_translated(kind: RowKind, model: str) -> None:
    _, body = sent(row(kind, model))
    if model == GEMINI:
        assert body["contents"][0]["parts"] == [{"text": "Hello"}]
    else:
        assert body["max_tokens"] == 64
        assert body["anthropic_version"] == "vertex-2023-10-16" if kind == "messages" else "2026-10-21"
    assert "model" not in body


def test_a_newer_version_of_the_messages_api_is_kept() -> None:
    _, body = sent(row("messages", CLAUDE, headers={"anthropic-version": "2026-10-21"}))
    assert body["anthropic_version"] == "2026-10-21"


def test_the_access_token_and_betas_for_claude_are_headers() -> None:
    headers = {"anthropic-beta": "a,b"}
    claude = HANDLER.encode(account(), row("messages", CLAUDE, headers=headers)).headers
    assert (claude["authorization"], claude["anthropic-beta"]) == ("Bearer ya29.token", "a,b")
    assert "anthropic-beta" not in HANDLER.encode(account(), row("messages", GEMINI, headers=headers)).headers


def test_without_a_project_the_key_is_an_api_key_of_the_express_mode() -> None:
    request = HANDLER.encode(account(project=None, api_key="AQ.key"), row("chat_completions"))
    assert request.url == f"{HOST}/v1beta1/publishers/google/models/{GEMINI}:generateContent"
    assert request.headers["x-goog-api-key"] == "AQ.key"
    assert "authorization" not in request.headers
    with pytest.raises(Untranslatable, match="model: without a project, account 'a' has Google's models alone"):
        HANDLER.encode(account(project=None), row("messages", CLAUDE))


@pytest.mark.parametrize(
    "model", ["a/b/c", "projects/1/locations/x/endpoints/2", "/x", "", "publishers/google/models/"]
)
def test_a_name_that_is_no_model_is_refused(model: str) -> None:
    with pytest.raises(Untranslatable, match="model: should be MODEL, PUBLISHER/MODEL or"):
        HANDLER.encode(account(), row("chat_completions", model))


def test_a_model_cannot_leave_its_place_in_the_path() -> None:
    path, _ = sent(row("generate_content", "x:y?z#..%2f"))
    assert path == f"/v1beta1{PLACE}/publishers/google/models/x%3Ay%3Fz%23..%252f:generateContent"


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("completions", GEMINI),
        ("invoke_model", CLAUDE),
        ("embeddings", CLAUDE),
        ("embed_content", LLAMA),
        ("embeddings", LLAMA),
        ("completions", LLAMA),
    ],
)
def test_what_vertex_does_not_do_is_refused_by_its_url(kind: RowKind, model: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        HANDLER.encode(account(), row(kind, model))
    assert refused.value.field == "url"


def test_user_profiles_are_anthropics_own() -> None:
    with pytest.raises(Untranslatable, match="only Anthropic has user profiles"):
        HANDLER.encode(account(), row("messages", CLAUDE, headers={"anthropic-user-profile-id": "u"}))


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize(("model", "answer"), [(GEMINI, ANSWER), (CLAUDE, MESSAGE), (LLAMA, COMPLETION)])
def test_answers_come_back_as_the_kind_of_the_row(kind: RowKind, model: str, answer: Json) -> None:
    found = HANDLER.decode(row(kind, model), response(answer))
    assert b"Hi" in found
    passes = {GEMINI: "generate_content", CLAUDE: "messages", LLAMA: "chat_completions"}
    if kind == passes[model]:
        assert msgspec.json.decode(found) == answer


def test_an_error_of_google_is_read() -> None:
    error = {"error": {"code": 429, "message": "Resource exhausted.", "status": "RESOURCE_EXHAUSTED"}}
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row("messages", CLAUDE), response(error, status=429))
    assert (caught.value.kind, caught.value.retry_safe) == ("rate_limit_error", True)


# ---------------------------------------------------------------- embeddings


def test_embeddings_of_gemini_run_by_embed_content_with_options_of_their_own() -> None:
    path, body = sent(row("embeddings", "gemini-embedding-2", {"dimensions": 8}))
    assert path.endswith("/models/gemini-embedding-2:embedContent")
    config = {"outputDimensionality": 8, "autoTruncate": False}
    assert body == {"content": {"parts": [{"text": "Hello"}]}, "embedContentConfig": config}
    path, body = sent(row("embeddings", "gemini-embedding-2", {"input": ["a", "b"]}))
    assert path.endswith(":batchEmbedContents")
    assert [request["content"]["parts"][0]["text"] for request in body["requests"]] == ["a", "b"]


def test_rows_of_embed_content_keep_their_options() -> None:
    options = {"taskType": "CLUSTERING", "outputDimensionality": 8}
    _, body = sent(row("embed_content", "gemini-embedding-2", options))
    assert body["embedContentConfig"] == options | {"autoTruncate": False}
    path, body = sent(row("embed_content", "text-embedding-9", options | {"title": "T"}))
    assert path.endswith("/models/text-embedding-9:predict")
    assert body == {
        "instances": [{"content": "Hello", "task_type": "CLUSTERING", "title": "T"}],
        "parameters": {"autoTruncate": False, "outputDimensionality": 8},
    }


def test_several_texts_are_several_instances_of_predict() -> None:
    _, body = sent(row("embeddings", "text-embedding-9", {"input": ["a", "b"]}))
    assert body == {"instances": [{"content": "a"}, {"content": "b"}], "parameters": {"autoTruncate": False}}


@pytest.mark.parametrize("parts", [[], [{"text": "a"}, {"text": "b"}], [{"inlineData": {"mimeType": "x", "data": ""}}]])
def test_predict_embeds_one_text_with_a_request(parts: list[Json]) -> None:
    with pytest.raises(RequestError, match=r"content\.parts: should be one text"):
        HANDLER.encode(account(), row("embed_content", "text-embedding-9", {"content": {"parts": parts}}))


def test_tokens_are_no_text() -> None:
    with pytest.raises(RequestError, match="input: should be a text"):
        HANDLER.encode(account(), row("embeddings", "text-embedding-9", {"input": [[1, 2]]}))


def test_an_answer_of_predict_becomes_embeddings() -> None:
    vectors = [{"embeddings": {"values": [0.5, n], "statistics": {"token_count": 2}}} for n in (1.0, 2.0)]
    asked = row("embeddings", "text-embedding-9", {"input": ["a", "b"]})
    found = msgspec.json.decode(HANDLER.decode(asked, response({"predictions": vectors})))
    assert [item["embedding"] for item in found["data"]] == [[0.5, 1.0], [0.5, 2.0]]
    assert found["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    one = msgspec.json.decode(HANDLER.decode(row("embed_content", "x"), response({"predictions": vectors[:1]})))
    assert one["embedding"]["values"] == [0.5, 1.0]


@pytest.mark.parametrize("answer", [{"predictions": []}, {"predictions": [{}]}, {}])
def test_an_answer_of_predict_without_vectors_is_an_error(answer: Json) -> None:
    with pytest.raises(UpstreamError):
        HANDLER.decode(row("embeddings", "text-embedding-9"), response(answer))
