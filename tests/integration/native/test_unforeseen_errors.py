"""An error that nobody foresaw, in one request of a job, ends that request alone, and the log has its traceback."""

import logging
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.batches.openai_batches import OpenAIBatches
from batchgate.providers.handlers.openai import OpenAIHandler
from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES, create_body

IDS = [f"request-{number}" for number in range(30)]
FAULTY = "request-7"
MARK = b"Break it"
CALLS = 40
"""Calls to the gateway between two steps: a batch must not miss a time limit because the machine is busy."""
PLACES = {
    "refusal": (OpenAIBatches, "refusal"),
    "encode": (OpenAIBatches, "encode"),
    "decode": (OpenAIHandler, "decode"),
}
"""Methods that read one request or one answer, by the step that calls them."""
LINES = ["openai", "xai", "openrouter", "gemini"]
"""One provider for each way in which results are read."""
EACH_LANE = pytest.mark.parametrize("lane", ["auto", "native"])


class UnforeseenError(Exception):
    """A fault of the program."""


def break_for_marked(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Let a method fail for each request and each answer that contains the mark."""
    owner, name = PLACES[place]
    method = getattr(owner, name)

    def fail_if_marked(self: Any, *args: Any) -> Any:
        if any(MARK in getattr(each, field, b"") for each in args for field in ("params", "body")):
            raise UnforeseenError
        return method(self, *args)

    monkeypatch.setattr(owner, name, fail_if_marked)


async def create_with_faulty(gateway: NativeGateway) -> str:
    body = create_body(*IDS)
    body["requests"][IDS.index(FAULTY)]["params"]["messages"][0]["content"] = MARK.decode()
    status, batch = await gateway.app.call("POST", BATCHES, json=body)
    assert status == 200, batch
    return str(batch["id"])


async def results_of(gateway: NativeGateway, batch_id: str) -> tuple[dict[str, Any], set[str]]:
    """Return the result of the faulty request, and the types of all others."""
    results = {line["custom_id"]: line["result"] for line in await gateway.app.results(batch_id)}
    assert list(results) == IDS
    return results.pop(FAULTY), {result["type"] for result in results.values()}


@EACH_LANE
@pytest.mark.parametrize("place", PLACES)
async def test_an_unforeseen_error_ends_its_request_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lane: str, place: str
) -> None:
    break_for_marked(monkeypatch, place)
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        batch_id = await create_with_faulty(gateway)
        await gateway.until_ended(batch_id)
        result, others = await results_of(gateway, batch_id)
        (job,) = await gateway.providers.jobs()
    assert others == {"succeeded"}
    assert len(job.rows) == len(IDS) - (place != "decode")
    if lane == "auto" and place != "decode":
        assert result["type"] == "succeeded", "nothing is wrong with it in the direct lane"
    else:
        assert result["type"] == "errored"
        assert "internal error in the gateway" in result["error"]["error"]["message"]
    logged = [record for record in caplog.records if record.exc_info and record.exc_info[0] is UnforeseenError]
    assert logged
    assert all(record.levelno == logging.ERROR for record in logged)


async def test_an_unforeseen_error_in_a_late_answer_does_not_keep_the_job_at_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_for_marked(monkeypatch, "decode")
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.configure(running=30 * 3600, cancelling=1800)
        await gateway.providers.play(cancellation="loses_race")
        batch_id = await create_with_faulty(gateway)
        await gateway.jobs_upstream()
        for _ in range(24 * 6 - 4):
            await gateway.pass_time(600)
        while not (progress := await gateway.progress(batch_id))["paid_twice"]:
            await gateway.pass_time(30, CALLS)
        assert progress["paid_twice"] == progress["succeeded"] == len(IDS) - 1


@pytest.mark.parametrize("provider", LINES)
async def test_a_result_that_causes_an_unforeseen_error_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, provider: str
) -> None:
    def fail_once(**_: Any) -> NativeResult:
        monkeypatch.undo()
        raise UnforeseenError

    for module in ("openai_results", "xai_batches", "gemini_objects"):
        monkeypatch.setattr(f"batchgate.providers.batches.{module}.NativeResult", fail_once)
    async with native_gateway(tmp_path, provider, lane="native") as gateway:
        batch = await gateway.create(*IDS)
        ended = await gateway.until_ended(batch["id"])
    assert (ended["request_counts"]["succeeded"], ended["request_counts"]["errored"]) == (len(IDS) - 1, 1)
    (logged,) = [record for record in caplog.records if record.exc_info and record.exc_info[0] is UnforeseenError]
    assert "cannot be read because of an internal error" in logged.getMessage()
