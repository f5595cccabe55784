"""``batchgate webhooks``: URLs that get the events of batches. A secret is the only output on stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import click
from msgspec import UNSET

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.rendering import moment
from batchgate.cli.terminal_table import print_table
from batchgate.cli.terminal_text import say
from batchgate.cli.webhook_client import WebhookClient
from batchgate.engine.model.webhook import EVENT_TYPES, DeliveryState
from batchgate_api.gateway import CreatedWebhook, CreateWebhook, Webhook, WebhookDelivery, WebhookEvent

T = TypeVar("T")

HEADINGS: Final = ("ID", "CREATED", "URL", "EVENTS")
LAYOUT: Final = "{:<30}  {:<20}  {:<40}  {}"
DELIVERY_HEADINGS: Final = ("EVENT", "TYPE", "BATCH", "CREATED", "STATE", "ATTEMPTS", "ERROR")
DELIVERY_LAYOUT: Final = "{:<30}  {:<20}  {:<34}  {:<20}  {:<9}  {:>8}  {}"
STATES: Final[tuple[DeliveryState, ...]] = ("pending", "delivered", "failed")
MONTH: Final = 30 * 24 * 60 * 60


@click.group("webhooks")
def webhooks_command() -> None:
    """Manage the URLs that get signed events of the batches of your workspace."""


@webhooks_command.command("add")
@click.argument("target", metavar="[URL]", required=False)
@click.option(
    "--event",
    "events",
    type=click.Choice(EVENT_TYPES),
    multiple=True,
    help="Event that is sent; repeat the option for several (all).",
)
@as_json_option
@connected
def add_command(connection: Connection, target: str | None, events: tuple[WebhookEvent, ...], *, as_json: bool) -> None:
    """Create a webhook and print its secret, which is not shown again.

    Without URL, events go to the URLs that batches name.
    """
    options = CreateWebhook(url=target or UNSET, events=list(events) or UNSET)
    _print_secret(_run(connection, lambda client: client.create(options)), as_json=as_json)


@webhooks_command.command("list")
@json_option("Print JSON, one webhook a line.")
@connected
def list_command(connection: Connection, *, as_json: bool) -> None:
    """List the webhooks, the oldest first."""
    webhooks = _run(connection, lambda client: client.list())
    if not as_json:
        print_table(HEADINGS, map(_row, webhooks), layout=LAYOUT)
        return
    for webhook in webhooks:
        print_json(webhook)


@webhooks_command.command("remove")
@click.argument("webhook_id", metavar="ID")
@as_json_option
@connected
def remove_command(connection: Connection, webhook_id: str, *, as_json: bool) -> None:
    """Delete the webhook ID; what is pending is not sent."""
    deleted = _run(connection, lambda client: client.delete(webhook_id))
    if as_json:
        print_json(deleted)
    else:
        say(f"{webhook_id} is deleted.")


@webhooks_command.command("rotate")
@click.argument("webhook_id", metavar="ID")
@click.option(
    "--overlap",
    metavar="SECONDS",
    type=click.IntRange(0, MONTH),
    default=24 * 60 * 60,
    show_default=True,
    help="Seconds for which the old secret signs too.",
)
@as_json_option
@connected
def rotate_command(connection: Connection, webhook_id: str, overlap: int, *, as_json: bool) -> None:
    """Replace the secret of the webhook ID and print the new one, which is not shown again."""
    _print_secret(_run(connection, lambda client: client.rotate(webhook_id, overlap)), as_json=as_json)


@webhooks_command.command("test")
@click.argument("webhook_id", metavar="ID")
@as_json_option
@connected
def test_command(connection: Connection, webhook_id: str, *, as_json: bool) -> None:
    """Send a test event to the webhook ID."""
    _print_sent(_run(connection, lambda client: client.test(webhook_id)), as_json=as_json)


@webhooks_command.command("deliveries")
@click.argument("webhook_id", metavar="ID")
@click.option("--state", type=click.Choice(STATES), help="Only deliveries in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Number of deliveries.")
@json_option("Print JSON, one delivery a line.")
@connected
def deliveries_command(
    connection: Connection, webhook_id: str, state: DeliveryState | None, limit: int, *, as_json: bool
) -> None:
    """List what was sent to the webhook ID, newest first, and how that ended."""
    found = _run(connection, lambda client: client.deliveries(webhook_id, state, limit))
    if not as_json:
        print_table(DELIVERY_HEADINGS, map(_delivery_row, found), right={"ATTEMPTS"}, layout=DELIVERY_LAYOUT)
        return
    for delivery in found:
        print_json(delivery)


@webhooks_command.command("replay")
@click.argument("webhook_id", metavar="ID")
@click.argument("event_id", metavar="EVENT")
@as_json_option
@connected
def replay_command(connection: Connection, webhook_id: str, event_id: str, *, as_json: bool) -> None:
    """Send the event EVENT to the webhook ID again."""
    _print_sent(_run(connection, lambda client: client.replay(webhook_id, event_id)), as_json=as_json)


def _run(connection: Connection, call: Callable[[WebhookClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with connection.client() as client:
            return await call(WebhookClient(client))

    return asyncio.run(run())


def _print_secret(webhook: CreatedWebhook, *, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
        return
    say(f"{webhook.id} ({_target(webhook)}). Its secret is not shown again:", err=True)
    say(webhook.secret)


def _print_sent(delivery: WebhookDelivery, *, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
    else:
        say(f"{delivery.event_id} ({delivery.type}) is being sent.")


def _row(webhook: Webhook) -> Sequence[str]:
    events = "all" if len(webhook.events) == len(EVENT_TYPES) else ", ".join(webhook.events)
    return (webhook.id, moment(webhook.created_at), _target(webhook), events)


def _delivery_row(delivery: WebhookDelivery) -> Sequence[str]:
    return (
        delivery.event_id,
        delivery.type,
        delivery.batch_id or "-",
        moment(delivery.created_at),
        delivery.state,
        str(delivery.attempts),
        delivery.error or "-",
    )


def _target(webhook: Webhook | CreatedWebhook) -> str:
    return webhook.url or "the URLs of batches"
