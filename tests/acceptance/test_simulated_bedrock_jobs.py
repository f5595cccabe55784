"""The exam of Bedrock's simulated jobs: boto3 drives them unchanged, from the upload of rows to their results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.simulated_batches import SimulatedProviders, simulated_providers

MODEL = "amazon.nova-lite-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batches"

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


@pytest.fixture
def call(providers: SimulatedProviders) -> Call:
    """Call an operation of a service with boto3."""

    async def run(service: str, operation: str, **parameters: Any) -> Any:
        client = boto3.Session().client(
            service,
            region_name="us-east-1",
            endpoint_url=f"{providers.url}/bedrock{'/s3' if service == 's3' else ''}",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="a secret key",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        return await asyncio.to_thread(lambda: getattr(client, operation)(**parameters))

    return run


def record(name: str, text: Any) -> str:
    messages = [{"role": "user", "content": [{"text": text}]}]
    return json.dumps({"recordId": name, "modelInput": {"messages": messages}})


def job_of(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "roleArn": ROLE,
        "modelId": MODEL,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in/rows.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
    } | fields


async def text_of(call: Call, key: str) -> str:
    found = await call("s3", "get_object", Bucket="bucket", Key=key)
    content: bytes = await asyncio.to_thread(found["Body"].read)
    return content.decode()


@pytest.mark.sdk_exam("bedrock", lane="native", sdk="boto3")
async def test_a_job_from_the_upload_of_its_rows_to_their_results(call: Call, providers: SimulatedProviders) -> None:
    rows = "\n".join([record("a", "Hello"), record("b", 7), record("c", "Bye")])
    await call("s3", "put_object", Bucket="bucket", Key="in/rows.jsonl", Body=rows.encode())
    made = await call("bedrock", "create_model_invocation_job", **job_of("first-job", clientRequestToken="token-1"))
    again = await call("bedrock", "create_model_invocation_job", **job_of("first-job", clientRequestToken="token-1"))
    assert made["jobArn"] == again["jobArn"]

    shown = await call("bedrock", "get_model_invocation_job", jobIdentifier=made["jobArn"])
    assert (shown["jobName"], shown["status"]) == ("first-job", "Validating")
    await providers.advance(60)
    job_id = made["jobArn"].rpartition("/")[2]
    shown = await call("bedrock", "get_model_invocation_job", jobIdentifier=job_id)
    counts = (shown["status"], shown["successRecordCount"], shown["errorRecordCount"])
    assert counts == ("Completed", 2, 1)

    lines = [json.loads(line) for line in (await text_of(call, f"out/{job_id}/rows.jsonl.out")).splitlines()]
    results = {line["recordId"]: line for line in lines}
    assert results["a"]["modelOutput"]["output"]["message"]["content"] == [{"text": "You said: Hello"}]
    assert results["b"]["error"]["errorCode"] == 400
    manifest = json.loads(await text_of(call, f"out/{job_id}/manifest.json.out"))
    assert (manifest["totalRecordCount"], manifest["processedRecordCount"]) == (3, 3)


async def test_jobs_are_listed_in_pages_by_a_part_of_their_name(call: Call) -> None:
    await call("s3", "put_object", Bucket="bucket", Key="in/rows.jsonl", Body=record("a", "Hello").encode())
    for number in range(3):
        await call("bedrock", "create_model_invocation_job", **job_of(f"mine-{number}"))
    await call("bedrock", "create_model_invocation_job", **job_of("other"))
    page = await call("bedrock", "list_model_invocation_jobs", nameContains="mine", maxResults=2)
    rest = await call("bedrock", "list_model_invocation_jobs", nameContains="mine", nextToken=page["nextToken"])
    names = [job["jobName"] for found in (page, rest) for job in found["invocationJobSummaries"]]
    assert names == ["mine-2", "mine-1", "mine-0"]
    assert "nextToken" not in rest


async def test_a_job_is_stopped_once(call: Call, providers: SimulatedProviders) -> None:
    await call("s3", "put_object", Bucket="bucket", Key="in/rows.jsonl", Body=record("a", "Hello").encode())
    made = await call("bedrock", "create_model_invocation_job", **job_of("job"))
    await call("bedrock", "stop_model_invocation_job", jobIdentifier=made["jobArn"])
    await providers.advance(60)
    shown = await call("bedrock", "get_model_invocation_job", jobIdentifier=made["jobArn"])
    assert shown["status"] == "Stopped"
    with pytest.raises(ClientError, match="ConflictException"):
        await call("bedrock", "stop_model_invocation_job", jobIdentifier=made["jobArn"])


async def test_a_missing_job_a_missing_input_and_a_wrong_name_are_refused(call: Call) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        await call("bedrock", "get_model_invocation_job", jobIdentifier="abcdefghijkl")
    with pytest.raises(ClientError, match="ValidationException"):
        await call("bedrock", "create_model_invocation_job", **job_of("job"))
    with pytest.raises(ClientError, match="ValidationException"):
        await call("bedrock", "create_model_invocation_job", **job_of("under_score"))


async def test_objects_of_several_parts_are_put_together_and_deleted(call: Call) -> None:
    place = {"Bucket": "bucket", "Key": "large"}
    upload = (await call("s3", "create_multipart_upload", **place))["UploadId"]
    parts = []
    for number, content in enumerate((b"a" * 10, b"b" * 10), 1):
        part = await call("s3", "upload_part", **place, UploadId=upload, PartNumber=number, Body=content)
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    await call("s3", "complete_multipart_upload", **place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert await text_of(call, "large") == "a" * 10 + "b" * 10
    await call("s3", "delete_object", **place)
    with pytest.raises(ClientError, match="NoSuchKey"):
        await text_of(call, "large")
