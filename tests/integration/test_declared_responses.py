"""A live gateway returns every response status that the spec declares; exceptions are listed here with a reason."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from batchgate.api import request_body
from batchgate.encryption.fernet import new_master_key
from batchgate.engine.model.api_key import SCOPES
from batchgate.engine.model.clock import HOUR
from batchgate.engine.model.times import rfc3339
from batchgate.settings import ApiKeySettings
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation
from tests.support import openai_batches
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.uploads import MULTIPART, form, upload, valid_form

KEY = {"x-api-key": "sk-bf-known"}

UNREACHABLE = {500: "a fault of the gateway itself: no call causes one on purpose"}
TOO_LONG_ID = "x" * 129
CREATE = "createMessageBatch"
CREATE_OF_FILE = "createBatch"
CREATE_UNIFIED = "createUnifiedBatch"
VALIDATE = "validateBatch"
OF_RUNNING_BATCHES = (
    "cancelBatch",
    "cancelAnyBatch",
    "pauseBatch",
    "moveBatchDeadline",
    "changeBatchBudget",
    "setBatchPriority",
    "setBatchLane",
    "setBatchConcurrency",
)
MOVE_DEADLINE = "moveBatchDeadline"
PUT_SECRET = "putSecret"
RETRY = "retryBatch"
DELETE_SECRET = "deleteSecret"
CREATE_SESSION = "createSession"
TEST_ACCOUNT = "testAccount"
LISTS = (
    "listMessageBatches",
    "listAnthropicFiles",
    "listFiles",
    "listBatches",
    "listUnifiedFiles",
    "listUnifiedBatches",
    "listAllBatches",
    "listWorkspaces",
    "listKeys",
    "listWebhookDeliveries",
    "listBatchRows",
)
INVALID_QUERIES = {
    **{operation: {"limit": "0"} for operation in LISTS},
    "streamEvents": {"max_seconds": "0"},
    "getUsage": {"since": "yesterday"},
}
TENANT_BODIES = {
    "createWorkspace": {"name": "another"},
    "updateWorkspace": {"quotas": {}},
    "createKey": {"name": "key"},
    "updateKey": {"monthly_budget_usd": 5},
    "rotateKey": {},
}
"""Valid bodies of the operations that manage tenants."""
WEBHOOK_BODIES = {
    "createWebhook": {"url": "https://example.com/hook"},
    "updateWebhook": {"events": ["batch.failed"]},
    "rotateWebhook": {},
}
"""Valid bodies of the operations on webhooks."""
CONTROL_BODIES = {
    "changeBatchBudget": {"budget_usd": 1},
    "setBatchPriority": {"priority": "high"},
    "setBatchLane": {"lane": "direct"},
    "setBatchConcurrency": {"concurrency": 4},
}
FIXED_BODIES = TENANT_BODIES | WEBHOOK_BODIES | CONTROL_BODIES | {RETRY: {"custom_ids": ["a"]}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {"caller": ApiKeySettings(key="sk-bf-known", scopes=SCOPES)}
    environment = {"BATCHGATE_MASTER_KEY": new_master_key()}
    async with running_app(
        tmp_path,
        environment=environment,
        accounts={"openai": simulator(latency_by_model={"slow": 60.0})},
        api_keys=keys,
        shutdown_timeout=0.0,
    ) as running:
        running.client.headers.update(KEY)
        yield running


def path_of(operation: Operation, id_: str) -> str:
    """Return the path of an operation on an object; that of an event is ``webhook/event``."""
    id_, _, event_id = id_.partition("/")
    names = ("message_batch_id", "batch_id", "file_id", "workspace", "key_id", "name", "webhook_id", "account")
    return operation.paths[0].format(**dict.fromkeys(names, id_), event_id=event_id or id_)


def is_upload(operation: Operation) -> bool:
    return operation.media_type == "multipart/form-data"


async def call_operation(app: RunningApp, operation: Operation, id_: str = "msgbatch_01nobody", **options: Any) -> int:
    """Call an operation; by default a create or an upload is sent with a valid body and a provider."""
    if operation.id in (CREATE, CREATE_UNIFIED, VALIDATE) and not options.keys() & {"data", "json"}:
        options["json"] = create_body("a")
    if operation.id == CREATE_OF_FILE and not options.keys() & {"data", "json"}:
        options["json"] = openai_batches.create_body("file-nobody")
    if operation.id == PUT_SECRET and not options.keys() & {"data", "json"}:
        options["json"] = {"value": "sk-any"}
    if operation.id == CREATE_SESSION and not options.keys() & {"data", "json"}:
        options["json"] = {"api_key": (KEY | options.get("headers", {}))["x-api-key"]}
    if operation.id == MOVE_DEADLINE and not options.keys() & {"data", "json"}:
        options["json"] = {"expires_at": rfc3339(app.clock.now() + HOUR)}
    if operation.id in FIXED_BODIES and not options.keys() & {"data", "json"}:
        options["json"] = FIXED_BODIES[operation.id]
    if is_upload(operation):
        options = {"data": valid_form()} | options | {"headers": MULTIPART | options.get("headers", {})}
    if operation.tag in ("Unified Files", "Unified Batches"):
        options["params"] = {"provider": "openai"} | options.get("params", {})
    if "max_seconds" in operation.locations:
        options["params"] = {"max_seconds": "1"} | options.get("params", {})
    url = app.url + path_of(operation, id_)
    async with app.client.request(operation.method, url, **options) as response:
        await response.read()
        return response.status


async def create_managed_object(app: RunningApp, operation: Operation) -> str:
    """Create the webhook, the workspace or the key that the operation manages, and return its name or id."""
    if "webhook_id" in operation.locations:
        _, webhook = await app.call("POST", "/api/webhooks", json=WEBHOOK_BODIES["createWebhook"])
        _, delivery = await app.call("POST", f"/api/webhooks/{webhook['id']}/test")
        return f"{webhook['id']}/{delivery['event_id']}"
    await app.call("POST", "/api/workspaces", json={"name": "tenant"})
    if "key_id" not in operation.locations:
        return "tenant"
    _, key = await app.call("POST", "/api/workspaces/tenant/keys", json={"name": "key"})
    assert isinstance(key["id"], str)
    return key["id"]


async def valid_call(app: RunningApp, operation: Operation, **options: Any) -> int:
    if operation.locations.keys() & {"workspace", "key_id", "webhook_id"}:
        return await call_operation(app, operation, await create_managed_object(app, operation), **options)
    if "file_id" in operation.locations:
        return await call_operation(app, operation, (await upload(app))["id"], **options)
    if operation.id == DELETE_SECRET:
        await app.call("PUT", "/api/secrets/prod", json={"value": "sk-any"})
    if operation.tag == "Secrets" or operation.id == TEST_ACCOUNT:
        id_, params = ("openai", {"model": "any"}) if operation.id == TEST_ACCOUNT else ("prod", {})
        return await call_operation(app, operation, id_, params=params, **options)
    if operation.id == CREATE_OF_FILE:
        body = openai_batches.create_body((await upload(app))["id"])
        return await call_operation(app, operation, json=body, **options)
    if operation.id in OF_RUNNING_BATCHES:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", model="slow"))
        return await call_operation(app, operation, batch["id"], **options)
    return await call_for_an_ended_batch(app, operation, **options)


async def call_for_an_ended_batch(app: RunningApp, operation: Operation, **options: Any) -> int:
    batch = await app.ended((await app.create("a"))["id"])
    return await call_operation(app, operation, batch["id"], **options)


async def invalid_call(app: RunningApp, operation: Operation) -> int:
    if operation.id in {*FIXED_BODIES, MOVE_DEADLINE, CREATE_SESSION}:
        return await call_operation(app, operation, json={"nothing": 1})
    if operation.id in (CREATE, CREATE_OF_FILE, CREATE_UNIFIED, VALIDATE):
        return await call_operation(app, operation, json={})
    if is_upload(operation):
        return await call_operation(app, operation, data=form())
    if operation.id in INVALID_QUERIES:
        return await call_operation(app, operation, params=INVALID_QUERIES[operation.id])
    return await call_operation(app, operation, TOO_LONG_ID)


async def call_with_an_unknown_key(app: RunningApp, operation: Operation) -> int:
    return await call_operation(app, operation, headers={"x-api-key": "sk-bf-unknown"})


async def call_with_an_unknown_host(app: RunningApp, operation: Operation) -> int:
    async with running_app(app.data_dir / "without-keys") as app_without_keys:
        return await call_operation(app_without_keys, operation, headers={"Host": "stranger.example"})


async def call_after_the_last_event(app: RunningApp, operation: Operation) -> int:
    return await call_for_an_ended_batch(app, operation, headers={"Last-Event-ID": "9" * 18})


async def call_for_an_unknown_id(app: RunningApp, operation: Operation) -> int:
    if operation.id == CREATE_UNIFIED:
        return await call_operation(app, operation, json=create_body("a") | {"reuse": "msgbatch_01nobody"})
    if operation.id in (CREATE, CREATE_OF_FILE):
        return await valid_call(app, operation, headers={"batchgate-reuse": "msgbatch_01nobody"})
    return await call_operation(app, operation)


async def call_with_another_method(app: RunningApp, operation: Operation) -> int:
    used_methods = {other.method for other in OPERATIONS if operation.paths[0] in other.paths}
    unused_method = next(method for method in ("PATCH", "PUT") if method not in used_methods)
    async with app.client.request(unused_method, app.url + path_of(operation, "x")) as response:
        return response.status


async def call_with_a_stalled_body(app: RunningApp, operation: Operation) -> int:
    waiting = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield valid_form()[:20] if is_upload(operation) else b'{"requests": ['
        await waiting.wait()

    try:
        return await call_operation(app, operation, data=body(), headers=MULTIPART if is_upload(operation) else JSON)
    finally:
        waiting.set()


async def call_with_a_too_large_body(app: RunningApp, operation: Operation) -> int:
    address = app.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    head = f"{operation.method} {path_of(operation, 'prod')} HTTP/1.1\r\nHost: x\r\nx-api-key: sk-bf-known\r\n"
    content_type = (MULTIPART if is_upload(operation) else JSON)["Content-Type"]
    writer.write(f"{head}Content-Type: {content_type}\r\nContent-Length: {10**9}\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def call_with_another_content_type(app: RunningApp, operation: Operation) -> int:
    return await call_operation(app, operation, data=b"requests", headers={"Content-Type": "text/plain"})


async def call_with_a_range_beyond_the_end(app: RunningApp, operation: Operation) -> int:
    return await valid_call(app, operation, headers={"Range": "bytes=1000000-", "Accept-Encoding": "identity"})


async def call_with_the_idempotency_key_of_another_batch(app: RunningApp, operation: Operation) -> int:
    headers = {"Idempotency-Key": "taken"}
    assert await valid_call(app, operation, headers=headers) == 200
    if operation.id in (CREATE_OF_FILE, RETRY):
        return await valid_call(app, operation, headers=headers)
    return await call_operation(app, operation, headers=headers, json=create_body("another"))


async def call_with_many_unknown_keys(app: RunningApp, operation: Operation) -> int:
    while (status := await call_with_an_unknown_key(app, operation)) == 401:
        pass
    return status


async def call_over_a_quota(app: RunningApp, operation: Operation) -> int:
    if not is_upload(operation) and operation.id not in (CREATE, CREATE_OF_FILE, CREATE_UNIFIED):
        return await call_with_many_unknown_keys(app, operation)
    quotas = {"stored_bytes": 0} if is_upload(operation) else {"concurrent_batches": 0}
    file = await upload(app)
    await app.call("PATCH", "/api/workspaces/default", json={"quotas": quotas})
    if operation.id == CREATE_OF_FILE:
        return await call_operation(app, operation, json=openai_batches.create_body(file["id"]))
    return await call_operation(app, operation)


async def call_with_a_broken_database(app: RunningApp, operation: Operation) -> int:
    connection = sqlite3.connect(app.data_dir / "batchgate.db")
    for table in ("batches", "files", "workspaces", "api_keys", "secrets", "webhooks", "daily_usage"):
        connection.execute(f"ALTER TABLE {table} RENAME TO no_{table}")
    connection.close()
    options: dict[str, Any] = {"json": {"input_file_id": "file-any"}} if operation.id == VALIDATE else {}
    if operation.tag == "Sessions":  # a key of the settings needs no database
        options["headers"] = {"x-api-key": "bg-unknown"}
    return await call_operation(app, operation, **options)


CALL_FOR_STATUS: dict[int, Callable[[RunningApp, Operation], Awaitable[int]]] = {
    200: valid_call,
    204: call_after_the_last_event,
    400: invalid_call,
    401: call_with_an_unknown_key,
    403: call_with_an_unknown_host,
    404: call_for_an_unknown_id,
    409: call_for_an_ended_batch,
    405: call_with_another_method,
    408: call_with_a_stalled_body,
    413: call_with_a_too_large_body,
    415: call_with_another_content_type,
    416: call_with_a_range_beyond_the_end,
    429: call_over_a_quota,
    422: call_with_the_idempotency_key_of_another_batch,
    503: call_with_a_broken_database,
    529: call_with_a_broken_database,
}
DECLARED = [
    pytest.param(operation, status, id=f"{operation.id}-{status}")
    for operation in OPERATIONS
    for status in operation.responses
    if status not in UNREACHABLE
]


@pytest.mark.parametrize(("operation", "status"), DECLARED)
async def test_a_live_gateway_returns_every_declared_status(
    app: RunningApp, operation: Operation, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "READ_TIMEOUT", 0.05)
    async with asyncio.timeout(120):
        assert await CALL_FOR_STATUS[status](app, operation) == status
