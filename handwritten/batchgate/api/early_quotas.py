"""Refuses a long create beyond a quota before its body is read."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from batchgate.api.context import BATCHES, WORKSPACE

SHORT_BODY: Final = 256 * 1024
"""Bytes up to which a body is read anyway: the check would cost more than it saves."""


async def check_quotas_early(request: web.Request) -> None:
    """Raise `QuotaExceeded` for a create beyond a quota, unless its body is short or it may repeat an earlier create.

    A repeated create is answered with its batch even at the quota, and is found by its body.
    """
    is_short = request.content_length is not None and request.content_length <= SHORT_BODY
    may_repeat = "Idempotency-Key" in request.headers or request.headers.get("X-Stainless-Retry-Count", "0") != "0"
    if not is_short and not may_repeat:
        await request.app[BATCHES].check_quotas(request[WORKSPACE])
