"""The differences of the batch APIs in OpenAI's shape (native-lanes 2.2, 2.8, 2.14, 2.15, 10.4)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec import structs

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.openai_batches import OpenAIBatches
from batchgate.providers.batches.openai_dialects import OPENAI_DIALECTS
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry import known_servers
from batchgate.providers.registry.native_lanes import provider_batches
from batchgate.providers.registry.providers import PROVIDERS
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import CREATING_AT, KEY, Recorder, job, rows
from tests.unit.providers.batches.test_openai_results import jsonl, succeeded
from tests.unit.providers.batches.test_openai_wire import BATCH, CHAT
from tests.unit.providers.calls import account, row

AZURE = "api-version=2025-03-01-preview"


def test_the_providers_with_a_client_are_these() -> None:
    exchange = HttpExchange()
    names = {*PROVIDERS, "deepinfra", "together", "simulator", "unknown"}

    assert {name for name in names if provider_batches(name, exchange) is not None} == {
        *("anthropic", "openai", "azure", "groq", "cerebras", "parasail", "nebius", "perplexity", "deepinfra"),
        *("mistral", "together", "xai", "openrouter", "fireworks", "gemini", "bedrock", "vertex", "cohere"),
    }


@pytest.mark.parametrize("path", ["/openai/v1", "/openai", ""])
async def test_azure_has_its_own_paths_and_key_header_and_waits_for_the_file(
    client: MakeClient, recorder: Recorder, path: str
) -> None:
    recorder.answer(f"POST /openai/files?{AZURE}", {"id": "file-1", "status": "pending"})
    recorder.answer(f"GET /openai/files/file-1?{AZURE}", {"id": "file-1", "status": "processed"})
    recorder.answer(f"POST /openai/batches?{AZURE}", BATCH)
    recorder.answer(f"GET /openai/batches?{AZURE}&limit=100", {"data": []})
    azure = client("azure", path)

    await azure.batches.upload(azure.account, job(), rows([PlannedRow(row_id="r0", line=b"{}")]))
    await azure.batches.create(azure.account, job(), rows([]))
    await azure.batches.find(azure.account, job())

    upload, _, create, _ = recorder.calls
    assert {call.headers["api-key"] for call in recorder.calls} == {KEY}
    assert not any("authorization" in call.headers for call in recorder.calls)
    assert b'name="expires_after[seconds]"\r\n\r\n1209600\r\n' in upload.body
    assert b'name="expires_after[anchor]"\r\n\r\ncreated_at\r\n' in upload.body
    assert msgspec.json.decode(create.body)["endpoint"] == "/chat/completions"


async def test_a_row_of_azure_names_its_endpoint_without_v1(client: MakeClient) -> None:
    azure = client("azure", "/openai/v1")

    planned = azure.batches.encode(azure.account, row(CHAT, kind="chat_completions"), "r0")

    assert msgspec.json.decode(planned.line)["url"] == "/chat/completions"


@pytest.mark.parametrize(("statuses", "words"), [(["error"], "'error'"), (["pending"] * 20, "still in the state")])
async def test_a_file_that_azure_does_not_process_is_an_error(
    recorder: Recorder, exchange: HttpExchange, statuses: list[str], words: str
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    recorder.answer(f"POST /openai/files?{AZURE}", {"id": "file-1", "status": "pending"})
    for status in statuses:
        recorder.answer(f"GET /openai/files/file-1?{AZURE}", {"id": "file-1", "status": status})
    handler = OpenAIHandler(known_servers.AZURE, key_header="api-key")
    azure = OpenAIBatches(OPENAI_DIALECTS["azure"], handler, exchange, wait)

    with pytest.raises(UpstreamError, match=words):
        await azure.upload(account(base_url=recorder.url), job(), rows([]))

    assert sum(waits) <= 240


def test_a_token_of_azure_is_sent_as_a_bearer_token() -> None:
    handler = PROVIDERS["azure"].handler()
    chat = row(CHAT, kind="chat_completions")
    url = "https://r.openai.azure.com/openai/v1"

    with_key = handler.encode(account(base_url=url, api_key="0123abcd"), chat)
    with_token = handler.encode(account(base_url=url, api_key="eyJ0eXAi.x.y"), chat)

    assert with_key.url == f"{url}/chat/completions"
    assert with_key.headers == {"content-type": "application/json", "api-key": "0123abcd"}
    assert with_token.headers["authorization"] == "Bearer eyJ0eXAi.x.y"


async def test_groq_pages_by_cursor_to_the_end(client: MakeClient, recorder: Recorder) -> None:
    ours = BATCH | {"metadata": {"batchgate_job": "tok_1"}, "created_at": CREATING_AT // 1_000_000}
    first = {"data": [BATCH | {"created_at": 1}], "paging": {"next_cursor": "c/1"}}
    recorder.answer("GET /v1/batches?limit=100", first)
    recorder.answer("GET /v1/batches?limit=100&cursor=c/1", {"data": [ours], "paging": {"next_cursor": None}})
    groq = client("groq")

    assert [upstream.id for upstream in await groq.batches.find(groq.account, job())] == ["batch_1"]


async def test_perplexity_sends_an_idempotency_key(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", BATCH)
    perplexity = client("perplexity", "")

    await perplexity.batches.create(perplexity.account, job(kind="responses"), rows([]))

    assert recorder.calls[0].headers["idempotency-key"] == "tok_1"
    assert msgspec.json.decode(recorder.calls[0].body)["endpoint"] == "/v1/responses"


async def test_the_content_of_parasail_stands_at_another_host_which_does_not_get_the_key(
    client: MakeClient, recorder: Recorder
) -> None:
    storage = recorder.url.replace("127.0.0.1", "localhost") + "/bucket/out?signature=s"
    recorder.answer("GET /v1/batches/batch_1", BATCH | {"status": "completed", "output_file_id": "out"})
    recorder.answer("GET /v1/files/out/content", b"", status=302, headers={"Location": storage})
    recorder.answer("GET /bucket/out?signature=s", jsonl(succeeded("r0")))

    results = await client("parasail").results(job())

    assert [result.row_id for result in results] == ["r0"]
    assert recorder.calls[1].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in recorder.calls[2].headers


async def test_a_wrong_key_of_parasail_is_a_plain_text(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("GET /v1/batches/batch_1", b"Unauthorized", status=401)
    parasail = client("parasail")

    with pytest.raises(UpstreamError, match="The provider returned 401: Unauthorized") as caught:
        await parasail.batches.poll(parasail.account, job())

    assert caught.value.kind == "authentication_error"


async def test_a_new_job_of_deepinfra_has_null_counters(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/openai/batches", BATCH | {"request_counts": None, "usage": None})
    deepinfra = client("deepinfra", "/v1/openai")

    created = await deepinfra.batches.create(deepinfra.account, job(upstream_file="file_x"), rows([]))

    assert (created.outcome, created.awaits_results) == ("running", False)


@pytest.mark.parametrize(
    ("provider", "kind", "refused"),
    [
        ("openai", "responses", None),
        ("openai", "messages", None),
        ("azure", "responses", "url: the batch API of azure has no /responses"),
        ("groq", "messages", None),
        ("groq", "responses", None),
        ("groq", "embeddings", "url: groq is not known to support embeddings; choose another provider"),
        ("perplexity", "chat_completions", "url: the batch API of perplexity has no /chat/completions"),
        ("deepinfra", "embeddings", None),
    ],
)
async def test_a_request_runs_natively_if_the_batch_api_has_the_endpoint_it_is_sent_to(
    client: MakeClient, provider: str, kind: str, refused: str | None
) -> None:
    assert client(provider).batches.refusal(row(CHAT, kind=kind)) == refused


def test_the_limits_are_those_that_the_providers_state() -> None:
    shown = {name: structs.astuple(dialect.limits)[:2] for name, dialect in OPENAI_DIALECTS.items()}

    assert shown["openai"] == (50_000, 200_000_000)
    assert shown["azure"] == (100_000, 200_000_000)
    assert shown["groq"] == (50_000, 100_000_000)
    assert not OPENAI_DIALECTS["groq"].limits.one_model
