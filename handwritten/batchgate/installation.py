"""Chooses store, queue and cluster for a process: embedded (SQLite), or on a shared PostgreSQL database."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.data_lock import exclusive_folder
from batchgate.engine.dispatch.claim_policy import ClaimAllPolicy, ClaimPolicy, FairClaimPolicy
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.cluster import Cluster, SingleProcess
from batchgate.engine.ports.event_store import EventStore
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.scrub_store import ScrubStore
from batchgate.engine.ports.secret_store import SecretStore
from batchgate.engine.ports.steering_store import SteeringStore
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.ports.usage_store import UsageStore
from batchgate.engine.ports.webhook_store import WebhookStore
from batchgate.queue import MemoryQueue
from batchgate.settings import Settings
from batchgate.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Role: TypeAlias = Literal["both", "gateway", "worker"]
"""What a process does: a gateway accepts and shows batches, a worker runs them."""

NEEDS_POSTGRES_EXTRA: Final = "the extra for PostgreSQL: pip install 'batchgate[postgres]'"


class Installation(Struct, frozen=True, kw_only=True):
    """The implementations of the ports, and the context managers to enter around them, in this order."""

    role: Role
    store: Store
    secrets: SecretStore
    scrub: ScrubStore
    steering: SteeringStore
    webhooks: WebhookStore
    events: EventStore
    usage: UsageStore
    budgets: BudgetStore
    tenants: TenantStore
    queue: Queue
    claim_policy: ClaimPolicy
    cluster: Cluster
    database_time: Callable[[], Awaitable[int]] | None = None
    """Reads the clock of the database; None if the database has no clock of its own."""
    resources: Sequence[AbstractAsyncContextManager[object]]


def installation(settings: Settings, role: Role) -> Installation:
    """Choose the implementations by the settings; raises `ConfigurationError` if the role needs another database."""
    if settings.database_url is not None:
        return _shared(settings, role)
    if role == "both":
        return _embedded(settings)
    wanted = "batchgate worker" if role == "worker" else "batchgate serve --no-worker"
    raise ConfigurationError("database_url", f"a PostgreSQL database, which `{wanted}` shares with other processes")


async def wait_for_database(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait until a PostgreSQL database accepts connections; return False if ``stop`` is set before.

    Raises `StoreError` if it takes longer than the settings allow, or if waiting is of no use.
    """
    if settings.database_url is None:
        return True
    from batchgate.store.postgres import PostgresAddress, availability  # noqa: PLC0415 - comes with an extra

    address = PostgresAddress(settings.database_url)
    return await availability.wait_for_database(address, settings.database_wait_timeout, stop)


def _embedded(settings: Settings) -> Installation:
    folder = Path(settings.data_dir)
    store = SqliteStore(folder / "batchgate.db")
    return Installation(
        role="both",
        store=store,
        secrets=store.secrets,
        scrub=store.scrub,
        steering=store.steering,
        webhooks=store.webhooks,
        events=store.events,
        usage=store.usage,
        budgets=store.budgets,
        tenants=store.tenants,
        queue=MemoryQueue(store.unfinished_jobs),
        claim_policy=ClaimAllPolicy(),
        cluster=SingleProcess(),
        resources=(_locked(folder), store),
    )


def _shared(settings: Settings, role: Role) -> Installation:
    try:
        from batchgate.queue.procrastinate import ProcrastinateQueue  # noqa: PLC0415 - comes with an extra
        from batchgate.store.postgres import PostgresAddress, PostgresCluster, PostgresStore  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ConfigurationError("database_url", NEEDS_POSTGRES_EXTRA) from error
    address = PostgresAddress(settings.database_url or "")
    name = f"{platform.node()}:{os.getpid()}"
    cluster = PostgresCluster(address, name=name, role=role, timeout=settings.worker_heartbeat_timeout)
    store = PostgresStore(address, member=lambda: cluster.member)
    queue = ProcrastinateQueue(address.conninfo, timeout=settings.worker_heartbeat_timeout)
    return Installation(
        role=role,
        store=store,
        secrets=store.secrets,
        scrub=store.scrub,
        steering=store.steering,
        webhooks=store.webhooks,
        events=store.events,
        usage=store.usage,
        budgets=store.budgets,
        tenants=store.tenants,
        queue=queue,
        claim_policy=FairClaimPolicy(),
        cluster=cluster,
        database_time=store.time,
        resources=(store, cluster) if role == "gateway" else (store, cluster, queue),
    )


@asynccontextmanager
async def _locked(folder: Path) -> AsyncIterator[None]:
    with exclusive_folder(folder):
        yield
