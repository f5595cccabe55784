"""The log records events in lines that a machine can read, and never contains a key or a prompt."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from batchgate.settings import ApiKeySettings
from batchgate.telemetry.log_lines import JsonLines
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

KEY = {"x-api-key": "sk-bf-known"}
SETTINGS = """
[accounts.echo]
provider = "anthropic"
base_url = "{upstream}"
api_key = "sk-provider-planted"

[api_keys.caller]
key = "sk-caller-planted"
workspace = "team"
"""


class LogLines(logging.Handler):
    """A log handler that collects the lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.entries: list[dict[str, Any]] = []
        self._line_added = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Add the lines of a record."""
        self.entries += map(msgspec.json.decode, self.format(record).splitlines())
        self._line_added.set()

    def matching(self, **fields: object) -> list[dict[str, Any]]:
        """Return the lines with these fields."""
        return [line for line in self.entries if fields.items() <= line.items()]

    async def wait_for(self, number: int, **fields: object) -> list[dict[str, Any]]:
        """Wait for a number of lines with these fields: a request is logged only after its response is sent."""
        while len(self.matching(**fields)) < number:
            self._line_added.clear()
            await self._line_added.wait()
        return self.matching(**fields)[:number]


@pytest.fixture
async def lines() -> AsyncIterator[LogLines]:
    handler, root = LogLines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, api_keys={"caller": ApiKeySettings(key="sk-bf-known", workspace="team")}) as app:
        app.client.headers.update(KEY)
        yield app


async def test_an_http_request_is_logged_in_one_line_with_its_spec_path_and_id(
    app: RunningApp, lines: LogLines
) -> None:
    batch = await app.ended((await app.create("a"))["id"])
    async with app.client.get(f"{app.url}{BATCHES}/{batch['id']}?ignored=1") as response:
        request_id = response.headers["request-id"]
    [line] = await lines.wait_for(1, action="http_request", request_id=request_id)
    assert line.pop("seconds") >= 0
    assert line.pop("time").endswith("+00:00")
    assert line.pop("message").startswith("GET /anthropic/v1/messages/batches/{message_batch_id} 200 in ")
    assert line == {
        "level": "debug",
        "logger": "batchgate.api.access_log",
        "action": "http_request",
        "request_id": request_id,
        "operation": "retrieveMessageBatch",
        "method": "GET",
        "path": "/anthropic/v1/messages/batches/{message_batch_id}",
        "status": 200,
        "workspace": "team",
        "batch": batch["id"],
    }


async def test_polls_are_logged_at_debug_and_changes_downloads_and_refusals_at_info(
    app: RunningApp, lines: LogLines
) -> None:
    batch = await app.ended((await app.create("a"))["id"])
    place = f"{BATCHES}/{batch['id']}"
    for path in (BATCHES, f"/api/batches/{batch['id']}/progress", "/health", "/metrics", f"{place}/results", "/gone"):
        async with app.client.get(app.url + path) as response:
            await response.read()
    async with app.client.head(f"{app.url}{place}") as response:
        await response.read()
    await app.call("DELETE", place)
    await lines.wait_for(1, action="http_request", operation="deleteMessageBatch")
    logged = {line["operation"]: (line["level"], line["status"]) for line in lines.matching(action="http_request")}
    polls = ("retrieveMessageBatch", "listMessageBatches", "getBatchProgress", "getHealth", "getMetrics")
    assert [logged.pop(operation) for operation in polls] == [("debug", 200)] * 5
    assert logged == {
        "createMessageBatch": ("info", 200),
        "retrieveMessageBatchResults": ("info", 200),
        "unmatched": ("info", 404),
        "deleteMessageBatch": ("info", 200),
    }


async def test_the_last_requests_are_logged_when_the_application_ends(tmp_path: Path, lines: LogLines) -> None:
    async with running_app(tmp_path) as app:
        for _ in range(3):
            await app.call("GET", "/health")
    assert len(lines.matching(action="http_request", operation="getHealth")) == 3


async def test_a_batch_can_be_followed_from_the_request_that_created_it_to_its_end(
    app: RunningApp, lines: LogLines
) -> None:
    async with app.client.post(app.url + BATCHES, json=create_body("a", "b")) as response:
        request_id = response.headers["request-id"]
        batch = msgspec.json.decode(await response.read())
    await app.ended(batch["id"])
    [created] = lines.matching(action="batch_created")
    assert (created["request_id"], created["batch"], created["requests"]) == (request_id, batch["id"], 2)
    [claimed] = lines.matching(action="shard_claimed")
    assert (claimed["batch"], claimed["shard"], claimed["level"]) == (batch["id"], 0, "debug")
    assert "request_id" not in claimed
    [ended] = await lines.wait_for(1, action="batch_ended")
    assert (ended["batch"], ended["counts"]["succeeded"], ended["workspace"]) == (batch["id"], 2, "team")


async def test_a_request_that_matches_no_operation_is_logged_without_its_content(
    app: RunningApp, lines: LogLines
) -> None:
    for path in ("/v1/sk-planted?key=sk-planted", f"{BATCHES}/sk-planted"):
        await app.call("GET", path)
    unmatched, unknown = await lines.wait_for(2, action="http_request")
    assert (unmatched["path"], unmatched["operation"], unmatched["status"]) == ("unmatched", "unmatched", 404)
    assert (unknown["path"], unknown["status"]) == (f"{BATCHES}/{{message_batch_id}}", 404)
    assert "planted" not in str(lines.entries)


async def echo(request: web.Request) -> web.Response:
    """Respond as badly as a provider may: with the request that it received, including the key."""
    body = await request.read()
    model = msgspec.json.decode(body)["model"]
    text = f"{request.headers['x-api-key']} may not send {body.decode()}"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
    match model:
        case "refused":
            return web.json_response(error, status=400, headers={"x-echo": body.decode()})
        case "failing":
            return web.json_response(error, status=500, headers={"x-should-retry": "false"})
        case "garbage":
            return web.Response(text=text, status=200)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def echoing_upstream() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def planted_body() -> dict[str, Any]:
    body = create_body("a", "b", "c", "d", "e")
    for request, model in zip(body["requests"], ("refused", "failing", "garbage", "broken", "refused"), strict=True):
        request["params"] |= {"model": model, "messages": [{"role": "user", "content": "the planted prompt"}]}
    body["requests"][4]["params"]["messages"] = "planted where a list should be"
    return body


async def send_planted_values(gateway: GatewayProcess) -> None:
    """Send keys and prompts in every possible place, and wait until all calls have failed."""
    headers = {"x-api-key": "sk-caller-planted"}
    async with aiohttp.ClientSession(gateway.url) as client:
        async with client.post(BATCHES, json=planted_body(), headers=headers) as response:
            batch = await response.json()
            assert response.status == 200, batch
        for path, request_headers in (
            (BATCHES, {"x-api-key": "sk-wrong-planted"}),
            (f"{BATCHES}?api_key=sk-query-planted&limit=planted", headers),
            (f"{BATCHES}/sk-path-planted", headers),
            ("/sk-path-planted", headers),
        ):
            async with client.get(path, headers=request_headers) as response:
                assert response.status >= 400
        for invalid_body in ({"requests": ["planted"]}, "planted", create_body("planted prompt")):
            async with client.post(BATCHES, json=invalid_body, headers=headers) as response:
                assert response.status == 400
        while batch["processing_status"] != "ended":
            progress = f"/api/batches/{batch['id']}/progress"
            async with client.get(progress, headers=headers) as response:
                if (await response.json())["errored"] >= 4:
                    await (await client.post(f"{BATCHES}/{batch['id']}/cancel", headers=headers)).read()
            async with client.get(f"{BATCHES}/{batch['id']}", headers=headers) as response:
                batch = await response.json()
        assert batch["request_counts"]["errored"] >= 4
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nx-api-key: sk-planted\x01\r\nsk planted\r\n\r\n")
    await reader.read()
    writer.close()


@pytest.mark.parametrize("form", ["json", "text"])
async def test_no_key_and_no_prompt_is_logged_when_calls_fail(tmp_path: Path, form: str) -> None:
    async with echoing_upstream() as upstream:
        settings = SETTINGS.format(upstream=upstream)
        options = ("--log-level", "debug", "--log-format", form)
        with GatewayProcess(data_dir=tmp_path, settings=settings, options=options) as gateway:
            await send_planted_values(gateway)
    assert "planted" not in gateway.log
    for action in ("started", "http_request", "batch_created", "call_failed", "malformed_http", "stopping"):
        assert form == "text" or f'"action":"{action}"' in gateway.log
    if form == "json":
        for line in gateway.log.splitlines():
            assert msgspec.json.decode(line).keys() >= {"time", "level", "logger", "action", "message"}


def test_environment_variables_set_the_log_format_and_level(tmp_path: Path) -> None:
    environment = {"BATCHGATE_LOG_FORMAT": "json", "BATCHGATE_LOG_LEVEL": "INFO"}
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR, environment=environment) as gateway:
        pass
    actions = [msgspec.json.decode(line)["action"] for line in gateway.log.splitlines()]
    assert {"started", "stopping"} <= set(actions)
