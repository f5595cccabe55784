"""One batch has one id on all surfaces: each lists, retrieves, cancels and reads it in its own format."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiohttp.test_utils import unused_port

from batchgate.account_settings import AccountSettings
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET
from tests.support.openai_batches import chat_line, create, create_body, jsonl, upload_lines
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.surfaces import ANTHROPIC, OPENAI, SURFACES, UNIFIED, BatchView, Surface

pytestmark = ON_FOLDER_AND_BUCKET

DAY: Final = 24 * 3600
HEADERS: Final = {"x-model-provider": "openai"}


class Request(NamedTuple):
    """One request of a batch; the simulated model refuses a number as content."""

    custom_id: str
    content: str | int = "Hello"
    model: str = "simulated"


MIXED: Final = (Request("a"), Request("b", 5), Request("c", "Bye"))
ANSWERS: Final = {"a": "You said: Hello", "b": None, "c": "You said: Bye"}
"""The expected answers; None for an error."""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a fast model, a slow model, and a provider that is unreachable."""
    accounts = {
        "openai": simulator(latency_by_model={"slow": 0.5}),
        "down": AccountSettings(provider="groq", base_url=f"http://127.0.0.1:{unused_port()}"),
    }
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as running:
        yield running


# ---------------------------------------------------------------- the ways to create a batch


def params_row(request: Request) -> dict[str, Any]:
    message = {"role": "user", "content": request.content}
    return {
        "custom_id": request.custom_id,
        "params": {"model": request.model, "max_tokens": 64, "messages": [message]},
    }


def body_row(request: Request) -> dict[str, Any]:
    return chat_line(request.custom_id, request.content, model=request.model)


async def post_batch(app: RunningApp, path: str, body: dict[str, Any]) -> str:
    status, batch = await app.call("POST", path, json=body, headers=HEADERS)
    assert status == 200, batch
    return str(batch["id"])


async def create_on_anthropic(app: RunningApp, *requests: Request) -> str:
    return await post_batch(app, ANTHROPIC.path, {"requests": [params_row(request) for request in requests]})


async def create_on_openai(app: RunningApp, *requests: Request) -> str:
    return str((await create(app, *(body_row(request) for request in requests)))["id"])


async def create_from_unified_params(app: RunningApp, *requests: Request) -> str:
    return await post_batch(app, UNIFIED.path, {"requests": [params_row(request) for request in requests]})


async def create_from_unified_bodies(app: RunningApp, *requests: Request) -> str:
    return await post_batch(app, UNIFIED.path, {"requests": [body_row(request) for request in requests]})


async def create_from_unified_file(app: RunningApp, *requests: Request) -> str:
    file_id = await upload_lines(app, jsonl(*(body_row(request) for request in requests)))
    return await post_batch(app, UNIFIED.path, create_body(file_id))


CreateBatch = Callable[..., Awaitable[str]]
CREATORS: Final[list[CreateBatch]] = [
    create_on_anthropic,
    create_on_openai,
    create_from_unified_params,
    create_from_unified_bodies,
    create_from_unified_file,
]
CREATORS_FROM_FILES: Final[list[CreateBatch]] = [create_on_openai, create_from_unified_file]
CREATORS_OF_MESSAGES: Final = (create_on_anthropic, create_from_unified_params)


def name_of(value: Any) -> str:
    return str(getattr(value, "name", None) or value.__name__)


@pytest.fixture(params=CREATORS, ids=name_of)
def create_batch(request: pytest.FixtureRequest) -> CreateBatch:
    """Return each way to create a batch."""
    way: CreateBatch = request.param
    return way


@pytest.fixture(params=SURFACES, ids=name_of)
def surface(request: pytest.FixtureRequest) -> Surface:
    """Return each surface."""
    found: Surface = request.param
    return found


def status_on(surface: Surface, create_batch: CreateBatch, **statuses: str) -> str:
    """Choose the status of a surface; for Messages batches the unified surface uses that of Anthropic."""
    if surface.name == "unified" and create_batch in CREATORS_OF_MESSAGES:
        return statuses["unified_anthropic"]
    return statuses[surface.name]


# ---------------------------------------------------------------- the matrix


