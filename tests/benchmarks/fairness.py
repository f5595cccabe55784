"""Fairness: a small batch behind a large one, a fast model in one batch with a slow model, and a raised batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from batchgate_api.anthropic import MessageBatch
from tests.benchmarks.gateway_calls import create, ended, progress, set_priority
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

SMALL, LARGE = 100, 50_000
DONE_BEFORE_SMALL = 2_000
"""Results of the large batch that exist when the small batch is submitted."""
FAST_REQUESTS = 5_000
FAST, SLOW = 0.05, 5.0  # seconds
RAISED, DONE_BEFORE_RAISED = 20_000, 200
RAISED_WITHIN = 2.0  # seconds
ROUNDS = 3
POLL = 0.05  # seconds


def fairness() -> Iterator[Row]:
    """Measure the small batch behind the large one, the fast model beside the slow one, and the raised batch."""
    with simulated_upstream("--latency", str(FAST)) as fast, simulated_upstream("--latency", str(SLOW)) as slow:
        yield _behind_a_large_one(fast)
        yield _beside_a_slow_model(fast, slow)
        yield _raised(fast)


def _behind_a_large_one(upstream: SimulatedUpstream) -> Row:
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=_account(upstream)) as gateway:
        alone = [_seconds(ended(gateway.url, create(gateway.url, _requests("fast", SMALL)))) for _ in range(ROUNDS)]
        large = create(gateway.url, _requests("fast", LARGE))
        while progress(gateway.url, large.id).succeeded < DONE_BEFORE_SMALL:
            time.sleep(POLL)
        behind = [_seconds(ended(gateway.url, create(gateway.url, _requests("fast", SMALL)))) for _ in range(ROUNDS)]
        assert progress(gateway.url, large.id).status == "in_progress"
        gateway.kill()
    solo, beside = statistics.median(alone), statistics.median(behind)
    note = f"{beside:.2f} over {solo:.2f} s"
    return Row("a batch of 100 behind one of 50,000, over alone", beside / solo, "", "at most", 2.0, note)


def _beside_a_slow_model(fast: SimulatedUpstream, slow: SimulatedUpstream) -> Row:
    rates: dict[str, list[float]] = {"alone": [], "mixed": []}
    for _ in range(ROUNDS):
        rates["alone"].append(_rate(fast, slow, ["fast"] * FAST_REQUESTS))
        rates["mixed"].append(_rate(fast, slow, ["fast", "slow"] * FAST_REQUESTS))
    alone, mixed = statistics.median(rates["alone"]), statistics.median(rates["mixed"])
    note = f"{mixed:,.0f} over {alone:,.0f} requests/s"
    return Row("fast requests in a batch with slow ones, over alone", mixed / alone, "", "at least", 0.90, note)


def _raised(upstream: SimulatedUpstream) -> Row:
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=_account(upstream)) as gateway:
        lower, raised = (create(gateway.url, _requests("fast", RAISED)).id for _ in range(2))
        while progress(gateway.url, raised).succeeded < DONE_BEFORE_RAISED:
            time.sleep(POLL)
        set_priority(gateway.url, raised, "high")
        time.sleep(RAISED_WITHIN)
        before = [progress(gateway.url, batch_id).succeeded for batch_id in (lower, raised)]
        time.sleep(RAISED_WITHIN)
        after = [progress(gateway.url, batch_id).succeeded for batch_id in (lower, raised)]
        gateway.kill()
    others, own = (late - early for early, late in zip(before, after, strict=True))
    note = f"{own} of {own + others} calls, after {RAISED_WITHIN:.0f} s"
    return Row("calls of a batch of 20,000 that was raised to high", own / (own + others), "", "at least", 0.80, note)


def _rate(fast: SimulatedUpstream, slow: SimulatedUpstream, accounts: list[str]) -> float:
    """Run a batch until its fast requests are answered; return how many fast requests a second were answered."""
    fast.reset()
    settings = _account(fast) + _account(slow, "slow")
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=settings) as gateway:
        requests = [request for account in accounts for request in _requests(account, 1)]
        for number, request in enumerate(requests):
            request["custom_id"] = f"r{number}"
        begun = time.perf_counter()
        create(gateway.url, requests)
        while fast.stats().answered.get("200", 0) < FAST_REQUESTS:
            time.sleep(POLL)
        seconds = time.perf_counter() - begun
        gateway.kill()
    return FAST_REQUESTS / seconds


def _account(upstream: SimulatedUpstream, name: str = "fast") -> str:
    return f'[accounts.{name}]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\n'


def _requests(account: str, number: int) -> list[dict[str, object]]:
    params = {"model": f"{account}/m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    return [{"custom_id": f"r{number}", "params": params} for number in range(number)]


def _seconds(batch: MessageBatch) -> float:
    assert batch.ended_at is not None
    return (datetime.fromisoformat(batch.ended_at) - datetime.fromisoformat(batch.created_at)).total_seconds()
