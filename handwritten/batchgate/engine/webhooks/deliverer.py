"""Delivers events to webhooks, those of one batch in order; what fails is retried for a day.

What is to be delivered is in the store before anything is sent, and the outcome is stored afterwards. So a process that
ends in between sends an event again, under the same id. In a cluster, one process delivers for all.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.clock import DAY, MICROSECONDS, Clock
from batchgate.engine.model.errors import ConfigurationError, NoUpstreamAnswer, StoreError
from batchgate.engine.model.webhook import MAX_ERROR, Delivery, DeliveryAttempt, Webhook
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.cancellation import cancel_all
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.webhooks.attempt_slots import AttemptSlots
from batchgate.engine.webhooks.signing import delivery_headers, no_master_key, signing_secrets
from batchgate.engine.webhooks.webhook_ports import WebhookPorts

logger = logging.getLogger(__name__)

COMPONENT = LEASE = "webhooks"
INTERVAL: Final = 1.0
"""Seconds between two looks for events."""
STORAGE_RETRY: Final = 30.0
"""Seconds without attempts after the store has failed: an event whose outcome is not stored is sent again."""
AT_ONCE: Final = 4
"""Attempts for one webhook that are made at the same time, of different batches."""
AT_ONCE_IN_ALL: Final = 32
"""Attempts for all webhooks that are made at the same time."""
MIN_ATTEMPTS: Final = 5
"""Attempts that are made at least: an event may be a day old because processes were down, or an earlier one failed."""
FIRST_DELAY: Final = 5.0
MAX_DELAY: Final = 1800.0
"""Seconds until the second attempt, and between two later ones."""
DELAY_FACTOR: Final = 3.0
RETENTION: Final = 29 * DAY
"""For how long deliveries are kept that are not pending."""
CLEANING_INTERVAL: Final = 3600 * MICROSECONDS


class WebhookDeliverer:
    """Looks for due deliveries every second; each webhook has a task of its own, and the workspaces share the attempts.

    So neither a slow webhook nor a workspace with many of them delays the others.
    """

    def __init__(
        self,
        *,
        ports: WebhookPorts,
        clock: Clock,
        cluster: Cluster,
        rng: random.Random,
        report: HealthReporter,
        telemetry: Telemetry,
    ) -> None:
        self._store = ports.store
        self._sender = ports.sender
        self._cipher = ports.cipher
        self._clock = clock
        self._cluster = cluster
        self._rng = rng
        self._report = report
        self._telemetry = telemetry
        self._has_lease = False
        self._slots = AttemptSlots(AT_ONCE_IN_ALL)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._faulty: set[str] = set()
        self._cleaned_at = 0

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(INTERVAL)
        finally:
            await cancel_all(self._tasks.values())

    async def _look(self) -> None:
        """Start a task for each webhook with due deliveries that has none."""
        try:
            self._has_lease = await self._cluster.acquire_lease(LEASE)
            if self._has_lease:
                now = self._clock.now()
                await self._clean(now)
                due = await self._store.due_webhooks(now)
                self._forget_faults({webhook.id for webhook in due})
                if self._cipher is None:
                    await self._leave_to_others(due)
                else:
                    self._start_all(due)
            else:  # the process that has the lease reports its own
                self._forget_faults(set())
        except StoreError as error:
            self._has_lease = False
            self._report(COMPONENT, error)
        else:
            self._report(COMPONENT, None)

    async def _leave_to_others(self, due: Sequence[Webhook]) -> None:
        """Release the lease without a master key, since another process may have one; so far none has taken it."""
        self._has_lease = False
        await self._cluster.release_lease(LEASE)
        for webhook in due:
            self._report_webhook(webhook.id, no_master_key())

    async def _clean(self, now: int) -> None:
        if now >= self._cleaned_at + CLEANING_INTERVAL:
            await self._store.drop_deliveries(now - RETENTION)
            self._cleaned_at = now

    def _forget_faults(self, due: set[str]) -> None:
        """Take back what was reported of webhooks that have nothing to deliver any more, such as deleted ones."""
        for webhook_id in self._faulty - due:
            self._report_webhook(webhook_id, None)

    def _report_webhook(self, webhook_id: str, error: Exception | None) -> None:
        (self._faulty.discard if error is None else self._faulty.add)(webhook_id)
        self._report(COMPONENT, error, of=webhook_id)

    def _start_all(self, due: Sequence[Webhook]) -> None:
        for webhook in due:
            if webhook.key not in self._tasks:
                self._start(webhook)

    def _start(self, webhook: Webhook) -> None:
        task = asyncio.create_task(self._try_to_deliver(webhook), name=f"webhook {webhook.id}")
        self._tasks[webhook.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(webhook.key))

    async def _try_to_deliver(self, webhook: Webhook) -> None:
        """Deliver what is due; a failure of this process is reported, and what is left is found by a later look."""
        try:
            await self._deliver(webhook)
        except StoreError as error:
            self._report_webhook(webhook.id, error)
            await asyncio.sleep(STORAGE_RETRY)
        except ConfigurationError as error:
            self._report_webhook(webhook.id, error)
        except Exception as error:
            logger.exception("the delivery of events failed", extra={"action": "webhooks_failed"})
            self._report_webhook(webhook.id, error)
        else:
            self._report_webhook(webhook.id, None)

    async def _deliver(self, webhook: Webhook) -> None:
        """Make the attempts that are due, up to four at once; each one that ends makes room for the next."""
        running: dict[asyncio.Task[None], Delivery] = {}
        try:
            while True:
                if self._has_lease:
                    await self._start_due(webhook, running)
                if not running:
                    return
                await _until_one_ends(running)
        except Exception:
            await asyncio.gather(*running, return_exceptions=True)
            raise
        finally:
            await cancel_all(running)

    async def _start_due(self, webhook: Webhook, running: dict[asyncio.Task[None], Delivery]) -> None:
        """Start attempts of batches that have none under way, as many as there is room for."""
        current = await self._store.find_webhook(webhook.workspace, webhook.id)
        due = await self._store.due_deliveries(webhook.key, self._clock.now(), 2 * AT_ONCE)
        busy = {_order_of(delivery) for delivery in running.values()}
        chosen = [delivery for delivery in due if _order_of(delivery) not in busy][: AT_ONCE - len(running)]
        if current is None or not chosen:
            return
        signers = signing_secrets(current, self._cipher, self._clock.now())
        for delivery in chosen:
            task = asyncio.create_task(self._attempt(current, delivery, signers), name=f"event {delivery.event_id}")
            running[task] = delivery

    async def _attempt(self, webhook: Webhook, delivery: Delivery, signers: Sequence[str]) -> None:
        async with self._slots.slot(webhook.workspace):
            if not self._has_lease:
                return
            status, error = await self._send(webhook, delivery, signers)
        hit_failpoint("webhook_sent")
        attempt = self._outcome(delivery, status, error)
        if attempt.state == "failed":
            fields = {"action": "webhook_failed", "webhook": webhook.id, "event": delivery.event_id}
            logger.warning("an event was not delivered: %s", error, extra=fields)
        self._telemetry.webhook_attempted(webhook, attempt.state)
        await self._store.record_attempt(delivery, attempt)

    async def _send(
        self, webhook: Webhook, delivery: Delivery, signers: Sequence[str]
    ) -> tuple[int | None, str | None]:
        """Make an attempt; return the status of the answer, and why the attempt failed, if it did."""
        url = webhook.url or delivery.url or ""
        headers = delivery_headers(delivery, signers, self._clock.now())
        try:
            status = await self._sender.post(url, headers, delivery.payload.encode())
        except NoUpstreamAnswer as error:
            return None, error.message[:MAX_ERROR]
        if 200 <= status < 300:
            return status, None
        redirects = "; redirects are not followed" if 300 <= status < 400 else ""
        return status, f"the receiver answered with status {status}{redirects}"

    def _outcome(self, delivery: Delivery, status: int | None, error: str | None) -> DeliveryAttempt:
        now, number = self._clock.now(), delivery.attempts + 1
        is_last = number >= MIN_ATTEMPTS and now >= delivery.retry_until
        return DeliveryAttempt(
            at=now,
            state="delivered" if error is None else "failed" if is_last else "pending",
            next_attempt_at=now + round(self._delay(number) * MICROSECONDS),
            response_status=status,
            error=error,
        )

    def _delay(self, attempts: int) -> float:
        """Return the seconds until the next attempt; they vary, so that not all receivers are called at once."""
        delay = min(FIRST_DELAY * DELAY_FACTOR ** min(attempts - 1, 10), MAX_DELAY)
        return delay * self._rng.uniform(0.9, 1.1)


async def _until_one_ends(running: dict[asyncio.Task[None], Delivery]) -> None:
    """Wait until an attempt ends, and raise its error; while there is room for others, wait no longer than a look."""
    timeout = INTERVAL if len(running) < AT_ONCE else None
    ended, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()
        del running[task]


def _order_of(delivery: Delivery) -> str:
    """Return what deliveries have in common that are made one after another: their batch."""
    return delivery.batch_id or delivery.event_id
