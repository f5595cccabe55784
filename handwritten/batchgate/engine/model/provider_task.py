"""Tasks: requests that a provider accepted, and whose results it makes while the caller asks for them."""

from __future__ import annotations

from msgspec import Struct


class ProviderTask(Struct, frozen=True, kw_only=True):
    """A task that runs at a provider for one request; it is stored, so that no later run pays for another one."""

    batch_key: int
    seq: int
    """The request of the batch."""
    account: str
    """The account that created it, and the only one that can read it."""
    task_id: str
    """The provider's id."""
    created_at: int
    """Microseconds since the epoch."""
