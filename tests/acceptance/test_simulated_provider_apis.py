"""The exam of the simulated batch APIs that have a form of their own: the provider's official SDK drives each.

The SDKs are unchanged. xAI's speaks gRPC for batches, so its REST API is driven without one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from fireworks import AsyncFireworks, PermissionDeniedError
from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from openrouter import OpenRouter
from openrouter.errors import OpenRouterError
from together import AsyncTogether, ConflictError

from tests.support.simulated_batches import SimulatedProviders, simulated_providers

CHAT: Final = "/v1/chat/completions"
RUNNING: Final = 20.0
"""Seconds to the half of the rows."""
DONE: Final = 60.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


def body(content: Any, **fields: Any) -> dict[str, Any]:
    """Return a request to a model; the simulated model refuses content that is a number."""
    return {"model": "sim-1", "messages": [{"role": "user", "content": content}], **fields}


def jsonl(*ids: str, bad: str = "", **fields: Any) -> bytes:
    """Return the content of an input file, with one row that will be refused."""
    lines = [{"custom_id": id_, "body": body(1 if id_ == bad else f"I am {id_}", **fields)} for id_ in ids]
    return "\n".join(json.dumps(line) for line in lines).encode()


def rows(content: bytes) -> dict[str, Any]:
    """Read a result file by custom_id."""
    return {row["custom_id"]: row for row in map(json.loads, content.splitlines())}


@pytest.mark.sdk_exam("mistral", lane="native", sdk="mistralai")
async def test_mistral_from_upload_to_results(providers: SimulatedProviders) -> None:
    async with Mistral(api_key="k", server_url=f"{providers.url}/mistral") as client:
        file = await client.files.upload_async(
            file={"file_name": "rows.jsonl", "content": jsonl("a", "b", "c", bad="b")}, purpose="batch"
        )
        assert (file.sample_type, file.source, file.num_lines) == ("batch_request", "upload", 3)
        job = await client.batch.jobs.create_async(
            input_files=[file.id], endpoint=CHAT, model="sim-1", metadata={"job": "7"}
        )
        assert (job.status, job.total_requests) == ("QUEUED", 0)
        await providers.advance(RUNNING)
        job = await client.batch.jobs.get_async(job_id=job.id)
        assert (job.status, job.succeeded_requests) == ("RUNNING", 1)
        await providers.advance(DONE)
        job = await client.batch.jobs.get_async(job_id=job.id)
        assert (job.status, job.succeeded_requests, job.failed_requests) == ("SUCCESS", 2, 1)
        assert [(error.message, error.count) for error in job.errors] == [("HTTP Error, status code: 400", 1)]
        assert isinstance(job.output_file, str)
        assert isinstance(job.error_file, str)
        good = rows(await (await client.files.download_async(file_id=job.output_file)).aread())
        bad = rows(await (await client.files.download_async(file_id=job.error_file)).aread())
        assert good.keys() == {"a", "c"}
        assert json.loads(bad["b"]["response"]["body"])["code"] == "3310"
        listed = await client.batch.jobs.list_async(order_by="-created")
        assert [found.id for found in listed.data or []] == [job.id]
        assert (await client.files.delete_async(file_id=file.id)).deleted


async def test_mistral_refuses_a_file_and_cancels_a_job(providers: SimulatedProviders) -> None:
    async with Mistral(api_key="k", server_url=f"{providers.url}/mistral") as client:
        with pytest.raises(MistralError) as caught:
            await client.files.upload_async(
                file={"file_name": "rows.jsonl", "content": jsonl("a", temperature=2.0)}, purpose="batch"
            )
        assert caught.value.status_code == 422
        assert json.loads(caught.value.body)["detail"] == "Invalid file format."
        file = await client.files.upload_async(
            file={"file_name": "rows.jsonl", "content": jsonl("a", "b")}, purpose="batch"
        )
        job = await client.batch.jobs.create_async(input_files=[file.id], endpoint=CHAT, model="sim-1")
        await providers.advance(RUNNING)
        assert (await client.batch.jobs.cancel_async(job_id=job.id)).status == "CANCELLATION_REQUESTED"
        await providers.advance(DONE)
        job = await client.batch.jobs.get_async(job_id=job.id)
        assert (job.status, job.succeeded_requests) == ("CANCELLED", 1)


async def test_together_from_upload_to_results(providers: SimulatedProviders, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl("a", "b", "c", bad="b"))
    async with AsyncTogether(api_key="k", base_url=f"{providers.url}/together", max_retries=0) as client:
        file = await client.files.upload(tmp_path / "rows.jsonl", purpose="batch-api")
        assert (file.filename, file.purpose, file.bytes) == (
            "rows.jsonl",
            "batch-api",
            len(jsonl("a", "b", "c", bad="b")),
        )
        job = (await client.batches.create(input_file_id=file.id, endpoint=CHAT)).job
        assert job is not None
        assert job.id is not None
        assert (job.status, job.output_file_id) == ("VALIDATING", None)
        await providers.advance(RUNNING)
        running = await client.batches.retrieve(job.id)
        assert running.status == "IN_PROGRESS"
        assert running.progress is not None
        assert 0 < running.progress < 100
        await providers.advance(DONE)
        ended = await client.batches.retrieve(job.id)
        assert ended.status == "COMPLETED"
        assert ended.output_file_id is not None
        assert ended.error_file_id is not None
        good = rows(await (await client.files.content(ended.output_file_id)).read())
        bad = rows(await (await client.files.content(ended.error_file_id)).read())
        assert good.keys() == {"a", "c"}
        assert bad["b"]["error"]["code"] == "batch_client_error"
        assert [listed.id for listed in await client.batches.list()] == [job.id]
        assert (await client.files.delete(file.id)).deleted


async def test_together_finds_a_missing_file_late_and_refuses_to_cancel_what_has_ended(
    providers: SimulatedProviders,
) -> None:
    async with AsyncTogether(api_key="k", base_url=f"{providers.url}/together", max_retries=0) as client:
        job = (await client.batches.create(input_file_id="file-unknown", endpoint=CHAT)).job
        assert job is not None
        assert job.id is not None
        await providers.advance(DONE)
        failed = await client.batches.retrieve(job.id)
        assert (failed.status, failed.output_file_id) == ("FAILED", None)
        assert failed.error is not None
        assert failed.error.startswith("Failed to download input file")
        with pytest.raises(ConflictError):
            await client.batches.cancel(job.id)


@pytest.mark.sdk_exam("openrouter", lane="native", sdk="openrouter")
async def test_openrouter_from_create_to_results(providers: SimulatedProviders) -> None:
    requests: Any = [{"custom_id": id_, "body": body(1 if id_ == "b" else f"I am {id_}")} for id_ in ("a", "b", "c")]
    async with OpenRouter(api_key="k", server_url=f"{providers.url}/openrouter/api/v1") as client:
        made = await client.batch.create_batches_async(endpoint=CHAT, model="sim-1", requests=requests)
        assert (made.status, made.request_counts.total, made.results) == ("validating", 3, None)
        await providers.advance(RUNNING)
        running = await client.batch.get_batches_async(id=made.id)
        assert (running.status, running.request_counts.completed, running.results) == ("in_progress", 1, None)
        with pytest.raises(OpenRouterError) as caught:
            await client.batch.delete_async(id=made.id)
        assert caught.value.status_code == 409
        await providers.advance(DONE)
        ended = await client.batch.get_batches_async(id=made.id)
        assert (ended.status, ended.request_counts.failed) == ("completed", 1)
        assert ended.usage is not None
        assert ended.usage.cost is not None
        found = {result.custom_id: result for result in ended.results or []}
        assert found.keys() == {"a", "b", "c"}
        assert found["a"].error is None
        assert found["b"].response is None
        listed = await client.batch.list_async()
        assert listed is not None
        assert [batch.id for batch in listed.result.data] == [made.id]
        assert (await client.batch.delete_async(id=made.id)).deletion.openrouter == "deleted"


async def test_openrouter_refuses_early_what_it_can_see_and_fails_later_for_the_rest(
    providers: SimulatedProviders,
) -> None:
    async with OpenRouter(api_key="k", server_url=f"{providers.url}/openrouter/api/v1") as client:
        twice: Any = [{"custom_id": "a", "body": body("Hi")}] * 2
        with pytest.raises(OpenRouterError) as caught:
            await client.batch.create_batches_async(endpoint=CHAT, model="sim-1", requests=twice)
        assert caught.value.status_code == 422
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
        requests: Any = [{"custom_id": "a", "body": body([image])}]
        made = await client.batch.create_batches_async(endpoint=CHAT, model="sim-1", requests=requests)
        await providers.advance(DONE)
        failed = await client.batch.get_batches_async(id=made.id)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error.message.startswith("a: ")


@pytest.mark.sdk_exam("fireworks", lane="native", sdk="fireworks-ai")
async def test_fireworks_from_a_dataset_to_signed_urls(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/fireworks"
    async with AsyncFireworks(api_key="k", base_url=url, account_id="simulated", max_retries=0) as client:
        assert [account.name async for account in client.accounts.list()] == ["accounts/simulated"]
        await client.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}, "example_count": "1"})
        uploaded = await client.datasets.upload("in-1", file=("rows.jsonl", jsonl("a", "b", "c", bad="b")))
        assert uploaded.filename == "rows.jsonl"
        assert (await client.datasets.get("in-1")).state == "UPLOADING"
        await providers.advance(2)
        assert (await client.datasets.get("in-1")).state == "READY"
        job = await client.batch_inference_jobs.create(
            batch_inference_job_id="job-1", model="sim-1", input_dataset_id="in-1"
        )
        assert (job.name, job.state) == ("accounts/simulated/batchInferenceJobs/job-1", "JOB_STATE_VALIDATING")
        await providers.advance(RUNNING)
        job = await client.batch_inference_jobs.get("job-1")
        assert job.job_progress is not None
        assert (job.state, job.job_progress.total_input_requests) == ("JOB_STATE_RUNNING", 1)
        await providers.advance(DONE)
        job = await client.batch_inference_jobs.get("job-1")
        assert job.state == "JOB_STATE_COMPLETED"
        assert job.output_dataset_id is not None
        output = job.output_dataset_id.rpartition("/")[2]
        signed = (await client.datasets.get_download_endpoint(output)).filename_to_signed_urls
        assert signed is not None
        found = {name.rpartition("/")[2]: await content(providers, url) for name, url in signed.items()}
        assert rows(found["BIJOutputSet.jsonl"]).keys() == {"a", "c"}
        assert rows(found["error-data"]).keys() == {"b"}
        assert [listed.name async for listed in client.batch_inference_jobs.list()] == [job.name]
        await client.datasets.delete(output)


async def content(providers: SimulatedProviders, url: str) -> bytes:
    """Download a file from a signed URL."""
    async with providers.http.get(url) as response:
        assert response.status == 200
        return await response.read()


async def test_fireworks_deletes_what_runs_and_takes_no_other_account(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/fireworks"
    async with AsyncFireworks(api_key="k", base_url=url, account_id="simulated", max_retries=0) as client:
        await client.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}, "example_count": "2"})
        await client.datasets.upload("in-1", file=("rows.jsonl", jsonl("a", "b")))
        await providers.advance(2)
        await client.batch_inference_jobs.create(batch_inference_job_id="job-1", model="m", input_dataset_id="in-1")
        await providers.advance(RUNNING)
        await client.batch_inference_jobs.delete("job-1")
        assert (await client.batch_inference_jobs.get("job-1")).state == "JOB_STATE_DELETING_CLEANING_UP"
        await providers.advance(DONE)
        assert [job async for job in client.batch_inference_jobs.list()] == []
        with pytest.raises(PermissionDeniedError):
            await client.datasets.get("in-1", account_id="other")
