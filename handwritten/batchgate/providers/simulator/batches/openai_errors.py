"""Error answers of the OpenAI-shaped batch APIs (native-lanes 10.3, 10.4)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.simulator.batches.calls import json_response, status_of
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider

_TYPES: Final[dict[ErrorKind, tuple[str, str | None]]] = {
    "rate_limit_error": ("requests", "rate_limit_exceeded"),
    "api_error": ("server_error", None),
}
"""OpenAI's ``type`` and ``code`` of kinds that are not ``invalid_request_error``."""


def openai_error(provider: OpenAIProvider, refusal: RefusedError) -> web.Response:
    """Return a refusal in the form of a provider."""
    status = status_of(refusal)
    if status == 401 and provider.plain_401:
        return web.Response(status=401, text="Unauthorized")
    content = _detail(refusal, status) if provider.envelope == "detail" else _envelope(refusal)
    return json_response(content, status, refusal.headers)


def _envelope(refusal: RefusedError) -> object:
    kind, code = _TYPES.get(refusal.kind, ("invalid_request_error", None))
    return {
        "error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code or code},
    }


def _detail(refusal: RefusedError, status: int) -> object:
    """Return FastAPI's form: a text, an object, or a list (native-lanes 10.4)."""
    if status == 401:
        return {"detail": refusal.message}
    if status == 422:
        return {"detail": [{"loc": ["body", refusal.param], "msg": refusal.message, "type": "value_error"}]}
    return {"detail": {"error": refusal.message}}


def not_found(what: str, identifier: str) -> RefusedError:
    """Return the refusal for an unknown id; what: ``batch`` or ``File`` (native-lanes 2.1)."""
    return RefusedError("not_found_error", f"No {what} found with id '{identifier}'.")


def invalid(message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> RefusedError:
    """Return the refusal of an invalid call."""
    return RefusedError("invalid_request_error", message, status=status, param=param, code=code)
