"""The scopes of API keys: each operation requires the scope that its spec names, on every path."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation, Scope
from tests.support.error_responses import check_anthropic_error, check_openai_error, check_unified_error
from tests.support.running_app import RunningApp, running_app

FORBIDDEN = (403, "permission_error")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with one key for each scope."""
    keys = {scope: ApiKeySettings(key=f"sk-{scope}", scopes=(scope,)) for scope in SCOPES}
    async with running_app(tmp_path / "data", api_keys=keys) as app:
        yield app


CALLS = [
    pytest.param(operation, re.sub(r"\{\w+\}", "x", path), id=f"{operation.method} {path}")
    for operation in OPERATIONS
    if operation.authenticated
    for path in operation.paths
]


@pytest.mark.parametrize(("operation", "path"), CALLS)
async def test_a_key_without_the_scope_of_an_operation_is_refused(
    gateway: RunningApp, operation: Operation, path: str
) -> None:
    assert operation.scopes
    for scope in SCOPES:
        params = {"max_seconds": 1} if "max_seconds" in operation.locations else {}
        async with gateway.client.request(
            operation.method, gateway.url + path, headers={"x-api-key": f"sk-{scope}"}, params=params
        ) as response:
            answer = (response.status, response.headers, await response.read())
        if scope in operation.scopes:
            assert answer[0] not in {401, 403}
            continue
        message = f"The API key may not do this: it needs the scope {' or '.join(operation.scopes)}, and has {scope}."
        if path.startswith("/openai"):
            expected = (403, "invalid_request_error")
            assert check_openai_error(*answer, expected=expected, param=None, code="missing_scope") == message
        elif path.startswith(("/v1/files", "/v1/batches")):
            assert check_unified_error(*answer, expected=FORBIDDEN, param=None, code="missing_scope") == message
        else:
            code = "missing_scope" if operation.dialect == "anthropic" else None
            assert check_anthropic_error(*answer, expected=FORBIDDEN, code=code) == message


def test_the_scopes_of_the_spec_are_those_of_the_keys() -> None:
    assert get_args(Scope) == SCOPES


def test_a_key_has_the_scopes_read_and_submit_by_default() -> None:
    assert ApiKeySettings(key="sk-known").scopes == ("read", "submit")
