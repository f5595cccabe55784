"""The urls of requests to a provider's own endpoints, which are sent as they are below the URL of the account.

So a url must match its endpoint exactly: the values in it are plain names, and only ElevenLabs has a query, of known
names. No other host or path can be reached by one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from batchgate.engine.model.batch_endpoint import KINDS, BatchEndpoint
from batchgate.engine.model.provider_call import OWN_KINDS

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""A value in a url; it cannot be ``..``, and has no character that needs an escape."""
_QUERY: Final = r"(?:output_format|enable_logging)=[a-z0-9_]{1,64}"


def _pattern(endpoint: BatchEndpoint) -> re.Pattern[str]:
    path = re.sub(r"\\{\w+\\}", f"({_NAME})", re.escape(endpoint))
    query = rf"(?:\?{_QUERY}(?:&{_QUERY})*)?" if KINDS[endpoint] == "elevenlabs" else ""
    return re.compile(path + query)


_PATTERNS: Final = {endpoint: _pattern(endpoint) for endpoint, kind in KINDS.items() if kind in OWN_KINDS}
WITH_VALUES: Final = frozenset(endpoint for endpoint in _PATTERNS if "{" in endpoint)
"""The endpoints whose requests have values in their urls."""


@lru_cache(maxsize=256)
def own_endpoint_of(url: str) -> BatchEndpoint | None:
    """Return the endpoint of a provider's own url; None for any other url, also for one with its braces."""
    return next((endpoint for endpoint, pattern in _PATTERNS.items() if pattern.fullmatch(url)), None)


def own_values(endpoint: BatchEndpoint, url: str) -> tuple[str, ...]:
    """Return the values in a url of an endpoint, in their order."""
    found = _PATTERNS[endpoint].fullmatch(url)
    return () if found is None else found.groups()
