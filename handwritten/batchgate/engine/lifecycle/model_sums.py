"""Adds up what the requests of a batch need, by account and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from batchgate.engine.model.batch_estimate import LaneCost, ModelEstimate
from batchgate.engine.model.price import LanePrices, Price
from batchgate.engine.model.token_estimate import TokenEstimate
from batchgate.engine.model.usage import Usage

MAX_MODELS: Final = 50
"""Models that are shown apart; more are summed up, whatever models the requests name."""


class _Cost(Struct):
    """What requests cost, in nano-dollars."""

    input: int = 0
    expected: int = 0
    most: int = 0

    def add(self, price: Price, tokens: TokenEstimate) -> None:
        read = round(tokens.input)
        self.input += price.cost(Usage(input_tokens=read))
        self.expected += price.cost(Usage(input_tokens=read, output_tokens=round(tokens.output or 0)))
        self.most += price.cost(Usage(input_tokens=read, output_tokens=tokens.output_limit or 0))


class ModelSum(Struct):
    """The requests for one model."""

    requests: int = 0
    input: float = 0.0
    output_limit: int = 0
    unlimited: int = 0
    """Requests that do not bound their answers."""
    output: float = 0.0
    unforeseen: int = 0
    """Requests of which no answer is foreseen, because their model has answered none before."""
    unpriced: int = 0
    candidates: int = 0
    """Requests that may travel in jobs, if they are enough."""
    others: _Cost = field(default_factory=_Cost)
    """Calls of the requests that are no candidates."""
    called: _Cost = field(default_factory=_Cost)
    """Calls of the candidates."""
    in_jobs: _Cost = field(default_factory=_Cost)
    """The candidates in jobs."""

    def add(self, tokens: TokenEstimate | None, prices: LanePrices | None, *, is_candidate: bool) -> None:
        """Add a request."""
        self.requests += 1
        self.candidates += is_candidate
        if tokens is not None:
            self.input += tokens.input
            self.output_limit += tokens.output_limit or 0
            self.unlimited += tokens.output_limit is None
            self.output += tokens.output or 0
            self.unforeseen += tokens.output is None
        if tokens is None or prices is None:
            self.unpriced += 1
            return
        (self.called if is_candidate else self.others).add(prices.direct, tokens)
        if is_candidate:
            self.in_jobs.add(prices.native, tokens)

    def estimate(self, account: str, model: str, native: int) -> ModelEstimate:
        """Return what the requests need, if so many of the candidates travel in jobs."""
        part = native / self.candidates if self.candidates else 0.0
        return ModelEstimate(
            account=account,
            model=model,
            requests=self.requests,
            input_tokens=round(self.input),
            output_tokens=None if self.unforeseen else round(self.output),
            output_limit=None if self.unlimited else self.output_limit,
            direct=self._lane_cost(0.0),
            native=self._lane_cost(part) if native else None,
        )

    def _lane_cost(self, part: float) -> LaneCost:
        """Return the cost with this part of the candidates in jobs, and all others called."""
        called, in_jobs = self.called, self.in_jobs
        expected = self.others.expected + (1 - part) * called.expected + part * in_jobs.expected
        most = self.others.most + (1 - part) * called.most + part * in_jobs.most
        return LaneCost(
            expected=None if self.unforeseen else round(expected),
            input=round(self.others.input + (1 - part) * called.input + part * in_jobs.input),
            most=None if self.unlimited else round(most),
            unpriced=self.unpriced,
        )


def shown_models(estimates: Sequence[ModelEstimate]) -> Sequence[ModelEstimate]:
    """Return the estimates of the models with the most requests, and the sum of all others."""
    ordered = sorted(estimates, key=lambda estimate: -estimate.requests)
    first, others = ordered[:MAX_MODELS], ordered[MAX_MODELS:]
    return (*first, total_of_models(others)) if others else first


def total_of_models(estimates: Sequence[ModelEstimate]) -> ModelEstimate:
    """Add up estimates; a model of which nothing can travel in jobs is called in both lanes."""
    any_native = any(estimate.native is not None for estimate in estimates)
    return ModelEstimate(
        account=None,
        model=None,
        requests=sum(estimate.requests for estimate in estimates),
        input_tokens=sum(estimate.input_tokens for estimate in estimates),
        output_tokens=_sum([estimate.output_tokens for estimate in estimates]),
        output_limit=_sum([estimate.output_limit for estimate in estimates]),
        direct=_total_cost([estimate.direct for estimate in estimates]),
        native=_total_cost([estimate.native or estimate.direct for estimate in estimates]) if any_native else None,
    )


def _total_cost(costs: Sequence[LaneCost]) -> LaneCost:
    return LaneCost(
        input=sum(cost.input for cost in costs),
        expected=_sum([cost.expected for cost in costs]),
        most=_sum([cost.most for cost in costs]),
        unpriced=sum(cost.unpriced for cost in costs),
    )


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Add numbers up; None if one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
