"""What a batch can be told when it is created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from batchgate_streams.calls import Provider

Lane: TypeAlias = Literal["auto", "direct", "native"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options of a batch; what is None is the gateway's default."""

    provider: Provider | None = None
    name: str | None = None
    lane: Lane | None = None
    budget_usd: float | None = None

    def header_arguments(self) -> dict[str, Any]:
        """Return them as arguments of the generated operations, which send them as headers."""
        given = {
            "x_model_provider": self.provider,
            "batchgate_name": self.name,
            "batchgate_lane": self.lane,
            "batchgate_budget_usd": self.budget_usd,
        }
        return {argument: value for argument, value in given.items() if value is not None}
