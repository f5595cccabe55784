"""Checks quotas before a body is read, so that what cannot be stored is not sent in vain."""

from __future__ import annotations

from collections.abc import Callable

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.workspace import QuotaDemand, Quotas, check_quotas
from batchgate.engine.ports.tenant_store import TenantStore


class EarlyQuotaCheck:
    """Compares a demand with the usage of a workspace. It reserves nothing: the store checks again, and decides."""

    def __init__(self, tenants: TenantStore, clock: Clock) -> None:
        self._tenants = tenants
        self._clock = clock

    async def check(self, workspace: str, demand: QuotaDemand) -> Callable[[QuotaDemand], None]:
        """Raise `QuotaExceeded` for a demand; the returned function does so for another one at the same usage."""
        found = await self._tenants.find_workspace(workspace)
        quotas = Quotas() if found is None else found.quotas
        if quotas == Quotas():
            return lambda _: None
        now = self._clock.now()
        usage = await self._tenants.find_usage(workspace, now)
        check_quotas(workspace, quotas, usage, demand, now)
        return lambda other: check_quotas(workspace, quotas, usage, other, now)
