"""The cost of answers, computed with the prices in the settings."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.usage import Usage

TOKENS_PER_PRICE: Final = 1_000_000
"""Prices are per this many tokens."""
ANY_MODEL: Final = "*"


def cost_of(usage: Usage | None, account: Account, model: str) -> int:
    """Return the cost of an answer in nano-dollars, rounded up; 0 if its usage or the model's price is unknown."""
    price = account.prices.get(model) or account.prices.get(ANY_MODEL)
    if usage is None or price is None:
        return 0
    cached = min(usage.cached_tokens, usage.input_tokens)
    uncached = usage.input_tokens - cached
    total = uncached * price.input + cached * price.cached_input + usage.output_tokens * price.output
    return -(-total // TOKENS_PER_PRICE)
