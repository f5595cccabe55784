"""What a batch has cost, in US dollars."""

from __future__ import annotations

from batchgate.engine.model.price import Spend
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate_api import gateway


def spend_view(spend: Spend) -> gateway.BatchSpend:
    """Return the spend of a batch as callers see it."""
    return gateway.BatchSpend(
        direct_usd=spend.direct / NANODOLLARS_PER_DOLLAR,
        native_usd=spend.native / NANODOLLARS_PER_DOLLAR,
        saved_usd=spend.saved / NANODOLLARS_PER_DOLLAR,
        unpriced=spend.unpriced,
    )


def dollars_or_none(nanodollars: int | None) -> float | None:
    """Return an amount as callers see it; None for none."""
    return None if nanodollars is None else nanodollars / NANODOLLARS_PER_DOLLAR
