"""The handler for accounts of the simulated model: rows of every kind are sent unchanged."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.bedrock import BedrockHandler
from batchgate.providers.handlers.cohere import CohereHandler
from batchgate.providers.handlers.gemini import GeminiHandler
from batchgate.providers.handlers.openai import PATHS, OpenAIHandler

_CAPABILITIES: Final = ServerCapabilities(name="simulator", serves=frozenset(PATHS))


class SimulatorHandler:
    """Calls the simulated model in the dialect of each row, so that no row is translated."""

    def __init__(self) -> None:
        self._anthropic = AnthropicHandler()
        self._bedrock = BedrockHandler()
        self._cohere = CohereHandler(_CAPABILITIES)
        self._gemini = GeminiHandler()
        self._openai = OpenAIHandler(_CAPABILITIES)

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid field."""
        return self._handler_for(row).encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind."""
        return self._handler_for(row).decode(row, response)

    def _handler_for(self, row: RequestRow) -> ProviderHandler:
        match row.kind:
            case "messages":
                return self._anthropic
            case "generate_content" | "embed_content":
                return self._gemini
            case "converse" | "invoke_model":
                return self._bedrock
            case "cohere_chat" | "cohere_embed":
                return self._cohere
            case _:
                return self._openai
