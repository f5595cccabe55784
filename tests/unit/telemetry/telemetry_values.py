"""Batches, claims and requests for tests of telemetry."""

from __future__ import annotations

from typing import Any

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.shard import Shard
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.telemetry import EndedCall


def batch(**overrides: Any) -> Batch:
    """Make a batch of two requests."""
    fields: dict[str, Any] = {
        "key": 1,
        "id": "msgbatch_01traced",
        "workspace": "w",
        "dialect": "anthropic",
        "provider": "p",
        "headers": {},
        "status": "in_progress",
        "counts": Counts(total=2),
        "repeated": 0,
        "created_at": 1_000,
        "expires_at": 2_000,
        "cancel_initiated_at": None,
        "ended_at": None,
        "archived_at": None,
        "fingerprint": b"",
        "input_blob": "input",
        "results_blob": None,
        "results_size": None,
    }
    return Batch(**(fields | overrides))


def claim(owner: Batch, *, shard: int = 0, epoch: int = 1) -> Claim:
    """Make the claim of a shard."""
    work = Shard(index=shard, first_seq=0, requests=2, offset=0, length=100, checksum=0)
    return Claim(batch=owner, shard=work, epoch=epoch, finished=frozenset())


def request(custom_id: str = "a", model: str = "m") -> RequestRow:
    """Make a request as it goes to a provider."""
    return RequestRow(custom_id=custom_id, params=b"{}", model=model, headers={})


def ended_call(owner: Batch | None = None, row: RequestRow | None = None, **overrides: Any) -> EndedCall:
    """Make a call to a provider that has succeeded."""
    fields: dict[str, Any] = {
        "account": "acc",
        "provider": "gemini",
        "outcome": "succeeded",
        "seconds": 0.25,
    } | overrides
    return EndedCall(batch=owner or batch(), request=row or request(), **fields)
