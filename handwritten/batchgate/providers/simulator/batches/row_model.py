"""Answers the rows of jobs by the simulated model, as its live API does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.simulator import SimulatedCall, Simulator, body_key


class _CohereTokens(Struct):
    input_tokens: float = 0
    output_tokens: float = 0


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: _CohereTokens = msgspec.field(default_factory=_CohereTokens)


class _GeminiUsage(Struct):
    promptTokenCount: int = 0  # noqa: N815 - Gemini's name
    candidatesTokenCount: int = 0  # noqa: N815 - Gemini's name
    thoughtsTokenCount: int = 0  # noqa: N815 - Gemini's name


class _Answer(Struct):
    usage: _Usage = msgspec.field(default_factory=_Usage)
    usageMetadata: _GeminiUsage = msgspec.field(default_factory=_GeminiUsage)  # noqa: N815 - Gemini's name


_DECODER = msgspec.json.Decoder(_Answer)


class RowModel:
    """The simulated model with its current settings: error rates apply to rows too, latencies do not."""

    def __init__(self, current: Callable[[], Simulator]) -> None:
        self._current = current

    @property
    def required_key(self) -> str | None:
        """The only accepted key, if there is one."""
        return self._current().settings.require_key

    def ask(self, path: str, body: bytes) -> UpstreamResponse:
        """Return the answer of the live API to a call."""
        simulator = self._current()
        key = simulator.settings.require_key
        headers = {} if key is None else {"x-api-key": key}
        call = SimulatedCall(path=path, headers=headers, body=body, key=body_key(body))
        return simulator.reply(call).response


def tokens_of(body: bytes) -> tuple[int, int]:
    """Return the input tokens and the output tokens that an answer reports."""
    answer = _DECODER.decode(body)
    usage, gemini = answer.usage, answer.usageMetadata
    return (
        usage.prompt_tokens + usage.input_tokens + round(usage.tokens.input_tokens) + gemini.promptTokenCount,
        usage.completion_tokens
        + usage.output_tokens
        + round(usage.tokens.output_tokens)
        + gemini.candidatesTokenCount
        + gemini.thoughtsTokenCount,
    )
