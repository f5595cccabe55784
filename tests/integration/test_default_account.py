"""Calls of the unified surface that name no provider, or name it by an account: one account or a default is enough."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.openai_batches import BATCHES as OPENAI_BATCHES
from tests.support.openai_batches import chat_line, jsonl, upload_lines
from tests.support.running_app import BATCHES as MESSAGE_BATCHES
from tests.support.running_app import RunningApp, create_body, running_app, simulator
from tests.support.unified_batches import BATCHES, RUNNING_STATUSES, chat_rows
from tests.support.uploads import MULTIPART, OPENAI, UNIFIED, file_part, form, part, upload, valid_form

GPU = {"gpu": simulator()}
SEVERAL = {"gpu": simulator(), "spare": simulator(), "openai": simulator()}
CONFIGURED = "configured: gpu, spare, openai, simulator"


@pytest.fixture(params=["the only account", "a default account"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose default account is ``gpu``."""
    options: dict[str, Any] = {"accounts": GPU}
    if request.param != "the only account":
        options = {"accounts": SEVERAL, "default_provider": "gpu"}
    async with running_app(tmp_path, **options) as running:
        yield running


@pytest.fixture
async def several(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with several accounts and no default one."""
    async with running_app(tmp_path, accounts=SEVERAL) as running:
        yield running


async def test_no_call_needs_a_provider(app: RunningApp) -> None:
    file = await upload(app, part("purpose", "batch"), file_part(jsonl(chat_line("a"))), path=UNIFIED)
    assert file["extra_fields"]["provider"] == "gpu"
    for path in (UNIFIED, f"{UNIFIED}/{file['id']}"):
        status, found = await app.call("GET", path)
        assert (status, found["extra_fields"]["provider"]) == (200, "gpu")
    async with app.client.get(f"{app.url}{UNIFIED}/{file['id']}/content") as response:
        assert response.status == 200
    for body in ({"requests": chat_rows("a"), "model": "simulated"}, {"input_file_id": file["id"]}):
        status, batch = await app.call("POST", BATCHES, json=body)
        assert (status, batch["extra_fields"]["provider"]) == (200, "gpu"), batch
        path = f"{BATCHES}/{batch['id']}"
        while (batch := (await app.call("GET", path))[1])["status"] in RUNNING_STATUSES:
            pass
        assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 1)
        assert (await app.call("GET", BATCHES))[1]["first_id"] == batch["id"]
        assert (await app.call("POST", f"{path}/cancel"))[0] == 200
        async with app.client.get(f"{app.url}{path}/results") as response:
            assert response.status == 200
    assert (await app.call("DELETE", f"{UNIFIED}/{file['id']}"))[0] == 200


async def test_a_call_without_a_provider_finds_a_file_of_another_provider(app: RunningApp) -> None:
    file = await upload(app, path=f"{UNIFIED}?provider=azure")
    assert (await app.call("GET", f"{UNIFIED}/{file['id']}"))[0] == 200
    assert (await app.call("GET", f"{UNIFIED}/{file['id']}?provider=gpu"))[0] == 404
    assert (await app.call("GET", UNIFIED))[1]["data"] == []


@pytest.mark.parametrize("place", ["query", "header"])
async def test_the_name_of_an_account_is_good_wherever_that_of_a_provider_is(several: RunningApp, place: str) -> None:
    headers = {} if place == "query" else {"x-model-provider": "spare"}
    query = "?provider=spare" if place == "query" else ""
    file = await upload(several, path=UNIFIED + query, headers=headers)
    assert file["extra_fields"]["provider"] == "spare"
    body = {"requests": chat_rows("a"), "model": "simulated"}
    status, batch = await several.call("POST", BATCHES + query, json=body, headers=headers)
    assert (status, batch["extra_fields"]["provider"]) == (200, "spare")
    for path in (f"{BATCHES}/{batch['id']}", f"{UNIFIED}/{file['id']}"):
        status, found = await several.call("GET", path + query, headers=headers)
        assert (status, found["extra_fields"]["provider"]) == (200, "spare")
    for path, thing in ((BATCHES, batch), (UNIFIED, file), (OPENAI_BATCHES, batch), (OPENAI, file)):
        _, page = await several.call("GET", path + query, headers=headers)
        assert [found["id"] for found in page["data"]] == [thing["id"]]
        _, none = await several.call("GET", f"{path}?provider=gpu")
        assert none["data"] == []


async def test_the_form_of_an_upload_may_name_an_account(several: RunningApp) -> None:
    parts = (part("purpose", "batch"), part("provider", "spare"), file_part())
    assert (await upload(several, *parts, path=UNIFIED))["extra_fields"]["provider"] == "spare"
    file = await upload(several, *parts)
    _, page = await several.call("GET", f"{UNIFIED}?provider=spare")
    assert file["id"] in [found["id"] for found in page["data"]]


async def test_with_several_accounts_and_no_default_one_the_errors_name_them(several: RunningApp) -> None:
    places = "in the query, in the header x-model-provider or"
    body = {"requests": chat_rows("a"), "model": "simulated"}
    status, refused_create = await several.call("POST", BATCHES, json=body)
    assert (status, refused_create["error"]["code"]) == (400, "missing_required_parameter")
    expected = f"provider: Field required, {places} before a slash in the model of the batch itself; {CONFIGURED}"
    assert refused_create["error"]["message"] == expected
    data = BytesIO(form(part("purpose", "batch"), file_part()))
    status, refused_upload = await several.call("POST", UNIFIED, data=data, headers=MULTIPART)
    assert (status, refused_upload["error"]["code"]) == (400, "missing_required_parameter")
    assert refused_upload["error"]["message"] == f"provider: Field required, {places} in the form; {CONFIGURED}"
    for path in (BATCHES, UNIFIED, f"{BATCHES}/x", f"{UNIFIED}/x"):
        status, error = await several.call("GET", path)
        message = f"provider: Field required, in the query or the header x-model-provider; {CONFIGURED}"
        assert (status, error["error"]["message"]) == (400, message)


async def test_an_unknown_name_is_refused_with_the_same_words_everywhere(several: RunningApp) -> None:
    message = f"provider: 'nobody' is not configured; {CONFIGURED}"
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", BATCHES, {"json": {"requests": chat_rows("a")}}),
        ("POST", UNIFIED, {"data": BytesIO(valid_form()), "headers": MULTIPART}),
        ("GET", BATCHES, {}),
        ("GET", UNIFIED, {}),
    )
    for method, path, options in calls:
        status, error = await several.call(method, f"{path}?provider=nobody", **options)
        assert (status, error["error"]["message"]) == (400, message)


async def test_without_an_account_the_errors_say_so(tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts={}) as app:
        status, error = await app.call("POST", BATCHES, json={"requests": chat_rows("a")})
        assert (status, error["error"]["message"].rpartition("; ")[2]) == (400, "configured: none")


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("meta-llama/Llama-3", None),
        ("Qwen/Qwen3-8B", None),
        ("nobody/model", "model: 'nobody' is not configured; configured: "),
        ("gpus/simulated", "model: 'gpus' is not configured; configured: "),
        ("azure/gpt-5", "model: 'azure' is not configured; configured: "),
    ],
)
async def test_the_default_model_may_have_the_prefix_of_an_organisation(
    app: RunningApp, model: str, problem: str | None
) -> None:
    status, batch = await app.call("POST", BATCHES, json={"requests": chat_rows("a"), "model": model})
    if problem is None:
        assert (status, batch["extra_fields"]["model_requested"]) == (200, model), batch
    else:
        assert (status, batch["error"]["param"], batch["error"]["code"]) == (400, "model", "invalid_value")
        assert batch["error"]["message"].startswith(problem)
        assert "gpu" in batch["error"]["message"]


async def test_batches_of_other_surfaces_are_listed_without_a_provider(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a")))
    _, batch = await app.call("POST", BATCHES, json={"input_file_id": file_id})
    body = create_body("a", model="gpu/simulated")
    _, theirs = await app.call("POST", MESSAGE_BATCHES, json=body, headers={"x-model-provider": "gpu"})
    _, page = await app.call("GET", BATCHES)
    assert [found["id"] for found in page["data"]] == [theirs["id"], batch["id"]]
