"""Calls to the simulated model, and its responses."""

from __future__ import annotations

from typing import Any

import msgspec

from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.simulator.simulator import (
    SimulatedCall,
    SimulatedReply,
    Simulator,
    SimulatorSettings,
    body_key,
)

MESSAGES = "/v1/messages"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
INSTANT = SimulatorSettings(latency=0)


def question(text: object = "Hello", **fields: object) -> bytes:
    """Write a request that is right in both dialects."""
    messages = [{"role": "user", "content": text}]
    return msgspec.json.encode({"model": "sim-1", "max_tokens": 100, "messages": messages, **fields})


def ask(
    settings: SimulatorSettings,
    path: str,
    body: bytes,
    *,
    headers: dict[str, str] | None = None,
    attempt: int = 0,
    in_flight: int = 1,
) -> SimulatedReply:
    """Ask a simulator once."""
    call = SimulatedCall(
        path=path,
        headers=headers or {},
        body=body,
        key=body_key(body),
        attempt=attempt,
        in_flight=in_flight,
    )
    return Simulator(settings).reply(call)


def content(response: UpstreamResponse) -> dict[str, Any]:
    """Read the JSON body of an answer."""
    return msgspec.json.decode(response.body, type=dict[str, Any])


def written(**fields: object) -> bytes:
    """Write a request to a model."""
    return msgspec.json.encode({"model": "sim-1", **fields})


def call(body: bytes, url: str = f"http://simulator{MESSAGES}", timeout: float = 10.0) -> UpstreamRequest:
    """Make a call as a provider handler would."""
    return UpstreamRequest(url=url, headers={"content-type": "application/json"}, body=body, timeout=timeout)
