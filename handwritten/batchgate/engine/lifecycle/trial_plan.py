"""Goes through the requests of a batch that is not created: what cannot be sent, which lanes, how many tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from batchgate.engine.dispatch.admission import LimiterKey
from batchgate.engine.dispatch.prepared_request import PreparedRequest, request_row
from batchgate.engine.dispatch.request_reader import RequestReader
from batchgate.engine.dispatch.result_builder import INTERNAL_ERROR, log_internal_error
from batchgate.engine.lifecycle.model_sums import ModelSum
from batchgate.engine.model.batch import Batch, NewBatch
from batchgate.engine.model.batch_estimate import ModelEstimate
from batchgate.engine.model.call_history import CallHistory
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.request_fault import FaultList, RequestFault
from batchgate.engine.model.usage import Counts
from batchgate.engine.native.lane_plan import LanePlan
from batchgate.engine.ports.rows import LineTranslator


def trial_batch(new: NewBatch) -> Batch:
    """Return a batch that is not created as the planner sees one."""
    return Batch(
        key=0,
        id=new.id,
        workspace=new.workspace,
        dialect=new.dialect,
        options=new.options,
        provider=new.provider,
        headers=new.headers,
        status="in_progress",
        counts=Counts(total=0),
        repeated=0,
        created_at=new.created_at,
        expires_at=new.expires_at,
        cancel_initiated_at=None,
        ended_at=None,
        archived_at=None,
        fingerprint=new.fingerprint,
        input_blob=None,
        results_blob=None,
        results_size=None,
    )


class TrialPlan:
    """What became of the valid requests of a batch, which are added in their order."""

    def __init__(
        self, batch: Batch, requests: RequestReader, translator: LineTranslator, history: CallHistory, now: int
    ) -> None:
        self._batch = batch
        self._requests = requests
        self._translator = translator
        self.history = history
        self._now = now
        self._asked = LanePlan(batch)
        self._native = LanePlan(structs.replace(batch, options=structs.replace(batch.options, lane="native")))
        self._sums: defaultdict[LimiterKey, ModelSum] = defaultdict(ModelSum)
        self._accounts: dict[LimiterKey, int] = {}
        self.faults = FaultList()

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Add input lines with the places of their requests."""
        for place, line in lines:
            request = self._sendable(place, line)
            if request is not None:
                self._plan(request, len(line))

    def _sendable(self, place: int, line: bytes) -> PreparedRequest | None:
        """Read a request and encode it for its provider, or note why that is impossible."""
        try:
            request = self._requests.read(self._batch, place, line)
            endpoint = request.route.endpoint
            endpoint.handler.encode(endpoint.account, request_row(self._batch, request))
        except Exception as error:  # noqa: BLE001 - after any error the others must be read
            self._add_fault(place, line, error)
            return None
        return request

    def _add_fault(self, place: int, line: bytes, error: Exception) -> None:
        if not isinstance(error, RequestError):
            log_internal_error(self._batch, place, error)
            error = RequestError("api_error", INTERNAL_ERROR)
        custom_id = self._requests.custom_id(self._batch, line)
        self.faults.add(
            RequestFault(place=place, custom_id=custom_id, param=None, code=error.kind, message=error.message)
        )

    def _plan(self, request: PreparedRequest, size: int) -> None:
        self._asked.add(request, size, self._now)
        reason = self._native.add(request, size, self._now)
        route = request.route
        tokens = self._translator.request_tokens(self._batch.options.kind, request.row.params)
        learned = self.history.tokens_of(*route.key)
        if tokens is not None and learned is not None:
            tokens = learned.corrected(tokens)
        prices = route.endpoint.prices.find(route.model)
        self._sums[route.key].add(tokens, prices, is_candidate=reason is None)

    def models(self) -> Mapping[LimiterKey, ModelEstimate]:
        """Return what the requests for each model need."""
        native: defaultdict[LimiterKey, int] = defaultdict(int)
        for job in self._native.jobs(self._now):
            native[job.account, job.model] += job.requests
        return {key: found.estimate(*key, native[key]) for key, found in self._sums.items()}

    def lanes(self) -> Sequence[LanePart]:
        """Return which lanes the requests would take, and why."""
        self._asked.jobs(self._now)
        return self._asked.listed()

    def not_native(self) -> Sequence[LanePart]:
        """Return which requests the lane ``native`` would not run, and why, once `models` has returned."""
        return [part for part in self._native.listed() if part.lane != "native"]
