"""What an engine is built from: its ports, its policies and its options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from batchgate.engine.dispatch.claim_policy import ClaimPolicy
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.batch import Dialect
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.body_readers import OpenBatchFile
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.event_store import EventStore
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.rows import LineTranslator, RowFormat
from batchgate.engine.ports.scrub_store import ScrubStore
from batchgate.engine.ports.steering_store import SteeringStore
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import NoTelemetry, Telemetry
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.ports.usage_store import UsageStore
from batchgate.engine.support.steady_clock import SteadyClock
from batchgate.engine.webhooks.webhook_ports import WebhookPorts


class EngineDependencies(Struct, frozen=True, kw_only=True):
    """The dependencies of one `Engine`."""

    store: Store
    tenants: TenantStore
    scrub: ScrubStore
    steering: SteeringStore
    webhooks: WebhookPorts
    events: EventStore
    usage: UsageStore
    budgets: BudgetStore
    account_budgets: Mapping[str, int | None] = {}
    """The monthly budgets of the accounts, in nano-dollars; None for those without."""
    blobs: Blobs
    queue: Queue
    claim_policy: ClaimPolicy
    cluster: Cluster
    router: Router
    rows: Mapping[Dialect, RowFormat]
    translator: LineTranslator
    file_reader: OpenBatchFile
    clock: SteadyClock
    database_time: Callable[[], Awaitable[int]] | None = None
    """Reads the clock of the database, which all processes share; None if the database has no clock of its own."""
    shutdown_timeout: float
    """Seconds that calls in flight may take when the engine stops."""
    scrub_bytes_per_second: int
    """How fast stored blobs are read to check them; 0 for not at all."""
    max_output_bytes: int = 256 * 1024 * 1024
    """The largest answer that becomes a file."""
    usage_retention_days: int | None = None
    """Days for which usage is kept; None for ever."""
    fail_fast: int = 0
    """How many first results for one model pause a batch if they are the same permanent error; 0 for none."""
    has_worker: bool = True
    """Whether this process runs batches; a gateway without a worker only accepts and shows them."""
    seed: int | None = None
    """Seed of the random delays between retries, for tests."""
    telemetry: Telemetry = NoTelemetry()
