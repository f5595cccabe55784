"""How many calls are in flight to a model of an account, how many may be, and why not more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

LimitReason: TypeAlias = Literal["paused", "refused", "rate", "shared"]
"""Why fewer calls may be in flight than the account allows.

``paused``: the account or the model is paused. ``refused``: the provider has refused calls. ``rate``: calls wait for a
rate that is configured, or that the provider announces. ``shared``: other workers may use the rest.
"""
REASONS: Final[tuple[LimitReason, ...]] = ("paused", "refused", "rate", "shared")
"""The most important one first."""


class ModelLoad(Struct, frozen=True, kw_only=True):
    """The calls to one model of one account, of all batches."""

    account: str
    model: str
    in_flight: int
    limit: int
    """The most calls that may be in flight now."""
    maximum: int
    """The most that the settings of the account allow."""
    reason: LimitReason | None = None
    """Why calls wait though fewer are in flight than the maximum; None if nothing but the maximum bounds them."""


class AccountLoad(Struct, frozen=True, kw_only=True):
    """The calls to one account lately, of all batches."""

    calls: int = 0
    """Calls that have ended in the last minutes."""
    refused: int = 0
    """Those of them that the provider refused for load."""
    models: tuple[ModelLoad, ...] = ()


def combined_account_loads(loads: Iterable[AccountLoad]) -> AccountLoad:
    """Add up what workers report of the same account."""
    listed = list(loads)
    return AccountLoad(
        calls=sum(load.calls for load in listed),
        refused=sum(load.refused for load in listed),
        models=combined_loads(model for load in listed for model in load.models),
    )


def combined_loads(loads: Iterable[ModelLoad]) -> tuple[ModelLoad, ...]:
    """Add up what workers report of the same models."""
    found: dict[tuple[str, str], list[ModelLoad]] = {}
    for load in loads:
        found.setdefault((load.account, load.model), []).append(load)
    return tuple(_combined(same) for same in found.values())


def _combined(loads: list[ModelLoad]) -> ModelLoad:
    limit, maximum = sum(load.limit for load in loads), max(load.maximum for load in loads)
    reasons = {load.reason for load in loads}
    if limit >= maximum:  # the shares of the workers are all of it
        reasons -= {"shared"}
    return ModelLoad(
        account=loads[0].account,
        model=loads[0].model,
        in_flight=sum(load.in_flight for load in loads),
        limit=limit,
        maximum=maximum,
        reason=next((reason for reason in REASONS if reason in reasons), None),
    )
