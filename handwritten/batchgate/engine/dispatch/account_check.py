"""Checks an account with one small call: a token of a model, or the list of the provider's models."""

from __future__ import annotations

import time
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import NoUpstreamAnswer, RefusedError, RequestError, UpstreamError
from batchgate.engine.model.health_report import one_line
from batchgate.engine.model.provider_call import RequestRow, UpstreamRequest

TIMEOUT: Final = 30.0
CheckMethod: TypeAlias = Literal["call", "list_models"]


class CheckError(Struct, frozen=True, kw_only=True):
    """Why a provider did not accept the call."""

    kind: str
    status: int | None
    """None without a response."""
    message: str


class CheckOutcome(Struct, frozen=True, kw_only=True):
    """How the call ended."""

    method: CheckMethod
    model: str | None
    seconds: float
    error: CheckError | None


async def check_account(endpoint: AccountEndpoint, model: str | None) -> CheckOutcome:
    """Call a model, or without one list the models; raises `RefusedError` if neither is possible.

    The call passes the limits of the account by: a paused account is what one wants to check.
    """
    await endpoint.refresh_key()
    row, started = _row(model or "any"), time.perf_counter()
    method: CheckMethod = "list_models" if model is None else "call"
    try:
        await _send(endpoint, row, _call(endpoint, row, lists_models=model is None))
    except RequestError as error:
        return _outcome(method, model, started, error)
    return _outcome(method, model, started, None)


def _row(model: str) -> RequestRow:
    params = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    return RequestRow(custom_id="test", params=msgspec.json.encode(params), model=model, headers={})


def _call(endpoint: AccountEndpoint, row: RequestRow, *, lists_models: bool) -> UpstreamRequest:
    """Return the call; that for a list has the headers of a call to a model."""
    call = structs.replace(endpoint.handler.encode(endpoint.account, row), timeout=TIMEOUT)
    if not lists_models:
        return call
    if endpoint.models_path is None:
        message = f"model: {endpoint.account.provider} lists no models; name one to call"
        raise RefusedError("invalid_request_error", message, param="model")
    url = endpoint.account.base_url + endpoint.models_path
    headers = {name: value for name, value in call.headers.items() if name != "content-type"}
    return UpstreamRequest(url=url, headers=headers, body=b"", timeout=TIMEOUT, method="GET")


async def _send(endpoint: AccountEndpoint, row: RequestRow, call: UpstreamRequest) -> None:
    """Send the call; raises `UpstreamError` if the provider does not accept it."""
    response = await endpoint.transport.send(call.signed())
    if not 200 <= response.status < 300:
        endpoint.handler.decode(row, response)
        raise NoUpstreamAnswer("api_error", "the provider sent no answer", status=response.status, retry_safe=False)


def _outcome(method: CheckMethod, model: str | None, started: float, error: RequestError | None) -> CheckOutcome:
    seconds = time.perf_counter() - started
    if error is None:
        return CheckOutcome(method=method, model=model, seconds=seconds, error=None)
    status = error.status or None if isinstance(error, UpstreamError) else None
    shown = CheckError(kind=error.kind, status=status, message=one_line(error.message))
    return CheckOutcome(method=method, model=model, seconds=seconds, error=shown)
