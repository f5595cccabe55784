"""Every link in the served OpenAPI document leads from a successful response to another one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest

from batchgate.encryption.fernet import new_master_key
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.openai_batches import (
    CHAT,
    chat_line,
    create,
    create_body,
    jsonl,
    upload_lines,
    wait_for_final_status,
)
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator
from tests.support.surfaces import UNIFIED_BATCHES
from tests.support.uploads import OPENAI as FILES
from tests.support.uploads import UNIFIED as UNIFIED_FILES
from tests.support.uploads import file_part, part, upload

ANTHROPIC_FILES: Final = "/anthropic/v1/files"
PROJECT: Final = Path(__file__).parents[2]
BUNDLE: Final = json.loads((PROJECT / "generated/batchgate_api/openapi.json").read_text())
METHODS: Final = {"get", "post", "put", "patch", "delete"}
KEY: Final = {"x-api-key": "sk-bf-known"}
PROVIDER: Final = {"provider": "openai"}
REQUIRED: Final = {"endpoint": CHAT, "completion_window": "24h"}
"""The fields that a create from a file needs in addition to the file."""
LATER: Final = {"expires_at": "2026-11-20T00:00:00Z"}


class Link(NamedTuple):
    """A link from the response of one operation to another operation."""

    source: str
    name: str
    target: str
    parameters: dict[str, str]
    body: dict[str, str]

    def __str__(self) -> str:
        """Return the name of the test case."""
        return f"{self.source}-{self.name}"


class Operation(NamedTuple):
    """The method and the path of an operation."""

    method: str
    path: str


OPERATIONS: Final = {
    operation["operationId"]: Operation(method.upper(), path)
    for path, item in BUNDLE["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def links() -> Iterator[Link]:
    """Yield all links in the document."""
    for item in BUNDLE["paths"].values():
        for operation in (candidate for method, candidate in item.items() if method in METHODS):
            for name, reference in operation["responses"]["200"].get("links", {}).items():
                link = BUNDLE["components"]["links"][reference["$ref"].rpartition("/")[2]]
                yield Link(
                    operation["operationId"],
                    name,
                    link["operationId"],
                    link.get("parameters", {}),
                    link.get("requestBody", {}),
                )


# ---------------------------------------------------------------- a successful response of each operation


async def successful_call(app: RunningApp, method: str, path: str, **options: Any) -> dict[str, Any]:
    status, response_body = await app.call(method, path, **options)
    assert status == 200, response_body
    assert isinstance(response_body, dict)
    return response_body


async def message_batch(app: RunningApp) -> dict[str, Any]:
    batch = await app.create("a")
    await app.ended(batch["id"])
    return batch


async def two_messages(app: RunningApp) -> dict[str, Any]:
    batch = await app.create("a", "b")
    await app.ended(batch["id"])
    return batch


async def openai_batch(app: RunningApp) -> dict[str, Any]:
    batch = await create(app, chat_line("a"))
    await wait_for_final_status(app, batch["id"])
    return batch


async def running_openai_batch(app: RunningApp) -> dict[str, Any]:
    return await create(app, chat_line("a", model="slow"))


async def unified_batch(app: RunningApp) -> dict[str, Any]:
    body = create_body(await upload_lines(app, jsonl(chat_line("a"))))
    batch = await successful_call(app, "POST", UNIFIED_BATCHES, json=body, params=PROVIDER)
    await wait_for_final_status(app, batch["id"])
    return batch


async def openai_file(app: RunningApp) -> dict[str, Any]:
    return await upload(app, part("purpose", "batch"), file_part(jsonl(chat_line("a"))))


async def anthropic_file(app: RunningApp) -> dict[str, Any]:
    return await upload(app, file_part(), path=ANTHROPIC_FILES)


async def unified_file(app: RunningApp) -> dict[str, Any]:
    form = (part("purpose", "batch"), part("provider", "openai"), file_part(jsonl(chat_line("a"))))
    return await upload(app, *form, path=UNIFIED_FILES)


MakeObject = Callable[[RunningApp], Awaitable[dict[str, Any]]]


def call_on_new(make: MakeObject, method: str, path: str, **options: Any) -> MakeObject:
    """Return a function that creates an object and calls an operation on it."""

    async def make_response(app: RunningApp) -> dict[str, Any]:
        return await successful_call(app, method, path.format((await make(app))["id"]), **options)

    return make_response


def list_page(make: MakeObject, path: str, *, cursor: str, **query: Any) -> MakeObject:
    """Return a function that creates three objects and lists the second, so that the page has both neighbours."""

    async def make_response(app: RunningApp) -> dict[str, Any]:
        ids = [(await make(app))["id"] for _ in range(3)]
        return await successful_call(app, "GET", path, params={"limit": 1, cursor: ids[2], **query})

    return make_response


async def workspace(app: RunningApp) -> dict[str, Any]:
    return await successful_call(app, "POST", "/api/workspaces", json={"name": f"tenant-{uuid4()}"})


async def key(app: RunningApp) -> dict[str, Any]:
    path = f"/api/workspaces/{(await workspace(app))['name']}/keys"
    await successful_call(app, "POST", path, json={"name": "first"})
    return await successful_call(app, "POST", path, json={"name": "second"})


async def changed_workspace(app: RunningApp) -> dict[str, Any]:
    path = f"/api/workspaces/{(await workspace(app))['name']}"
    return await successful_call(app, "PATCH", path, json={"quotas": {"stored_bytes": 10**9}})


async def workspace_page(app: RunningApp) -> dict[str, Any]:
    await workspace(app)
    return await successful_call(app, "GET", "/api/workspaces", params={"limit": 1})


async def key_page(app: RunningApp) -> dict[str, Any]:
    return await successful_call(
        app, "GET", f"/api/workspaces/{(await key(app))['workspace']}/keys", params={"limit": 1}
    )


async def webhook(app: RunningApp) -> dict[str, Any]:
    body = {"url": "https://example.com/hook", "events": ["batch.failed"]}
    return await successful_call(app, "POST", "/api/webhooks", json=body)


async def webhook_page(app: RunningApp) -> dict[str, Any]:
    await webhook(app)
    return await successful_call(app, "GET", "/api/webhooks")


EXAMPLE_RESPONSES: Final[dict[str, MakeObject]] = {
    "createMessageBatch": message_batch,
    "retrieveMessageBatch": call_on_new(message_batch, "GET", BATCHES + "/{}"),
    "cancelMessageBatch": call_on_new(message_batch, "POST", BATCHES + "/{}/cancel"),
    "listMessageBatches": list_page(message_batch, BATCHES, cursor="after_id"),
    "listAllBatches": list_page(message_batch, "/api/batches", cursor="after"),
    "createBatch": running_openai_batch,
    "retrieveBatch": call_on_new(openai_batch, "GET", "/openai/v1/batches/{}"),
    "cancelBatch": call_on_new(running_openai_batch, "POST", "/openai/v1/batches/{}/cancel"),
    "listBatches": list_page(openai_batch, "/openai/v1/batches", cursor="after"),
    "createUnifiedBatch": unified_batch,
    "retrieveUnifiedBatch": call_on_new(unified_batch, "GET", UNIFIED_BATCHES + "/{}", params=PROVIDER),
    "cancelUnifiedBatch": call_on_new(unified_batch, "POST", UNIFIED_BATCHES + "/{}/cancel", params=PROVIDER),
    "listUnifiedBatches": list_page(unified_batch, UNIFIED_BATCHES, cursor="after", **PROVIDER),
    "pauseBatch": call_on_new(running_openai_batch, "POST", "/api/batches/{}/pause"),
    "resumeBatch": call_on_new(running_openai_batch, "POST", "/api/batches/{}/resume"),
    "moveBatchDeadline": call_on_new(running_openai_batch, "PUT", "/api/batches/{}/deadline", json=LATER),
    "changeBatchBudget": call_on_new(running_openai_batch, "PUT", "/api/batches/{}/budget", json={"budget_usd": None}),
    "retryBatch": call_on_new(message_batch, "POST", "/api/batches/{}/retry", json={"custom_ids": ["a"]}),
    "listBatchRows": call_on_new(two_messages, "GET", "/api/batches/{}/rows?limit=1"),
    "setBatchConcurrency": call_on_new(
        running_openai_batch, "PUT", "/api/batches/{}/concurrency", json={"concurrency": 4}
    ),
    "setBatchLane": call_on_new(running_openai_batch, "PUT", "/api/batches/{}/lane", json={"lane": "direct"}),
    "setBatchPriority": call_on_new(running_openai_batch, "PUT", "/api/batches/{}/priority", json={"priority": "low"}),
    "createWebhook": webhook,
    "listWebhooks": webhook_page,
    "createWorkspace": workspace,
    "updateWorkspace": changed_workspace,
    "listWorkspaces": workspace_page,
    "createKey": key,
    "updateKey": call_on_new(key, "PATCH", "/api/keys/{}", json={"monthly_budget_usd": 5}),
    "rotateKey": call_on_new(key, "POST", "/api/keys/{}/rotate", json={}),
    "listKeys": key_page,
    "uploadAnthropicFile": anthropic_file,
    "retrieveAnthropicFile": call_on_new(anthropic_file, "GET", ANTHROPIC_FILES + "/{}"),
    "listAnthropicFiles": list_page(anthropic_file, ANTHROPIC_FILES, cursor="after_id"),
    "createFile": openai_file,
    "retrieveFile": call_on_new(openai_file, "GET", FILES + "/{}"),
    "listFiles": list_page(openai_file, FILES, cursor="after"),
    "uploadUnifiedFile": unified_file,
    "retrieveUnifiedFile": call_on_new(unified_file, "GET", UNIFIED_FILES + "/{}", params=PROVIDER),
    "listUnifiedFiles": list_page(unified_file, UNIFIED_FILES, cursor="after", **PROVIDER),
}


# ---------------------------------------------------------------- following the links


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {"caller": ApiKeySettings(key=KEY["x-api-key"], scopes=SCOPES)}
    account = simulator(latency_by_model={"slow": 60.0})
    environment = {"BATCHGATE_MASTER_KEY": new_master_key()}
    settings: dict[str, Any] = {"accounts": {"openai": account}, "api_keys": keys, "shutdown_timeout": 0.0}
    async with running_app(tmp_path, environment=environment, **settings) as running:
        running.client.headers.update(KEY)
        yield running


def evaluate(expression: str, response_body: Any) -> Any:
    """Evaluate ``$response.body#/...``."""
    for key in expression.removeprefix("$response.body#/").split("/"):
        response_body = response_body[int(key) if key.isdecimal() else key]
    return response_body


@pytest.mark.parametrize("link", list(links()), ids=str)
async def test_following_a_link_returns_a_successful_response(app: RunningApp, link: Link) -> None:
    response_body = await EXAMPLE_RESPONSES[link.source](app)
    target = OPERATIONS[link.target]
    parameters = {name: evaluate(expression, response_body) for name, expression in link.parameters.items()}
    path = target.path.format_map(parameters)
    query = {name: parameter for name, parameter in parameters.items() if f"{{{name}}}" not in target.path}
    body = {name: evaluate(expression, response_body) for name, expression in link.body.items()}
    options: dict[str, Any] = {"json": REQUIRED | body} if body else {}
    if link.target in {"rotateKey", "rotateWebhook", "updateWebhook"}:
        options = {"json": {}}
    async with app.client.request(target.method, app.url + path, params=query, **options) as response:
        assert response.status == 200, await response.text()


def test_every_operation_with_links_has_an_example_response() -> None:
    assert {link.source for link in links()} == EXAMPLE_RESPONSES.keys()
