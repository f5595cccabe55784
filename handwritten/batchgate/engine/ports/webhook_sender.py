"""Calls of the URLs that users give for events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class WebhookSender(Protocol):
    """Posts events to URLs; it reaches no private address unless the operator allows it, and follows no redirect."""

    def refusal(self, url: str) -> str | None:
        """Return why a URL is never called, as far as it shows without resolving its name; None if it may be called."""
        ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post a body, and return the status of the answer; raises `NoUpstreamAnswer` if there is none.

        The addresses of a name are checked when the connection is made.
        """
        ...
