"""An account of the simulated model serves the rows of every kind, each in its own format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.accounts import endpoints
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.dialects.openai_rows import OpenAIRows
from batchgate.providers.simulator.simulator import SimulatorSettings, SimulatorTransport
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret
from tests.unit.providers.calls import row

Json = dict[str, Any]

TURNS: Json = {"messages": [{"role": "user", "content": "Hello"}]}
REQUESTS: dict[RowKind, Json] = {
    "messages": TURNS | {"max_tokens": 9},
    "chat_completions": TURNS,
    "responses": {"input": "Hello"},
    "embeddings": {"input": "Hello"},
    "completions": {"prompt": "Hello"},
}
OBJECTS: dict[RowKind, tuple[str, str]] = {
    "messages": ("type", "message"),
    "chat_completions": ("object", "chat.completion"),
    "responses": ("object", "response"),
    "embeddings": ("object", "list"),
    "completions": ("object", "text_completion"),
}


def simulator(**behaviour: Any) -> AccountEndpoint:
    account = AccountSettings(provider="simulator", simulator=SimulatorSettings(**({"latency": 0} | behaviour)))
    (endpoint,) = endpoints(Settings(accounts={"sim": account}), SimulatorTransport(), {}, no_secret)
    return endpoint


async def answer(endpoint: AccountEndpoint, kind: RowKind, request: Json) -> bytes:
    asked = row(msgspec.json.encode({"model": "model"} | request), kind=kind)
    response = await endpoint.transport.send(endpoint.handler.encode(endpoint.account, asked))
    return endpoint.handler.decode(asked, response)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_row_of_every_kind_is_answered_in_kind_and_counted(kind: RowKind) -> None:
    body = await answer(simulator(), kind, REQUESTS[kind])
    name, value = OBJECTS[kind]
    assert msgspec.json.decode(body)[name] == value
    usage = DialectLineTranslator().usage(kind, body)
    assert usage is not None
    assert usage.input_tokens == 2
    assert (usage.output_tokens > 0) == (kind != "embeddings")


async def test_the_line_of_a_refused_row_has_the_words_of_the_provider() -> None:
    with pytest.raises(UpstreamError) as caught:
        await answer(simulator(rate_limit_rate=1), "embeddings", REQUESTS["embeddings"])
    response = msgspec.json.decode(OpenAIRows().errored_line("a", caught.value))["response"]
    error = response["body"]["error"]
    assert response["status_code"] == 429
    assert (error["type"], error["param"], error["code"]) == ("requests", None, "rate_limit_exceeded")
    assert response["request_id"].startswith("req_01")
