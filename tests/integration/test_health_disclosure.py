"""Public responses of a gateway disclose nothing about the machine on which it runs."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.health_report import MAX_LENGTH, MAX_PROBLEMS
from batchgate.settings import ApiKeySettings
from tests.support.health import problem_texts
from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app


async def test_health_names_an_unreadable_blob_but_not_its_path_on_the_machine(tmp_path: Path) -> None:
    # The provider is unreachable, so that no request has a response when the batch is canceled.
    accounts = {"down": AccountSettings(provider="openai", base_url=f"http://127.0.0.1:{unused_port()}/v1")}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await app.create("a")
        (tmp_path / "blobs" / "batches" / batch["id"] / "input.jsonl").unlink()
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        problems: list[str] = []
        while not problems:
            _, health = await app.call("GET", "/health")
            problems = [problem for problem in problem_texts(health) if "input.jsonl" in problem]
    reason = f"batches/{batch['id']}/input.jsonl: No such file or directory"
    assert all(problem.endswith(f": {reason}") for problem in problems)
    assert str(tmp_path) not in str(problems)


STRANGERS = [
    {},
    {"x-api-key": "sk-of-nobody-at-all"},
    {"x-api-key": "sk-reads-and-submits"},
    {"Authorization": "Basic eA=="},
]
KEYS = {
    "caller": ApiKeySettings(key="sk-reads-and-submits", scopes=("read", "submit")),
    "operator": ApiKeySettings(key="sk-of-the-operator", scopes=("admin",)),
}


@pytest.mark.parametrize("headers", STRANGERS)
async def test_health_tells_strangers_only_which_parts_have_a_problem(tmp_path: Path, headers: dict[str, str]) -> None:
    port = unused_port()
    accounts = {"down": AccountSettings(provider="openai", base_url=f"http://127.0.0.1:{port}/v1")}
    async with running_app(tmp_path, accounts=accounts, api_keys=KEYS) as app:
        assert await app.call("GET", "/health", headers=headers) == (200, {"status": "ok", "components": []})
        await app.create("a", headers={"x-api-key": "sk-reads-and-submits"})
        while (found := await app.call("GET", "/health", headers=headers))[1]["status"] == "ok":
            pass
        assert found == (200, {"status": "degraded", "components": ["account"]})
        _, full = await app.call("GET", "/health", headers={"x-api-key": "sk-of-the-operator"})
    assert full["components"] == ["account"]
    assert full["accounts"] == ["down"]
    assert f"127.0.0.1:{port}" in str(problem_texts(full))


async def test_health_shows_details_to_all_while_the_gateway_has_no_keys(gateway: RunningApp) -> None:
    _, health = await gateway.call("GET", "/health")
    assert (health["status"], health["components"]) == ("ok", [])
    assert {"version", "role", "accounts", "problems", "requests_in_flight"} <= health.keys()


async def test_health_is_bounded_however_many_models_are_forbidden_and_however_long_their_names(tmp_path: Path) -> None:
    async def forbid(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=403)

    upstream = web.Application()
    upstream.router.add_post("/{path:.*}", forbid)
    async with TestServer(upstream) as server:
        url = str(server.make_url("/"))
        accounts = {"closed": AccountSettings(provider="anthropic", api_key="k", base_url=url)}
        async with running_app(tmp_path, accounts=accounts, api_keys=KEYS, shutdown_timeout=0.0) as app:
            body: dict[str, Any] = {"requests": []}
            for number in range(MAX_PROBLEMS + 5):
                model = f"{number}-tenants-words-" + "x" * 3000
                body["requests"] += create_body(*(f"{number}-{attempt}" for attempt in range(5)), model=model)[
                    "requests"
                ]
            caller, operator = ({"x-api-key": KEYS[name].key or ""} for name in ("caller", "operator"))
            assert (await app.call("POST", BATCHES, json=body, headers=caller))[0] == 200
            codes: list[str] = []
            while "more_problems" not in codes:
                _, health = await app.call("GET", "/health", headers=operator)
                codes = [problem["code"] for problem in health["problems"]]
            async with app.client.get(f"{app.url}/health") as response:
                for_strangers = await response.text()
    assert len(codes) == MAX_PROBLEMS + 1
    assert all(len(text) <= 2 * MAX_LENGTH + 2 for text in problem_texts(health))
    assert (len(for_strangers) < 200, "tenants" in for_strangers) == (True, False)


@pytest.mark.parametrize("path", ["/health", BATCHES, "/nowhere", "/bad request"])
async def test_no_response_names_the_version_of_the_server(gateway: RunningApp, path: str) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await connection.read_response()
    assert answer.headers["Server"] == "batchgate"
