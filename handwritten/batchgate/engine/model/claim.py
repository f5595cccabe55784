"""Claims: the right of one worker to run a shard."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.shard import Shard


class Claim(Struct, frozen=True, kw_only=True):
    """A shard that a worker has claimed."""

    batch: Batch
    shard: Shard
    epoch: int
    """The fencing token: a later claim of the shard has a larger one, and writes with a smaller one fail."""
    finished: frozenset[int]
    """The indexes (``seq``) of the requests whose results are durable."""
    sent: frozenset[int] = frozenset()
    """The indexes of other requests that an earlier claim has sent, and whose answers are lost."""
    withheld: frozenset[int] = frozenset()
    """The indexes of requests without a result that belong to active jobs of the native lane: they are not sent."""
    has_monthly_budget: bool = False
    """Whether the workspace or the API key of the batch has a monthly budget."""
    budgeted_accounts: frozenset[str] = frozenset()
    """The accounts that have a monthly budget; the settings of this process may not have all of them."""
