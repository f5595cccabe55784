"""One request while it runs, and what is kept beside its result."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, structs

from batchgate.engine.dispatch.batch_caps import CallPlaces
from batchgate.engine.dispatch.budget_gate import BudgetGate
from batchgate.engine.dispatch.endpoint import Call
from batchgate.engine.dispatch.limits import Limiter
from batchgate.engine.dispatch.retries import Retries
from batchgate.engine.dispatch.shard_extras import ShardExtras
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.health_report import Refusal
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.model.retried_calls import RetriedCallReason
from batchgate.engine.model.series import CallFacts
from batchgate.engine.model.shard import ResultLine

OnSending = Callable[[bool], None]
"""Called with True when a call starts and with False when it ends: a cancel does not interrupt a call in flight."""

OnRefused = Callable[[Refusal, RetriedCallReason], None]
"""Called when a call failed and the request waits for another one."""


class KeptParts(Struct):
    """What is stored for one request beside its result."""

    task: ProviderTask | None = None
    outputs: tuple[NewFile, ...] = ()
    call: CallFacts | None = None
    """The last call."""
    stated_cost: int | None = None
    """What the provider says that the call has cost, in nano-dollars."""

    def added_to(self, result: ResultLine) -> ResultLine:
        """Return the result with what is kept."""
        return structs.replace(result, ended_task=self.task is not None, outputs=self.outputs, call=self.call)


class RequestRun(Struct):
    """One request while it runs."""

    batch: Batch
    seq: int
    call: Call
    limiter: Limiter
    on_sending: OnSending
    on_refused: OnRefused | None
    retries: Retries
    extras: ShardExtras | None
    gate: BudgetGate | None
    places: CallPlaces
    kept: KeptParts

    @property
    def account(self) -> str:
        """The name of the account that is called."""
        return self.call.endpoint.account.name

    @property
    def needed_extras(self) -> ShardExtras:
        """What stores tasks and files of the request."""
        if self.extras is None:
            raise RuntimeError("a request has a task or makes a file, and nothing stores it")
        return self.extras
