"""Submissions: the fields of a create beside its requests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import BatchOptions, Dialect
from batchgate.engine.model.retry import Retry


class Submission(Struct, frozen=True, kw_only=True):
    """A create of a batch, without its requests."""

    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    """The account for requests that name none."""
    headers: Mapping[str, str]
    """Headers that are sent to the provider with each request; names in lower case."""
    caller: str = ""
    """The name of the caller's API key; empty if the gateway needs no key."""
    idempotency_key: str | None = None
    is_retry: bool = False
    """Whether the caller's SDK marks this call as a retry."""

    retry: Retry | None = None
    """Which requests of which batch it retries; None for a create that brings its requests."""

    def fingerprint(self, digest: bytes) -> bytes:
        """Hash everything that determines the batch; ``digest`` is the hash of its requests.

        Those of a retry follow from what it asks for, so that it is recognized before its requests are read.
        """
        if self.retry is not None:
            digest = msgspec.json.encode(self.retry)
        rest = msgspec.json.encode((self.dialect, self.options, self.provider, sorted(self.headers.items())))
        return hashlib.blake2b(digest + rest, digest_size=16).digest()
