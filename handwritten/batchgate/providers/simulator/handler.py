"""The handler of accounts whose provider is the simulated model: it takes the rows of every kind as they are."""

from __future__ import annotations

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.openai import PATHS, OpenAIHandler


class SimulatorHandler:
    """Speaks to the simulated model in whatever dialect a row is in, so that no answer is a translated one."""

    def __init__(self) -> None:
        self._anthropic = AnthropicHandler()
        self._openai = OpenAIHandler(ServerCapabilities(name="simulator", serves=frozenset(PATHS)))

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call; raises `RequestError` naming the field that is wrong."""
        return self._handler_for(row).encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as one of the row's kind."""
        return self._handler_for(row).decode(row, response)

    def _handler_for(self, row: RequestRow) -> ProviderHandler:
        return self._anthropic if row.kind == "messages" else self._openai
