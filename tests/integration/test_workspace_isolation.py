"""Objects of another workspace are not found: in every operation, for every kind of object, on all mounts.

The test cases are generated from the operation table. A parameter or a field that is not classified here fails a test,
so that no operation can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from batchgate.encryption.fernet import new_master_key
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation
from tests.support import openai_batches, unified_batches
from tests.support.databases import DATABASES, DatabaseKind, new_database
from tests.support.openai_batches import CHAT, chat_line, jsonl, upload_lines
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.uploads import MULTIPART, upload, valid_form

OWNER, OTHER, ADMIN = ({"x-api-key": f"sk-{name}"} for name in ("owner", "other", "admin"))
PATH_IDS: Final = {"message_batch_id", "batch_id", "file_id", "webhook_id", "event_id"}
CURSORS: Final = {"after", "before", "after_id", "before_id", "page_token", "page"}
FILTERS: Final = {"ids[]"}
"""Parameters with ids that leave out objects instead of refusing a call."""
BODY_IDS: Final = {"input_file_id"}
REUSED_IDS: Final = {"batchgate-reuse", "reuse"}
"""A header and a field with the id of a batch; a create with that of a missing batch is refused as not found."""
BODIES_WITH_REQUESTS: Final = {
    "createMessageBatch": create_body("a"),
    "createBatch": {"endpoint": CHAT, "completion_window": "24h", "requests": [chat_line("a")]},
    "createUnifiedBatch": {"requests": unified_batches.chat_rows("a")},
}
NO_IDS: Final = {
    "Idempotency-Key",
    "anthropic-beta",
    "anthropic-user-profile-id",
    "anthropic-version",
    "account",
    "batchgate-budget-usd",
    "batchgate-concurrency",
    "batchgate-fail-fast",
    "batchgate-lane",
    "batchgate-metadata",
    "batchgate-name",
    "batchgate-priority",
    "batchgate-webhook-url",
    "created_after",
    "created_before",
    "Last-Event-ID",
    "limit",
    "max_seconds",
    "merged",
    "metadata",
    "max_text",
    "model",
    "name",
    "native_jobs",
    "order",
    "outcome",
    "page_size",
    "provider",
    "purpose",
    "q",
    "reason",
    "scope_id",
    "state",
    "status",
    "x-model-provider",
    "x-stainless-retry-count",
}
NO_BODY_IDS: Final = {
    "account",
    "lane",
    "completion_window",
    "concurrency",
    "content_type",
    "custom_ids",
    "endpoint",
    "events",
    "expires_at",
    "budget_usd",
    "fail_fast",
    "expires_after[anchor]",
    "expires_after[seconds]",
    "expires_in_seconds",
    "file",
    "filename",
    "metadata",
    "model",
    "name",
    "only",
    "output_expires_after",
    "overlap_seconds",
    "priority",
    "provider",
    "purpose",
    "requests",
    "scope",
    "url",
    "webhook",
    "webhook_url",
}
WEBHOOK: Final = {"url": "https://example.com/hook", "events": ["batch.failed"]}
BODIES: Final = {
    "moveBatchDeadline": {"expires_at": "2026-11-20T00:00:00Z"},
    "changeBatchBudget": {"budget_usd": 1},
    "setBatchPriority": {"priority": "high"},
    "setBatchLane": {"lane": "direct"},
    "setBatchConcurrency": {"concurrency": 4},
    "retryBatch": {},
    "updateWebhook": WEBHOOK,
    "rotateWebhook": {},
}
"""Valid bodies of operations that have an id in their path, by the id of the operation."""
ADMIN_TAGS: Final = {"Workspaces", "API Keys", "Secrets", "Accounts", "Settings"}
"""Operations on objects outside of workspaces: those with the scope admin can access all objects."""
WORKSPACE_OPERATIONS: Final = [o for o in OPERATIONS if o.authenticated and o.tag not in ADMIN_TAGS]
CALLS: Final = [
    pytest.param(operation, path, id=f"{operation.method} {path}")
    for operation in WORKSPACE_OPERATIONS
    for path in operation.paths
]
VOLATILE: Final = {"date", "request-id", "x-request-id"}

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class OwnedObjects:
    """A gateway in which a workspace has objects of each kind, and another one has a batch, a file and a webhook."""

    app: RunningApp
    ids: dict[str, str]
    """The ids of the owner's objects, by kind."""
    ids_of_the_other: set[str]


