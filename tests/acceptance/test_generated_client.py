"""Every operation on unified files and batches, workspaces and keys with the generated client, sync and async."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import pkgutil
import time
from collections.abc import Iterator
from datetime import date
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from batchgate_client import AuthenticatedClient, api
from batchgate_client.models import (
    BatchMetadata,
    CreateKey,
    CreateUnifiedBatch,
    CreateWorkspace,
    GatewayError,
    QuotaChanges,
    RawObject,
    RotateKey,
    UnifiedBatch,
    UnifiedBatchRequest,
    UnifiedError,
    UnifiedFile,
    UpdateKey,
    UpdateWorkspace,
    UploadUnifiedFile,
)
from batchgate_client.types import File
from tests.acceptance.conftest import ADMIN_KEY, API_KEY
from tests.support.gateway_process import GatewayProcess

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


class Operations:
    """The operations of one tag, called by name; ``called`` contains the names of those that were called."""

    def __init__(self, url: str, tag: str, *, wait: bool, token: str = API_KEY) -> None:
        self._token = token
        self._url = url
        self._package: ModuleType = importlib.import_module(f"{api.__name__}.{tag}")
        self._wait = wait
        self.names = {module.name for module in pkgutil.iter_modules(self._package.__path__)}
        self.called: set[str] = set()

    def __call__(self, name: str, *arguments: Any, status: int = 200, token: str | None = None, **options: Any) -> Any:
        """Call an operation, check the status of its response and return the parsed body."""
        self.called.add(name)
        operation = importlib.import_module(f"{self._package.__name__}.{name}")
        call = self._call_sync if self._wait else self._call_async
        response = call(
            operation, AuthenticatedClient(base_url=self._url, token=token or self._token), *arguments, **options
        )
        assert response.status_code == status, response.content
        assert response.parsed is not None
        return response.parsed

    def _call_sync(self, operation: ModuleType, client: AuthenticatedClient, *arguments: Any, **options: Any) -> Any:
        with client:
            return operation.sync_detailed(*arguments, client=client, **options)

    def _call_async(self, operation: ModuleType, client: AuthenticatedClient, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with client:
                return await operation.asyncio_detailed(*arguments, client=client, **options)

        return asyncio.run(run())


@pytest.fixture(params=[True, False], ids=["sync", "async"])
def files(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Iterator[Operations]:
    operations = Operations(gateway.url, "unified_files", wait=request.param)
    yield operations
    for file in operations("list_unified_files", provider="cohere").data:
        operations("delete_unified_file", file.id, provider="cohere")


def form(content: bytes = LINE, purpose: Any = "batch", name: str = "a.jsonl") -> UploadUnifiedFile:
    return UploadUnifiedFile(file=File(io.BytesIO(content), name, "application/jsonl"), purpose=purpose)


def test_every_operation_on_files_works(files: Operations) -> None:
    first = files("upload_unified_file", body=form(), provider="cohere")
    assert isinstance(first, UnifiedFile)
    assert (first.filename, first.bytes_, first.purpose, first.status) == ("a.jsonl", len(LINE), "batch", "processed")
    assert (first.extra_fields.request_type, first.extra_fields.provider) == ("file_upload", "cohere")
    second = files("upload_unified_file", body=form(b"notes", "user_data"), x_model_provider="cohere")
    found = files("retrieve_unified_file", first.id, provider="cohere")
    assert (found.id, found.created_at, found.expires_at) == (first.id, first.created_at, first.expires_at)
    assert files("download_unified_file", first.id, provider="cohere").payload.read() == LINE
    page = files("list_unified_files", provider="cohere", limit=1)
    assert ([file.id for file in page.data], page.has_more) == ([second.id], True)
    next_page = files("list_unified_files", x_model_provider="cohere", after=page.after)
    assert ([file.id for file in next_page.data], next_page.has_more) == ([first.id], False)
    deleted = files("delete_unified_file", first.id, provider="cohere")
    assert (deleted.id, deleted.deleted) == (first.id, True)
    assert files.called == files.names


def test_a_file_that_contains_the_end_of_a_form_is_stored_byte_for_byte(files: Operations) -> None:
    content = b"a\r\n--+++\r\nb\r\n--+++--\r\nc"
    file = files("upload_unified_file", body=form(content, "user_data"), provider="cohere")
    assert files("download_unified_file", file.id, provider="cohere").payload.read() == content


def test_the_client_parses_the_errors_of_file_operations(files: Operations) -> None:
    error = files("retrieve_unified_file", "file-nobody", provider="cohere", status=404)
    assert isinstance(error, UnifiedError)
    assert "no file 'file-nobody'" in error.error.message
    error = files("upload_unified_file", body=form(), provider="nobody", status=400)
    assert (error.error.param, error.status_code) == ("provider", 400)
    assert "'nobody' is not configured" in error.error.message
    assert files("list_unified_files", provider="cohere", token="wrong", status=401).status_code == 401


@pytest.fixture(params=[True, False], ids=["sync", "async"])
def batches(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Operations:
    return Operations(gateway.url, "unified_batches", wait=request.param)


def rows(count: int, model: str = "simulated") -> list[UnifiedBatchRequest]:
    body = RawObject.from_dict({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    return [UnifiedBatchRequest(f"r-{number}", body=body) for number in range(count)]


def wait_until_ended(batches: Operations, batch_id: str) -> UnifiedBatch:
    """Poll a batch until its status is terminal."""
    while True:
        batch = batches("retrieve_unified_batch", batch_id, provider="anthropic")
        assert isinstance(batch, UnifiedBatch)
        if batch.status in {"completed", "ended", "canceled"}:
            return batch
        time.sleep(0.05)


def test_every_operation_on_batches_works(batches: Operations) -> None:
    first = batches("create_unified_batch", body=CreateUnifiedBatch(requests=rows(3)), provider="anthropic")
    assert isinstance(first, UnifiedBatch)
    assert (first.endpoint, first.request_counts.total) == ("/v1/chat/completions", 3)
    assert (first.extra_fields.request_type, first.extra_fields.provider) == ("batch_create", "anthropic")
    done = wait_until_ended(batches, first.id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 3, 0)
    results = batches("retrieve_unified_batch_results", first.id, provider="anthropic").payload.read().splitlines()
    assert [json.loads(line)["custom_id"] for line in results] == ["r-0", "r-1", "r-2"]
    create = CreateUnifiedBatch(requests=rows(2, "slow"), metadata=BatchMetadata.from_dict({"by": "test"}))
    second = batches("create_unified_batch", body=create, x_model_provider="anthropic")
    assert second.metadata.to_dict() == {"by": "test"}
    page = batches("list_unified_batches", provider="anthropic", limit=1)
    assert ([batch.id for batch in page.data], page.has_more) == ([second.id], True)
    older = batches("list_unified_batches", provider="anthropic", limit=1, after=page.last_id)
    assert [batch.id for batch in older.data] == [first.id]
    canceled = batches("cancel_unified_batch", second.id, provider="anthropic")
    assert canceled.id == second.id
    assert wait_until_ended(batches, second.id).status == "canceled"
    assert batches.called == batches.names


def test_a_batch_of_messages_can_be_read_on_the_unified_surface(batches: Operations) -> None:
    params = {"model": "simulated", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
    request = UnifiedBatchRequest("r-0", params=RawObject.from_dict(params))
    created = batches("create_unified_batch", body=CreateUnifiedBatch(requests=[request]), provider="anthropic")
    done = wait_until_ended(batches, created.id)
    assert (done.status, done.processing_status, done.endpoint) == ("ended", "ended", "/v1/messages")


def test_the_client_parses_the_errors_of_batch_operations(batches: Operations) -> None:
    error = batches("retrieve_unified_batch", "batch_nobody", provider="anthropic", status=404)
    assert isinstance(error, UnifiedError)
    assert "batch_nobody" in error.error.message
    error = batches("create_unified_batch", body=CreateUnifiedBatch(), provider="anthropic", status=400)
    assert isinstance(error, UnifiedError)


@pytest.fixture(params=[True, False], ids=["sync", "async"])
def tenants(request: pytest.FixtureRequest, gateway: GatewayProcess) -> tuple[Operations, Operations]:
    workspaces = Operations(gateway.url, "workspaces", wait=request.param, token=ADMIN_KEY)
    return workspaces, Operations(gateway.url, "api_keys", wait=request.param, token=ADMIN_KEY)


def test_every_operation_on_workspaces_and_keys_works(tenants: tuple[Operations, Operations]) -> None:
    workspaces, keys = tenants
    name = f"team-{uuid4()}"
    quotas = QuotaChanges(concurrent_batches=5, monthly_spend_usd=1.5)
    made = workspaces("create_workspace", body=CreateWorkspace(name, quotas=quotas))
    assert (made.name, made.quotas.concurrent_batches, made.quotas.stored_bytes) == (name, 5, None)
    changed = workspaces("update_workspace", name, body=UpdateWorkspace(QuotaChanges(concurrent_batches=None)))
    assert (changed.quotas.concurrent_batches, changed.quotas.monthly_spend_usd) == (None, 1.5)
    assert name in [workspace.name for workspace in workspaces("list_workspaces", limit=1000).data]
    key = keys("create_key", name, body=CreateKey("ci", expires_in_seconds=3600))
    usage = workspaces("get_usage", by="model,key", since=date(2026, 1, 1), token=key.key)
    assert (usage.workspace.name, usage.workspace.use.concurrent_batches) == (name, 0)
    assert (usage.data, usage.total.cost_usd) == ([], 0)
    budget = keys("update_key", key.id, body=UpdateKey(monthly_budget_usd=2.5))
    assert (budget.monthly_budget_usd, budget.monthly_spend_usd) == (2.5, 0)
    new = keys("rotate_key", key.id, body=RotateKey(grace_seconds=60))
    assert keys("get_key", new.id).hint == new.key[-4:]
    page = keys("list_keys", name, limit=1)
    assert ([entry.id for entry in page.data], page.has_more) == ([new.id], True)
    assert [entry.id for entry in keys("list_keys", name, after=page.last_id).data] == [key.id]
    for ended_key in (key, new):
        assert keys("revoke_key", ended_key.id).revoked_at is not None
    error = workspaces("get_usage", token=new.key, status=401)
    assert isinstance(error, GatewayError)
    assert workspaces("archive_workspace", name).archived
    assert workspaces("get_workspace", name, status=404).error.type_ == "not_found_error"
    assert (workspaces.called, keys.called) == (workspaces.names, keys.names)
