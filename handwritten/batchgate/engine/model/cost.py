"""What answers cost, by the prices of the settings."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.usage import Usage

TOKENS_PER_PRICE: Final = 1_000_000
"""Prices are those of so many tokens."""
ANY_MODEL: Final = "*"


def cost_of(usage: Usage | None, account: Account, model: str) -> int:
    """Tell what an answer cost in nano-dollars, rounded up; nothing where its usage or the price is not known."""
    price = account.prices.get(model) or account.prices.get(ANY_MODEL)
    if usage is None or price is None:
        return 0
    cached = min(usage.cached_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    total = fresh * price.input + cached * price.cached_input + usage.output_tokens * price.output
    return -(-total // TOKENS_PER_PRICE)
