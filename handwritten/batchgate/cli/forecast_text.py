"""What is expected of a running batch, as text for people."""

from __future__ import annotations

from datetime import UTC, datetime

from batchgate.cli.duration import duration
from batchgate_api.gateway import BatchForecast, BatchSummary


def forecast_text(forecast: BatchForecast, now: datetime | None = None) -> str:
    """Return how long a batch will take from now on, with the bounds, and at which rate it runs."""
    now = now or datetime.now(UTC)
    rate = f", {rate_text(forecast.requests_per_second)}" if forecast.requests_per_second else ""
    if forecast.ends_at is None:
        return f"the end is not known{rate}"
    if forecast.basis == "jobs":
        return f"ends within {time_left(forecast.ends_at, now)}: its jobs may end at any time until then"
    earliest = None if forecast.earliest is None else time_left(forecast.earliest, now)
    latest = None if forecast.latest is None else time_left(forecast.latest, now)
    bounds = f" ({earliest} to {latest})" if earliest and latest and earliest != latest else ""
    jobs = "; its jobs may take as long" if forecast.basis == "calls_and_jobs" else ""
    return f"ends in {time_left(forecast.ends_at, now)}{bounds}{rate}{jobs}"


def misses_text(forecast: BatchForecast) -> str | None:
    """Return how many requests will be missing at the expiry; nothing if all will have a result."""
    missed = forecast.unfinished_at_expiry
    if not missed:
        return None
    subject = "1 request" if missed == 1 else f"{missed:,} requests"
    return f"{subject} will have no result when the batch expires, at this rate; `batchgate extend` gives it more time"


def rate_text(per_second: float) -> str:
    """Return a rate in the unit in which it is easy to read."""
    if per_second >= 1:
        return f"{per_second:,.1f} requests a second"
    return f"{60 * per_second:,.1f} requests a minute"


def time_left(moment: str, now: datetime) -> str:
    """Return the time until a moment."""
    return duration((datetime.fromisoformat(moment) - now).total_seconds())


def time_between(begin: str, end: str) -> str:
    """Return the time from one moment to another."""
    return time_left(end, datetime.fromisoformat(begin))


def span_text(batch: BatchSummary, now: datetime | None = None) -> str | None:
    """Return how long a batch has taken, or the time that it will still take; None if that is not known."""
    if batch.ended_at is not None:
        return time_between(batch.created_at, batch.ended_at)
    if batch.forecast is None or batch.forecast.ends_at is None:
        return None
    return f"{time_left(batch.forecast.ends_at, now or datetime.now(UTC))} left"


def short_forecast(forecast: BatchForecast | None, now: datetime | None = None) -> str | None:
    """Return the rate and the time left, as far as they are known, for the end of a progress bar."""
    if forecast is None:
        return None
    rate = f"{forecast.requests_per_second:,.1f}/s" if forecast.requests_per_second else ""
    left = "" if forecast.ends_at is None else time_left(forecast.ends_at, now or datetime.now(UTC))
    at_most = "at most " if forecast.basis != "calls" else ""
    return ", ".join(part for part in (rate, left and f"{at_most}{left} left") if part) or None
