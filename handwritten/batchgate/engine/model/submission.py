"""What a caller submits beside the requests of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import BatchOptions, Dialect


class Submission(Struct, frozen=True, kw_only=True):
    """What comes with the requests of a create."""

    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    headers: Mapping[str, str]
    """Headers that go upstream with every request."""
    caller: str = ""
    """Who submits: the name of an API key, or nothing where none is needed."""
    idempotency_key: str | None = None
    is_retry: bool = False
    """Whether the caller's SDK says that it has sent this before."""

    def fingerprint(self, digest: bytes) -> bytes:
        """Hash all that makes the batch what it is; ``digest`` stands for its requests."""
        rest = msgspec.json.encode((self.dialect, self.options, self.provider, sorted(self.headers.items())))
        return hashlib.blake2b(digest + rest, digest_size=16).digest()
