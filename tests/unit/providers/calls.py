"""Accounts, rows and responses for the tests of the providers: factories with overrides."""

from __future__ import annotations

from typing import Any

import msgspec

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamResponse

Json = dict[str, Any]

PARAMS: Json = {"model": "model", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}

MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "model",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2},
}

COMPLETION: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def account(**fields: Any) -> Account:
    """Make an account with a key."""
    return Account(
        **({"name": "a", "provider": "p", "base_url": "https://up.example/v1", "api_key": "sk-secret"} | fields)
    )


def row(params: bytes | None = None, **fields: Any) -> RequestRow:
    """Make a row of a Messages batch; ``params`` replaces the whole object."""
    body = msgspec.json.encode(PARAMS) if params is None else params
    return RequestRow(**({"custom_id": "c-1", "params": body, "model": "model", "headers": {}} | fields))


def response(body: object = None, status: int = 200, **headers: str) -> UpstreamResponse:
    """Make a response; bytes are sent as they are, anything else as JSON; ``_`` in a header's name stands for ``-``."""
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamResponse(status=status, headers=named, body=sent)
