"""What is expected of a running batch, as callers see it."""

from __future__ import annotations

from batchgate.engine.model.forecast import Forecast
from batchgate.engine.model.times import rfc3339_or_none
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate_api import gateway


def forecast_view(forecast: Forecast | None) -> gateway.BatchForecast | None:
    """Return a forecast for callers."""
    if forecast is None:
        return None
    return gateway.BatchForecast(
        basis=forecast.basis,
        requests_per_second=round(forecast.requests_per_second, 3),
        ends_at=rfc3339_or_none(forecast.ends_at),
        earliest=rfc3339_or_none(forecast.earliest),
        latest=rfc3339_or_none(forecast.latest),
        unfinished_at_expiry=forecast.missed,
        total_usd=None if forecast.cost is None else forecast.cost / NANODOLLARS_PER_DOLLAR,
    )
