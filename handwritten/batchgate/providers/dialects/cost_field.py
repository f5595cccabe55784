"""The field of a result line with what its answer cost, which no provider has."""

from __future__ import annotations

from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR


def cost_field(cost: int | None) -> bytes:
    """Return the field for a cost in nano-dollars, behind another field; nothing if the cost is not known."""
    if cost is None:
        return b""
    dollars, rest = divmod(cost, NANODOLLARS_PER_DOLLAR)
    digits = f"{dollars}.{rest:09d}".rstrip("0").rstrip(".")
    return b',"cost_usd":%s' % digits.encode()
