"""Webhooks: URLs that events of batches are sent to, and the deliveries of these events."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.clock import DAY

EventType: TypeAlias = Literal[
    "batch.created",
    "batch.started",
    "batch.progress",
    "batch.paused",
    "batch.budget_reached",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.canceled",
    "row.failed",
]
"""The events that a webhook chooses from."""
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
DEFAULT_EVENTS: Final = tuple(kind for kind in EVENT_TYPES if kind != "row.failed")
"""The events of a webhook that names none: those of batches."""

DeliveryState: TypeAlias = Literal["pending", "delivered", "failed"]
"""A delivery is pending until its receiver has accepted it, or until no attempt is left."""

RETRY_PERIOD: Final = DAY
"""For how long after an event its deliveries are retried."""
MAX_WEBHOOKS: Final = 16
"""Webhooks that one workspace may have."""
MAX_ERROR: Final = 300
"""Maximum number of characters that are kept of why an attempt failed."""


class NewWebhook(Struct, frozen=True, kw_only=True):
    """A webhook that is about to be stored."""

    id: str
    workspace: str
    url: str | None
    """Where its events are sent; None for the URLs that batches name themselves."""
    events: tuple[EventType, ...]
    """The events that are sent to it."""
    secret: bytes
    """The secret that signs its deliveries, encrypted."""
    created_at: int


class Webhook(NewWebhook, frozen=True, kw_only=True):
    """A stored webhook; times are microseconds since the epoch."""

    key: int
    updated_at: int
    """When its URL, its events or its secret last changed."""
    previous_secret: bytes | None = None
    """The secret before the last rotation, encrypted."""
    previous_secret_until: int | None = None
    """Until when that secret signs too."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one webhook; times are microseconds since the epoch."""

    key: int
    """It grows with each event of a batch."""
    event_id: str
    """Identifies the event: repeated deliveries of it have the same id."""
    type: str
    """The type of the event, as the receiver gets it."""
    payload: str
    """The body, JSON."""
    url: str | None
    """The URL that its batch names, if the webhook has none."""
    batch_id: str | None
    """None for a test event."""
    created_at: int
    """When the event happened."""
    state: DeliveryState
    attempts: int
    """The attempts since the event, or since it was last replayed."""
    next_attempt_at: int
    retry_until: int
    """No attempt follows one that fails after this time."""
    attempted_at: int | None
    """When the last attempt was made."""
    response_status: int | None
    """The status that the receiver answered to it; None if it gave no answer."""
    error: str | None
    """Why it failed."""


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """One page of deliveries, newest first."""

    deliveries: tuple[Delivery, ...]
    has_more: bool


class DeliveryAttempt(Struct, frozen=True, kw_only=True):
    """How an attempt ended, and what the delivery is from then on."""

    at: int
    state: DeliveryState
    next_attempt_at: int
    response_status: int | None = None
    error: str | None = None
