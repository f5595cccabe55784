"""Random operations on batches, in random order: the state of the gateway always matches a small model."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from msgspec import structs

from batchgate.account_settings import PriceSettings
from tests.support.databases import DatabaseKind, new_database
from tests.support.lifecycle_model import AMPLE, ANY_ANSWER, ENDINGS, PARAMS, Model, new_model, numbered
from tests.support.running_app import BATCHES, MovableClock, RunningApp, running_app, simulator
from tests.support.storage_leaks import check_no_storage_leaks

DAY = 24 * 3600
ARCHIVED = 29
"""The age in days at which a batch is archived."""
PRICES = {"*": PriceSettings(input=3.0, output=15.0)}
ACCOUNTS = {
    "quick": structs.replace(simulator(), prices=PRICES),
    "busy": structs.replace(simulator(rate_limit_rate=1.0, retry_after=60.0), prices=PRICES),
}
"""``quick`` answers at once. ``busy`` never answers, so its requests wait until the batch ends."""
TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it, on a machine with much other work too


class Lifecycle(RuleBasedStateMachine):
    """Drives a gateway in this process over HTTP."""

    batches: Bundle[str] = Bundle("batches")
    database: DatabaseKind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="batchgate-machine-"))
        self.databases = ExitStack()
        self.url = self.databases.enter_context(new_database(self.database, self.folder)).url
        self.loop = asyncio.Runner()
        self.clock = MovableClock()
        self.models: dict[str, Model] = {}
        self.deleted: list[str] = []
        self.cost_of_deleted = 0.0
        self.start()

    def start(self) -> None:
        """Start the gateway on the existing data folder."""
        self.stack = AsyncExitStack()
        settings: dict[str, Any] = {"accounts": ACCOUNTS, "default_provider": "quick", "database_url": self.url}
        app = running_app(self.folder, clock=self.clock, **settings)
        self.app: RunningApp = self.loop.run(self.stack.enter_async_context(app))

    def stop(self) -> None:
        """Stop the gateway gracefully."""
        self.loop.run(self.stack.aclose())

    def teardown(self) -> None:
        """Stop the gateway and remove its data folder."""
        self.stop()
        self.loop.close()
        self.databases.close()
        shutil.rmtree(self.folder)

    def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Make a request."""
        return self.loop.run(self.app.call(method, path, **options))

    @rule(target=batches, answered=st.integers(0, 3), waiting=st.integers(0, 2))
    def create(self, answered: int, waiting: int) -> str:
        """Create a batch and wait for its responses."""
        return self._create_batch(answered, max(waiting, 0 if answered else 1))

    @rule(target=batches, requests=st.integers(1, 3))
    def create_and_cancel_at_once(self, requests: int) -> str:
        """Create a batch and cancel it at once: the cancel races with claim, calls, result write and finalization."""
        batch_id = self._create_batch(requests, 0, wait=False)
        model = self.models[batch_id]
        model.doubt("succeeded")
        model.canceled = self.call("POST", f"{BATCHES}/{batch_id}/cancel")[1]["cancel_initiated_at"] is not None
        model.ended = True
        return batch_id

    @rule(target=batches, requests=st.integers(1, 3))
    def create_and_pause_at_once(self, requests: int) -> str:
        """Create a batch that does not end by itself, and pause it at once: the pause races with claim and calls."""
        batch_id = self._create_batch(requests, 1, wait=False)
        model = self.models[batch_id]
        model.doubt("succeeded")
        assert self.call("POST", f"/api/batches/{batch_id}/pause")[0] == 200
        model.paused = "requested"
        return batch_id

    @rule(target=batches, batch_id=batches)
    def retry(self, batch_id: str) -> Any:
        """Make a new batch of the requests of an ended one that did not succeed."""
        model = self.models.get(batch_id)
        failed = [name for name, ending in model.results if ending != "succeeded"] if model else []
        status, answer = self.call("POST", f"/api/batches/{batch_id}/retry", json={})
        if model is None or not model.ended or model.age >= ARCHIVED or not failed:
            is_gone = model is None or model.age >= ARCHIVED
            assert status == (404 if is_gone else 400), answer
            return multiple()
        assert status == 200, answer
        new = self._add_model(answer, failed, model.fail_fast)
        self.loop.run(self._wait_for_results(answer["id"], new))
        return answer["id"]

    @rule(target=batches, answered=st.integers(0, 2), errors=st.integers(1, 3), fail_fast=st.sampled_from([None, 0, 2]))
    def create_with_errors(self, answered: int, errors: int, fail_fast: int | None) -> str:
        """Create a batch some of whose results are the same permanent error: the first ones may pause it."""
        return self._create_batch(answered, 1, errors=errors, fail_fast=fail_fast)

    @rule(target=batches, batch_id=batches)
    def create_with_reuse(self, batch_id: str) -> Any:
        """Make a batch of the same requests as an ended one, whose successes it takes over without calls."""
        model = self.models.get(batch_id)
        if model is None or not model.ended or model.age >= ARCHIVED:
            return multiple()
        quick = [name for name, ending in model.results if ending == "succeeded"]
        return self._create_batch(len(quick), 1, names=quick, reuse=batch_id) if quick else multiple()

    def _create_batch(
        self,
        answered: int,
        waiting: int,
        *,
        errors: int = 0,
        fail_fast: int | None = None,
        wait: bool = True,
        names: Sequence[str] = (),
        reuse: str | None = None,
    ) -> str:
        names = [*(names or numbered("quick", answered)), *numbered("wrong", errors), *numbered("busy", waiting)]
        body = {"requests": [{"custom_id": name, "params": PARAMS[name.split("-")[0]]} for name in names]}
        headers = {} if reuse is None else {"batchgate-reuse": reuse}
        headers |= {} if fail_fast is None else {"batchgate-fail-fast": str(fail_fast)}
        status, batch = self.call("POST", BATCHES, json=body, headers=headers)
        assert status == 200, batch
        model = self._add_model(batch, names, fail_fast)
        model.taken_over = reuse is not None
        if wait:
            self.loop.run(self._wait_for_results(batch["id"], model))
        return str(batch["id"])

    def _add_model(self, batch: Mapping[str, Any], names: Sequence[str], fail_fast: int | None) -> Model:
        """Add the expected state of a new batch."""
        self.models[batch["id"]] = new_model(names, batch["created_at"], fail_fast)
        return self.models[batch["id"]]

    async def _wait_for_results(self, batch_id: str, model: Model) -> None:
        """Wait for the results that the model is sure of, and for the pause that they lead to."""
        expected, sure = Counter(model.endings.values()), ("succeeded", "errored")
        async with asyncio.timeout(TIMEOUT):
            while True:
                _, found = await self.app.call("GET", f"/api/batches/{batch_id}/progress")
                if _code(found) == model.paused and all(found[kind] >= expected[kind] for kind in sure):
                    return

    @rule(batch_id=batches)
    def cancel(self, batch_id: str) -> None:
        """Cancel a batch in any state."""
        status, batch = self.call("POST", f"{BATCHES}/{batch_id}/cancel")
        model = self.models.get(batch_id)
        if model is None:
            assert status == 404
            return
        assert status == 200
        if not model.ended:
            assert batch["processing_status"] == "canceling"
            model.canceled = True
            model.end_waiting_requests("canceled")

    @rule(batch_id=batches)
    def pause(self, batch_id: str) -> None:
        """Pause a batch in any state."""
        model = self.models.get(batch_id)
        status, answer = self.call("POST", f"/api/batches/{batch_id}/pause")
        assert status == (404 if model is None else 400 if model.ended else 200), answer
        if model is not None and not model.ended and model.paused in {"", "budget_reached"}:
            model.paused = "requested"

    @rule(batch_id=batches)
    def resume(self, batch_id: str) -> None:
        """Resume a batch in any state: one that was paused answers what it can."""
        model = self.models.get(batch_id)
        status, answer = self.call("POST", f"/api/batches/{batch_id}/resume")
        is_refused = model is not None and model.paused and model.has_spent_its_budget
        assert status == (404 if model is None else 400 if is_refused else 200), answer
        if model is not None and model.paused and not is_refused:
            model.paused = ""
            model.settle()
            self.loop.run(self._wait_for_results(batch_id, model))

    @rule(batch_id=batches, days=st.sampled_from([1, 2, 7, 8]))
    def move_deadline(self, batch_id: str, days: int) -> None:
        """Let a batch in any state expire so many days after its creation; more than 7 are refused."""
        model = self.models.get(batch_id)
        created = datetime.fromisoformat(model.created if model else "2026-11-01T00:00:00Z")
        body = {"expires_at": (created + timedelta(days=days)).isoformat()}
        status, answer = self.call("PUT", f"/api/batches/{batch_id}/deadline", json=body)
        if model is None:
            assert status == 404, answer
        elif days != model.days and (model.ended or days <= model.age or days > 7):
            assert status == 400, answer
        else:
            assert status == 200, answer
            model.days = days

    @rule(batch_id=batches, priority=st.sampled_from(["low", "normal", "high"]))
    def set_priority(self, batch_id: str, priority: str) -> None:
        """Give a batch in any state a priority: one that has ended keeps its own."""
        model = self.models.get(batch_id)
        status, answer = self.call("PUT", f"/api/batches/{batch_id}/priority", json={"priority": priority})
        if model is None:
            assert status == 404, answer
        elif model.ended and priority != model.priority:
            assert status == 400, answer
        else:
            assert (status, answer["priority"]) == (200, priority)
            model.priority = priority

    @rule(batch_id=batches, limit=st.sampled_from([None, 1, 4]))
    def set_concurrency(self, batch_id: str, limit: int | None) -> None:
        """Give a batch in any state a concurrency cap: one that has ended keeps its own."""
        model = self.models.get(batch_id)
        status, answer = self.call("PUT", f"/api/batches/{batch_id}/concurrency", json={"concurrency": limit})
        if model is None:
            assert status == 404, answer
        elif model.ended and limit != model.concurrency:
            assert status == 400, answer
        else:
            assert (status, answer["concurrency_cap"]) == (200, limit)
            model.concurrency = limit

    @rule(batch_id=batches, budget=st.sampled_from([None, ANY_ANSWER, AMPLE]))
    def change_budget(self, batch_id: str, budget: float | None) -> None:
        """Give a batch in any state a budget: what it has spent pauses it, or a higher one ends that pause."""
        model = self.models.get(batch_id)
        if model is not None and model.is_open:
            return  # how much it will have spent is not known
        status, answer = self.call("PUT", f"/api/batches/{batch_id}/budget", json={"budget_usd": budget})
        if model is None:
            assert status == 404, answer
        elif model.ended and budget != model.budget:
            assert status == 400, answer
        else:
            assert (status, answer["budget_usd"]) == (200, budget)
            self._set_budget(model, budget)

    @staticmethod
    def _set_budget(model: Model, budget: float | None) -> None:
        changed, model.budget = budget != model.budget, budget
        if model.ended or not changed:
            return
        if model.has_spent_its_budget:
            model.paused = model.paused or "budget_reached"
        elif model.paused == "budget_reached":
            model.paused = ""

    @rule(batch_id=batches)
    def delete(self, batch_id: str) -> None:
        """Delete a batch, which the gateway refuses before its end."""
        model = self.models.get(batch_id)
        if model is not None and model.ended:
            self.loop.run(self._wait_for_end(batch_id))
            self.cost_of_deleted += self._cost(batch_id)
            del self.models[batch_id]
            self.deleted.append(batch_id)
        expected = 404 if model is None else 200 if model.ended else 400
        assert self.call("DELETE", f"{BATCHES}/{batch_id}")[0] == expected

    @rule(batch_id=consumes(batches))
    def forget(self, batch_id: str) -> None:
        """Exclude a batch from later rules."""

    @rule(days=st.sampled_from([1, 28, 29]))
    def pass_days(self, days: int) -> None:
        """Move the clock by days: batches expire and are archived."""
        self.clock.move(days * DAY)
        for model in self.models.values():
            model.age += days
            if not model.ended and model.age >= model.days:
                model.end_waiting_requests("expired")

    @rule()
    def restart(self) -> None:
        """Stop the gateway and start it again."""
        self.stop()
        self.start()

    @rule(limit=st.integers(1, 3))
    def list_pages(self, limit: int) -> None:
        """Read all pages of the list."""
        found: list[str] = []
        page: dict[str, Any] = {"has_more": True, "last_id": None}
        while page["has_more"]:
            cursor = {"after_id": page["last_id"]} if page["last_id"] else {}
            status, page = self.call("GET", BATCHES, params={"limit": str(limit), **cursor})
            assert status == 200
            found += [batch["id"] for batch in page["data"]]
        assert found == list(self.models)[::-1]

    @invariant()
    def every_batch_matches_the_model(self) -> None:
        """Compare status, counts and results with the model."""
        for batch_id, model in self.models.items():
            if model.ended:
                self.loop.run(self._wait_for_end(batch_id))
                self._check_ended(batch_id, model)
            else:
                assert self.call("GET", f"{BATCHES}/{batch_id}")[1]["processing_status"] == "in_progress"
                assert self.call("GET", f"{BATCHES}/{batch_id}/results")[0] == 404
                _, progress = self.call("GET", f"/api/batches/{batch_id}/progress")
                assert (progress["priority"], _code(progress)) == (model.priority, model.paused)
        for batch_id in self.deleted:
            assert self.call("GET", f"{BATCHES}/{batch_id}")[0] == 404

    @invariant()
    def costs_add_up(self) -> None:
        """Compare what all batches have cost with the usage of all days."""
        if any(model.is_open for model in self.models.values()):
            return
        for batch_id, model in self.models.items():
            if model.ended:
                self.loop.run(self._wait_for_end(batch_id))
        costs = self.cost_of_deleted + sum(self._cost(batch_id) for batch_id in self.models)
        _, report = self.call("GET", "/api/usage?since=2000-01-01")
        assert report["total"]["cost_usd"] == pytest.approx(costs)

    def _cost(self, batch_id: str) -> float:
        _, progress = self.call("GET", f"/api/batches/{batch_id}/progress")
        return float(progress["spent"]["direct_usd"])

    @invariant()
    def storage_has_no_leaks(self) -> None:
        """Check that the data folder contains no leaked blobs and rows."""
        self.loop.run(asyncio.to_thread(check_no_storage_leaks, self.folder, self.url))

    async def _wait_for_end(self, batch_id: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self.app.ended(batch_id)

    def _check_ended(self, batch_id: str, model: Model) -> None:
        _, batch = self.call("GET", f"{BATCHES}/{batch_id}")
        assert (batch["cancel_initiated_at"] is not None) == model.canceled
        if model.age >= ARCHIVED:
            self.loop.run(self._wait_until_archived(batch_id))
            assert self.call("GET", f"{BATCHES}/{batch_id}/results")[0] == 404
        else:
            lines = self.loop.run(self.app.results(batch_id))
            model.results = [(line["custom_id"], line["result"]["type"]) for line in lines]
            assert [name for name, _ in model.results] == list(model.endings)
            assert all(model.may_end(name, ending) for name, ending in model.results)
        counts = {kind: number for kind, number in batch["request_counts"].items() if number}
        assert counts == Counter(ending for _, ending in model.results) or (not model.results and model.age >= ARCHIVED)
        failed = Counter(ending for _, ending in model.results if ending != "succeeded")
        _, progress = self.call("GET", f"/api/batches/{batch_id}/progress")
        assert progress["priority"] == model.priority
        kinds = Counter({ENDINGS.get(group["kind"], group["kind"]): group["count"] for group in progress["failures"]})
        assert kinds == (Counter() if model.age >= ARCHIVED else failed)

    async def _wait_until_archived(self, batch_id: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while (await self.app.call("GET", f"{BATCHES}/{batch_id}"))[1]["archived_at"] is None:
                pass


def _code(progress: Mapping[str, Any]) -> str:
    """Return the code of the pause of a batch; empty if it is not paused, also if its provider turns calls away."""
    paused = progress["paused"]
    return "" if paused is None or paused["code"] == "rate_limited" else str(paused["code"])


class LifecycleOnPostgres(Lifecycle):
    """The same on PostgreSQL."""

    database = "postgres"


TestLifecycle = pytest.mark.timeout(900)(Lifecycle.TestCase)
TestLifecycle.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLifecycleOnPostgres = pytest.mark.timeout(900)(LifecycleOnPostgres.TestCase)
TestLifecycleOnPostgres.settings = settings(TestLifecycle.settings, max_examples=5)
