"""The lanes: how the requests of a batch may run."""

from __future__ import annotations

from typing import Literal, TypeAlias

Lane: TypeAlias = Literal["auto", "direct", "native"]
"""One call for each request, jobs of the provider's own batch API, or whichever is cheaper and fits."""