async def cancel_after_end(app: RunningApp, surface: Surface, batch_id: str, view: BatchView) -> None:
    """Cancel a batch that has ended: OpenAI's surface refuses it, the others return it unchanged."""
    if surface is OPENAI:
        assert (await app.call("POST", f"{surface.path}/{batch_id}/cancel"))[0] == 409
    else:
        assert await surface.cancel(app, batch_id) == view


async def test_every_surface_lists_retrieves_and_reads_a_batch_of_any_surface(
    app: RunningApp, create_batch: CreateBatch, surface: Surface
) -> None:
    batch_id = await create_batch(app, *MIXED)
    view = await surface.ended(app, batch_id)
    assert view.status == status_on(
        surface, create_batch, anthropic="ended", openai="completed", unified="completed", unified_anthropic="ended"
    )
    assert (view.counts["succeeded"], view.counts["errored"]) == (2, 1)
    assert await surface.list_batches(app) == {batch_id: view}
    assert await surface.read_results(app, batch_id) == ANSWERS
    await cancel_after_end(app, surface, batch_id, view)


async def test_every_surface_cancels_a_batch_of_any_surface(
    app: RunningApp, create_batch: CreateBatch, surface: Surface
) -> None:
    batch_id = await create_batch(app, Request("a"), Request("b", model="slow"))
    while (await ANTHROPIC.retrieve(app, batch_id)).status == "in_progress":
        _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
        if progress["status"] == "in_progress":
            break
    canceling = await surface.cancel(app, batch_id)
    assert canceling.status == status_on(
        surface,
        create_batch,
        anthropic="canceling",
        openai="cancelling",
        unified="cancelling",
        unified_anthropic="cancelling",
    )
    for other in SURFACES:
        view = await other.ended(app, batch_id)
        assert view.status == status_on(
            other, create_batch, anthropic="ended", openai="cancelled", unified="canceled", unified_anthropic="ended"
        )
        assert set(await other.read_results(app, batch_id)) == {"a", "b"}
        assert await other.list_batches(app) == {batch_id: view}


@pytest.mark.usefixtures("short_retry_intervals")
async def test_every_surface_shows_an_expired_batch_of_any_surface(
    app: RunningApp, create_batch: CreateBatch, surface: Surface
) -> None:
    batch_id = await create_batch(app, Request("a"), Request("late", model="down/m"))
    while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["succeeded"] == 0:
        pass
    app.clock.move(DAY)
    view = await surface.ended(app, batch_id)
    assert view.status == status_on(
        surface, create_batch, anthropic="ended", openai="expired", unified="expired", unified_anthropic="ended"
    )
    assert (view.counts["succeeded"], view.counts.get("expired", 1)) == (1, 1)
    assert await surface.read_results(app, batch_id) == {"a": "You said: Hello", "late": None}
    assert await surface.list_batches(app) == {batch_id: view}


async def test_a_batch_is_listed_for_every_provider_that_its_models_name(
    app: RunningApp, create_batch: CreateBatch
) -> None:
    batch_id = await create_batch(app, Request("a"), Request("b", model="down/m"))
    await create_batch(app, Request("a"))
    await UNIFIED.ended(app, (await UNIFIED.call(app, "GET"))["data"][0]["id"])
    while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["total"] == 0:
        pass
    for path, query in ((UNIFIED.path, {"provider": "groq"}), (OPENAI.path, {"provider": "groq"})):
        _, page = await app.call("GET", path, params=query)
        assert [batch["id"] for batch in page["data"]] == [batch_id]
    _, page = await app.call("GET", ANTHROPIC.path, headers={"x-model-provider": "down"})
    assert [batch["id"] for batch in page["data"]] == [batch_id]
    _, page = await app.call("GET", UNIFIED.path, params=UNIFIED.query)
    assert len(page["data"]) == 2


@pytest.mark.parametrize("create_from_file", CREATORS_FROM_FILES, ids=name_of)
async def test_every_surface_shows_the_batch_of_an_invalid_file_as_failed(
    app: RunningApp, create_from_file: CreateBatch, surface: Surface
) -> None:
    batch_id = await create_from_file(app, Request("same"), Request("same"))
    view = await surface.ended(app, batch_id)
    assert view.status == {"anthropic": "ended", "openai": "failed", "unified": "failed"}[surface.name]
    assert not any(view.counts.values())
    assert await surface.list_batches(app) == {batch_id: view}
    await cancel_after_end(app, surface, batch_id, view)
