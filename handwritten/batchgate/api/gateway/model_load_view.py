"""Shows the calls to a model of an account."""

from __future__ import annotations

from batchgate.engine.model.model_load import ModelLoad
from batchgate_api import gateway


def model_load_view(load: ModelLoad) -> gateway.ModelConcurrency:
    """Return the calls to a model as the API shows them."""
    return gateway.ModelConcurrency(
        account=load.account,
        model=load.model,
        in_flight=load.in_flight,
        limit=load.limit,
        maximum=load.maximum,
        reason=load.reason,
    )