@asynccontextmanager
async def running(kind: DatabaseKind, folder: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose client uses the key of the owner by default."""
    keys = {
        "owner": ApiKeySettings(key="sk-owner", workspace="owners"),
        "other": ApiKeySettings(key="sk-other", workspace="others"),
        "admin": ApiKeySettings(key="sk-admin", workspace="office", scopes=SCOPES),
    }
    accounts = {"openai": simulator(latency_by_model={"slow": 300.0})}
    with new_database(kind, folder) as database:
        async with running_app(
            folder,
            accounts=accounts,
            api_keys=keys,
            shutdown_timeout=0.0,
            database_url=database.url,
            environment={"BATCHGATE_MASTER_KEY": new_master_key()},
        ) as app:
            app.client.headers.update(OWNER)
            yield app


@pytest.fixture(params=DATABASES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running(request.param, tmp_path) as app:
        yield app


@pytest_asyncio.fixture(params=DATABASES, scope="module", loop_scope="module")
async def owned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnedObjects]:
    """Make the objects once for all tests whose calls change none of them."""
    async with running(request.param, tmp_path_factory.mktemp("owned")) as app:
        ids = await create_objects_of_the_owner(app)
        batch, file = await app.create("own", headers=OTHER), await upload(app, headers=OTHER)
        _, webhook = await app.call("POST", "/api/webhooks", json=WEBHOOK, headers=OTHER)
        yield OwnedObjects(app, ids, {batch["id"], file["id"], webhook["id"]})


async def create_objects_of_the_owner(app: RunningApp) -> dict[str, str]:
    """Create one object of each kind, and return their ids by kind."""
    found: dict[str, str] = {}
    messages = await app.create("a", "b")
    await app.ended(messages["id"])
    found["messages"] = messages["id"]
    found["view of an input"] = f"file-input-{messages['id']}"
    found["view of an output"] = f"file-output-{messages['id']}"
    created = await openai_batches.create(app, chat_line("a"), chat_line("b", 1))
    settled_batch = await openai_batches.wait_for_final_status(app, created["id"])
    found["openai"], found["input"] = settled_batch["id"], settled_batch["input_file_id"]
    found["output"], found["errors"] = settled_batch["output_file_id"], settled_batch["error_file_id"]
    failed = await openai_batches.create(app, {"custom_id": "a"})
    found["failed"] = (await openai_batches.wait_for_final_status(app, failed["id"]))["id"]
    unified = await unified_batches.create(app, requests=unified_batches.chat_rows("a"))
    found["unified"] = (await unified_batches.wait_for_final_status(app, unified["id"]))["id"]
    status, running = await app.call("POST", BATCHES, json=create_body("a", model="slow"))
    assert status == 200
    found["running"] = running["id"]
    deleted = await app.create("a")
    await app.ended(deleted["id"])
    await app.call("DELETE", f"{BATCHES}/{deleted['id']}")
    found["deleted"] = deleted["id"]
    found["deleted file"] = await upload_lines(app, jsonl(chat_line("a")))
    await app.call("DELETE", f"/openai/v1/files/{found['deleted file']}")
    found["user data"] = await upload_lines(app, b"notes", purpose="user_data")
    _, webhook = await app.call("POST", "/api/webhooks", json=WEBHOOK)
    found["webhook"] = webhook["id"]
    return found


def similar_unknown_id(id_: str) -> str:
    """Return an id in the same format that no object has."""
    return f"{id_[:-6]}111111"


async def call_operation(
    app: RunningApp, operation: Operation, path: str, caller: dict[str, str], **options: Any
) -> Answer:
    params = dict(options.pop("params", {}))
    if operation.tag in {"Unified Files", "Unified Batches"}:
        params.setdefault("provider", "openai")
    headers = caller | options.pop("headers", {})
    async with app.client.request(
        operation.method, app.url + path, params=params, headers=headers, **options
    ) as response:
        kept = {name.lower(): value for name, value in response.headers.items() if name.lower() not in VOLATILE}
        body = re.sub(rb"req_01\w+", b"REQUEST", await response.read())
    if b'"latency":' in body:  # the number of digits in the latency varies
        body = re.sub(rb'"latency":\d+', b'"latency":0', body)
        kept.pop("content-length")
    return response.status, kept, body


def calls_with_id(operation: Operation, path: str, id_: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Put an id into each place that the operation has for one; return path and request options by place."""
    filled = re.sub(r"\{\w+\}", id_, path)
    places: dict[str, tuple[str, dict[str, Any]]] = {}
    if filled != path:
        places["path"] = filled, {"json": BODIES[operation.id]} if operation.id in BODIES else {}
    for name in operation.locations.keys() & (CURSORS | FILTERS):
        places[name] = filled, {"params": {name: id_}}
    if operation.body is not None and any(field.name in BODY_IDS for field in msgspec.structs.fields(operation.body)):
        places["body"] = filled, {"json": openai_batches.create_body(id_)}
    if operation.id in BODIES_WITH_REQUESTS:
        body, header = BODIES_WITH_REQUESTS[operation.id], "batchgate-reuse"
        named = {"headers": {header: id_}} if header in operation.locations else {}
        places["reuse"] = filled, {"json": body if named else body | {"reuse": id_}} | named
    return places


async def lists_of_the_owner(app: RunningApp) -> list[Answer]:
    """Return all lists as the owner sees them; the counts of the running batch do not change."""
    lists = [operation for operation in WORKSPACE_OPERATIONS if is_list(operation)]
    return [await call_operation(app, operation, operation.paths[0], OWNER) for operation in lists]


def is_list(operation: Operation) -> bool:
    """Return whether an operation lists objects of the workspace; not of a part of one."""
    return operation.method == "GET" and operation.id.startswith("list") and "{" not in operation.paths[0]


def test_every_parameter_is_classified_as_an_id_or_not() -> None:
    for operation in WORKSPACE_OPERATIONS:
        names = operation.locations.keys()
        assert not names - PATH_IDS - CURSORS - FILTERS - REUSED_IDS - NO_IDS, operation.id
        assert {name for name, place in operation.locations.items() if place == "path"} <= PATH_IDS, operation.id
        if operation.body is not None:
            fields = {field.encode_name for field in msgspec.structs.fields(operation.body)}
            assert not fields - BODY_IDS - REUSED_IDS - NO_BODY_IDS - set(operation.ignored), operation.id


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("operation", "path"), CALLS)
async def test_an_object_of_another_workspace_gets_the_same_response_as_a_missing_object(
    owned: OwnedObjects, operation: Operation, path: str
) -> None:
    app = owned.app
    before = await lists_of_the_owner(app)
    for kind, id_ in owned.ids.items():
        for place, (called_path, options) in calls_with_id(operation, path, id_).items():
            for caller in (OTHER, ADMIN):
                answer = await call_operation(app, operation, called_path, caller, **options)
                (unknown_call,) = (
                    call
                    for name, call in calls_with_id(operation, path, similar_unknown_id(id_)).items()
                    if name == place
                )
                status, headers, body = await call_operation(app, operation, unknown_call[0], caller, **unknown_call[1])
                expected = (status, headers, body.replace(similar_unknown_id(id_).encode(), id_.encode()))
                assert answer == expected, f"{kind} in {place}"
                is_in_path = place == "path" or "{" in path
                expected_status = 404 if is_in_path or place == "reuse" else 200 if place in FILTERS else 400
                assert answer[0] == expected_status, f"{kind} in {place}: {answer[2]!r}"
                assert place not in FILTERS or b'"data":[]' in answer[2]
    assert await lists_of_the_owner(app) == before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("operation", "path"),
    [call for call in CALLS if is_list(call.values[0])],  # type: ignore[arg-type]
)
async def test_a_list_shows_no_object_of_another_workspace(
    owned: OwnedObjects, operation: Operation, path: str
) -> None:
    answer = await call_operation(owned.app, operation, path, OTHER)
    shown = {entry["id"] for entry in msgspec.json.decode(answer[2])["data"]}
    assert shown <= owned.ids_of_the_other
    assert len(shown) == 1
    assert not [id_ for id_ in owned.ids.values() if id_.encode() in answer[2]]
    assert b'"data":[]' in (await call_operation(owned.app, operation, path, ADMIN))[2]


