"""Estimates how long a batch would take that runs alone, by the present limits and the measured calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from batchgate.engine.dispatch.admission import LimiterKey
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.batch_estimate import Durations, ModelEstimate
from batchgate.engine.model.call_history import CallHistory

MINUTE = 60.0
"""Seconds."""


def durations(models: Mapping[LimiterKey, ModelEstimate], router: Router, history: CallHistory) -> Durations:
    """Return the seconds in each lane."""
    in_jobs = {account for (account, _), found in models.items() if found.native is not None}
    return Durations(direct=_of_calls(models, router, history), native=_of_jobs(in_jobs, router))


def _of_calls(models: Mapping[LimiterKey, ModelEstimate], router: Router, history: CallHistory) -> float | None:
    """Return the seconds of the slowest model or account; None if calls of one were never measured."""
    seconds = [0.0]
    for (account, model), found in models.items():
        per_call = history.seconds.get(account)
        if per_call is None:
            return None
        seconds.append(found.requests * per_call / max(1.0, router.limit_of(account, model)))
    return max(*seconds, *_by_rates(models, router)) if models else None


def _by_rates(models: Mapping[LimiterKey, ModelEstimate], router: Router) -> Iterable[float]:
    """Yield the seconds that the configured rates of each account ask for."""
    requests, tokens = Counter[str](), Counter[str]()
    for (account, _), found in models.items():
        requests[account] += found.requests
        tokens[account] += found.input_tokens + (found.output_limit or 0)
    for account in requests:
        endpoint = router.endpoint(account)
        if endpoint is None:
            continue
        if endpoint.account.requests_per_minute is not None:
            yield MINUTE * requests[account] / endpoint.account.requests_per_minute
        if endpoint.account.tokens_per_minute is not None:
            yield MINUTE * tokens[account] / endpoint.account.tokens_per_minute


def _of_jobs(accounts: Iterable[str], router: Router) -> float | None:
    endpoints = [router.endpoint(account) for account in accounts]
    windows = [each.batches.limits.window for each in endpoints if each is not None and each.batches is not None]
    return float(max(windows)) if windows else None
