"""Compares the tokens of answered requests with their estimates, so that later estimates are better."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.token_estimate import LearnedTokens, TokenEstimate
from batchgate.engine.model.usage import Usage

ALL_OF_FIRST: Final = 32
"""The first answers of a model, which are all compared."""
ONE_OF: Final = 16
"""Of later answers, one of so many is compared: an estimate takes longer than the rest that is done with an answer."""
KEPT: Final = 0.98
"""The part of the weight of earlier answers that is left with each further one."""
MAX_BYTES: Final = 128 * 1024
"""Larger requests are not compared, since that would keep the event loop for milliseconds."""
MAX_MODELS: Final = 1000
"""Models that are remembered; the one that was used least recently is forgotten."""


class _Sums(Struct):
    """Weighted sums over the answers of one model."""

    answers: int = 0
    weight: float = 0.0
    estimated: float = 0.0
    reported: float = 0.0
    output: float = 0.0

    def add(self, estimated: float, usage: Usage) -> None:
        self.weight = KEPT * self.weight + 1
        self.estimated = KEPT * self.estimated + estimated
        self.reported = KEPT * self.reported + usage.input_tokens
        self.output = KEPT * self.output + usage.output_tokens


class TokenHistory:
    """What the answers that this process got say about the tokens of each model."""

    def __init__(self, estimate: Callable[[RowKind, bytes], TokenEstimate | None]) -> None:
        self._estimate = estimate
        self._models: OrderedDict[tuple[str, str], _Sums] = OrderedDict()

    def record(self, model: tuple[str, str], kind: RowKind, params: bytes, usage: Usage | None) -> None:
        """Count an answer to a request for a model of an account."""
        if usage is None or not usage.input_tokens or len(params) > MAX_BYTES:
            return
        sums = self._models.get(model)
        if sums is None:
            sums = self._models[model] = _Sums()
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        sums.answers += 1
        if sums.answers <= ALL_OF_FIRST or sums.answers % ONE_OF == 0:
            self._models.move_to_end(model)
            tokens = self._estimate(kind, params)
            if tokens is not None and tokens.input:
                sums.add(tokens.input, usage)

    def learned(self) -> Mapping[str, Mapping[str, LearnedTokens]]:
        """Return what is known of each model by its account, those that were used last first."""
        found: dict[str, dict[str, LearnedTokens]] = {}
        for (account, model), sums in reversed(self._models.items()):
            if sums.estimated:
                learned = LearnedTokens(ratio=sums.reported / sums.estimated, output=sums.output / sums.weight)
                found.setdefault(account, {})[model] = learned
        return found
