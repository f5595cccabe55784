"""Invalid file calls: each is refused in the envelope of its surface, and the error names the invalid parameter."""

import pytest

from tests.support.running_app import RunningApp
from tests.support.uploads import INVALID, OPENAI, UNIFIED, expect_error, upload

FILE_CALLS = pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/{}"), ("DELETE", "/{}"), ("GET", "/{}/content")],
    ids=["retrieve", "delete", "content"],
)


@FILE_CALLS
@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("file-8QfBrsPGZqmVQAjGpVgkAe", "file-8QfBrsPGZqmVQAjGpVgkAe"),
        ("x" * 128, "x" * 128),
        ("a%2Fb", "a/b"),
        ("%C3%A4", "ä"),
        ("a%00b", "a\x00b"),
        ("';DROP%20TABLE%20files;--", "';DROP TABLE files;--"),
    ],
)
async def test_an_unknown_file_is_not_found(gateway: RunningApp, method: str, path: str, sent: str, meant: str) -> None:
    for surface, query in ((OPENAI, ""), (UNIFIED, "?provider=openai")):
        error = await expect_error(
            gateway,
            method,
            surface + path.format(sent) + query,
            status=404,
            kind=INVALID if surface == OPENAI else "not_found_error",
            param="id",
        )
        assert error == f"There is no file {meant!r} in this workspace."


@FILE_CALLS
async def test_a_file_of_another_provider_is_not_found_and_is_not_deleted(
    gateway: RunningApp, method: str, path: str
) -> None:
    file = await upload(gateway)
    query = "?provider=azure"
    unified = UNIFIED + path.format(file["id"]) + query
    error = await expect_error(gateway, method, unified, status=404, kind="not_found_error", param="provider")
    assert error == f"File {file['id']!r} was uploaded for openai, not for azure."
    assert (await gateway.call("GET", f"{OPENAI}/{file['id']}"))[0] == 200


@pytest.mark.parametrize(
    ("path", "param", "code", "message"),
    [
        pytest.param(
            f"{OPENAI}?limit=0",
            "limit",
            "invalid_value",
            "limit: Input should be greater than or equal to 1",
            id="limit 0",
        ),
        pytest.param(
            f"{OPENAI}?limit=10001",
            "limit",
            "invalid_value",
            "limit: Input should be less than or equal to 10000",
            id="large limit",
        ),
        pytest.param(
            f"{OPENAI}?limit=x",
            "limit",
            "invalid_value",
            "limit: Input should be an integer, not a string",
            id="no number",
        ),
        pytest.param(
            f"{OPENAI}?order=up",
            "order",
            "invalid_value",
            "order: Input should be one of asc, desc, not 'up'",
            id="order",
        ),
        pytest.param(
            f"{OPENAI}?purpose=batches",
            "purpose",
            "invalid_value",
            "purpose: Input should be one of assistants, assistants_output, batch, batch_output, fine-tune, "
            "fine-tune-results, vision, user_data, evals, responses, not 'batches'",
            id="purpose",
        ),
        pytest.param(
            f"{OPENAI}?after=file-x",
            "after",
            "invalid_value",
            "after: there is no file 'file-x' to page from",
            id="after",
        ),
        pytest.param(
            f"{OPENAI}?after=a&after=b",
            "after",
            "invalid_value",
            "after: it is given 2 times; give it once",
            id="twice",
        ),
        pytest.param(
            f"{UNIFIED}?provider=openai&after=file-x",
            "after",
            "invalid_value",
            "after: there is no file 'file-x' to page from",
            id="unified after",
        ),
        pytest.param(
            f"{UNIFIED}?provider=openai&limit=0",
            "limit",
            "invalid_value",
            "limit: Input should be greater than or equal to 1",
            id="unified limit",
        ),
        pytest.param(
            f"{UNIFIED}?provider=acme",
            "provider",
            "invalid_value",
            "provider: 'acme' is not configured; configured: simulator",
            id="unknown provider",
        ),
        pytest.param(
            f"{OPENAI}?provider=acme",
            "provider",
            "invalid_value",
            "provider: 'acme' is not configured; configured: simulator",
            id="unknown provider of the OpenAI surface",
        ),
        pytest.param(
            f"{UNIFIED}?x-model-provider=acme",
            "x-model-provider",
            "invalid_value",
            "x-model-provider: 'acme' is not configured; configured: simulator",
            id="unknown x-model-provider",
        ),
        pytest.param(
            f"{UNIFIED}?provider=openai&x-model-provider=azure",
            "provider",
            "invalid_value",
            "provider: one place says openai and another azure; name it once",
            id="two providers",
        ),
    ],
)
async def test_an_invalid_parameter_is_refused_with_its_name(
    gateway: RunningApp, path: str, param: str, code: str, message: str
) -> None:
    assert await expect_error(gateway, "GET", path, param=param, code=code) == message


@pytest.mark.parametrize("path", ["/openai/v1/files", "/openai/files", "/v1/files"])
async def test_wrong_methods_and_paths_are_refused_in_the_envelope_of_the_surface(
    gateway: RunningApp, path: str
) -> None:
    error = await expect_error(gateway, "PUT", path, status=405)
    assert error == f"{path} does not answer to PUT; it answers to GET, HEAD, POST."
    kind = INVALID if path.startswith("/openai") else "not_found_error"
    error = await expect_error(gateway, "GET", f"{path}/x/nothing", status=404, kind=kind)
    assert error == f"There is nothing at {path}/x/nothing; see /openapi.json."
