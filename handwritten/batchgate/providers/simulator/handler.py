"""The handler for accounts of the simulated model: rows of every kind are sent unchanged."""

from __future__ import annotations

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.openai import PATHS, OpenAIHandler


class SimulatorHandler:
    """Calls the simulated model in the dialect of each row, so that no row is translated."""

    def __init__(self) -> None:
        self._anthropic = AnthropicHandler()
        self._openai = OpenAIHandler(ServerCapabilities(name="simulator", serves=frozenset(PATHS)))

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid field."""
        return self._handler_for(row).encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind."""
        return self._handler_for(row).decode(row, response)

    def _handler_for(self, row: RequestRow) -> ProviderHandler:
        return self._anthropic if row.kind == "messages" else self._openai