async def test_an_idempotency_key_of_another_workspace_does_not_match(app: RunningApp) -> None:
    key = {"Idempotency-Key": "the same", "x-stainless-retry-count": "1"}
    first = await app.create("a", headers=key)
    second = await app.create("a", headers=OTHER | key)
    other = await app.create("b", headers=ADMIN | key)
    assert len({first["id"], second["id"], other["id"]}) == 3
    assert (await app.create("a", headers=key))["id"] == first["id"]


async def test_an_equal_create_of_another_workspace_is_not_a_retry(app: RunningApp) -> None:
    retried = {"x-stainless-retry-count": "1"}
    first = await app.create("a", headers=retried)
    assert (await app.create("a", headers=retried))["id"] == first["id"]
    assert (await app.create("a", headers=OTHER | retried))["id"] != first["id"]


async def test_an_upload_belongs_only_to_the_workspace_of_its_key(app: RunningApp) -> None:
    for path in ("/openai/v1/files", "/openai/files"):
        form = valid_form()
        status, file = await app.call("POST", path, data=BytesIO(form), headers=MULTIPART | OTHER)
        assert status == 200
        assert (await app.call("GET", f"/openai/v1/files/{file['id']}"))[0] == 404
        assert (await app.call("GET", f"/openai/v1/files/{file['id']}", headers=OTHER))[0] == 200
