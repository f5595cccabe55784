"""Commands that control a running batch: pause, resume, extend, budget, priority, concurrency cap, lane, timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

import click
from msgspec import structs

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.failures import BatchPaused, CommandFailed
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.json_output import print_json
from batchgate.cli.money import read_money
from batchgate.cli.rendering import calls_in_flight, dollars, moment, priority_text
from batchgate.cli.terminal_text import say
from batchgate.engine.model.batch import PausedJobs
from batchgate.engine.model.concurrency_cap import MAX_CONCURRENCY
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.priority import Priority, PriorityScope
from batchgate.engine.model.times import from_rfc3339
from batchgate_api.gateway import BatchControls, TimelineEntry

NO_CAP: Final = "none"
BUDGET_LOOK, BUDGET_LOOKS = 0.1, 20
"""Seconds between looks at a resumed batch, and how many: it compares budgets twice a second and before its calls."""
UNITS: Final[Mapping[str, timedelta]] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def read_cap(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    """Read a number of calls, or ``none``."""
    if value == NO_CAP:
        return None
    is_short = len(value) <= len(str(MAX_CONCURRENCY))
    if is_short and value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_CONCURRENCY:
        return int(value)
    raise click.BadParameter(f"it must be a whole number from 1 to {MAX_CONCURRENCY}, or {NO_CAP}")


@click.command("pause")
@click.argument("batch_id", metavar="ID")
@click.option("--reason", help="Why; shown by `show` and `timeline`.")
@click.option(
    "--native-jobs",
    type=click.Choice(get_args(PausedJobs)),
    help="What happens to jobs that a provider has: keep lets them go on (default), wait does so and shows the batch as"
    " pausing until they have ended, cancel cancels them.",
)
@as_json_option
@connected
def pause_command(
    connection: Connection, batch_id: str, reason: str | None, native_jobs: PausedJobs | None, *, as_json: bool
) -> None:
    """Pause the batch ID. Requests in flight finish; no other is sent until it is resumed."""
    controls = asyncio.run(_pause(connection, batch_id, reason, native_jobs))
    resume = connection.command("resume", batch_id)
    _print(controls, f"{batch_id} {_pause_text(controls)}. To go on: {resume}", as_json=as_json)


def _pause_text(controls: BatchControls) -> str:
    pause = controls.paused
    if pause is None or pause.state == "paused":
        return "is paused: requests in flight may still finish"
    jobs = "cancels its jobs" if pause.native_jobs == "cancel" else "goes on with its jobs"
    return f"is pausing: nothing else is sent, and the provider {jobs}"


@click.command("resume")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def resume_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Resume the paused batch ID where it was."""
    controls = asyncio.run(_resume(connection, batch_id))
    if controls.paused is not None:
        raise BatchPaused(batch_id, controls.paused.reason, again=True)
    state = "has ended" if controls.status in {"ended", "failed"} else f"is {controls.status}"
    _print(controls, f"{batch_id} {state} and is not paused.", as_json=as_json)


@click.command("extend")
@click.argument("batch_id", metavar="ID")
@click.argument("span", metavar="[TIME]", required=False)
@click.option(
    "--at",
    "when",
    metavar="TIME",
    help="When it expires, also earlier: 2026-10-22T07:20:00Z, or 90m, 12h, 3d for so long from now.",
)
@as_json_option
@connected
def extend_command(connection: Connection, batch_id: str, span: str | None, *, when: str | None, as_json: bool) -> None:
    """Let the batch ID expire later: by TIME (90m, 12h, 3d) than it would, or with --at at another time."""
    if (span is None) == (when is None):
        raise click.UsageError("Say either how much later it expires, such as 12h, or with --at when.")
    later = None if span is None else _span(span)
    controls = asyncio.run(_move_deadline(connection, batch_id, later, None if when is None else moment_of(when)))
    _print(controls, f"{batch_id} expires at {moment(controls.expires_at)}.", as_json=as_json)


def _span(text: str) -> timedelta:
    """Return a time span such as ``12h``."""
    unit = UNITS.get(text[-1:])
    if unit is None or not (text[:-1].isascii() and text[:-1].isdigit()):
        raise click.BadParameter(
            f"{text!r} is not a number of minutes, hours or days, such as 90m, 12h or 3d; a moment needs --at",
            param_hint="TIME",
        )
    try:
        return int(text[:-1]) * unit
    except OverflowError:
        raise click.BadParameter(f"{text} is too far away", param_hint="TIME") from None


def moment_of(text: str) -> str:
    """Return a time that is given as itself, or as a number of minutes, hours or days from now."""
    unit = UNITS.get(text[-1:])
    if unit is None or not (text[:-1].isascii() and text[:-1].isdigit()):
        return _time_with_zone(text)
    try:
        return (datetime.now(UTC) + int(text[:-1]) * unit).isoformat()
    except OverflowError:
        raise click.BadParameter(f"{text} from now is too far away", param_hint="--at") from None


def _time_with_zone(text: str) -> str:
    try:
        from_rfc3339(text)
    except ValueError:
        expected = "a time with a zone, such as 2026-10-22T07:20:00Z, or 90m, 12h or 3d for so long from now"
        raise click.BadParameter(f"{text!r} is not {expected}", param_hint="--at") from None
    return text


@click.command("budget")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--usd",
    "amount",
    required=True,
    metavar="N|none",
    callback=read_money,
    help="What its answers may cost in all, in US dollars; none for any amount.",
)
@as_json_option
@connected
def budget_command(connection: Connection, batch_id: str, amount: float | None, *, as_json: bool) -> None:
    """Change what the batch ID may cost before it is paused.

    A batch that was paused for its budget goes on if the new one is not reached.
    """
    controls = asyncio.run(_change_budget(connection, batch_id, amount))
    budget = "no budget" if controls.budget_usd is None else f"a budget of {dollars(controls.budget_usd)}"
    state = "is not paused" if controls.paused is None else f"is paused: {controls.paused.reason}"
    _print(controls, f"{batch_id} has {budget} and {state}.", as_json=as_json)


@click.command("priority")
@click.argument("batch_id", metavar="ID")
@click.argument("priority", type=click.Choice(get_args(Priority)))
@click.option(
    "--scope",
    type=click.Choice(get_args(PriorityScope)),
    default="workspace",
    help="Beside which batches: those of your workspace (default), or for admins, with gateway, those of all.",
)
@as_json_option
@connected
def priority_command(
    connection: Connection, batch_id: str, priority: Priority, scope: PriorityScope, *, as_json: bool
) -> None:
    """Give the batch ID a larger or smaller share of the calls, beside your other batches, or all others."""
    controls = asyncio.run(_set_priority(connection, batch_id, priority, scope))
    _print(controls, f"{batch_id} has the priority {priority_text(controls)}.", as_json=as_json)


@click.command("concurrency")
@click.argument("batch_id", metavar="ID")
@click.argument("limit", metavar="N|none", callback=read_cap)
@as_json_option
@connected
def concurrency_command(connection: Connection, batch_id: str, limit: int | None, *, as_json: bool) -> None:
    """Let at most N calls of the batch ID be in flight, over all workers together; none for no such cap."""
    controls = asyncio.run(_set_concurrency(connection, batch_id, limit))
    cap = controls.concurrency_cap
    _print(
        controls,
        f"{batch_id} has {'no concurrency cap' if cap is None else f'at most {calls_in_flight(cap)}'}.",
        as_json=as_json,
    )


@click.command("lane")
@click.argument("batch_id", metavar="ID")
@click.argument("lane", type=click.Choice(get_args(Lane)))
@as_json_option
@connected
def lane_command(connection: Connection, batch_id: str, lane: Lane, *, as_json: bool) -> None:
    """Move the running batch ID to another lane: direct takes jobs back, others put what was not sent into jobs."""
    controls = asyncio.run(_set_lane(connection, batch_id, lane))
    _print(controls, f"{batch_id} has the lane {controls.lane}.", as_json=as_json)


@click.command("timeline")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def timeline_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Show who changed the running batch ID, what, and when."""
    asyncio.run(_timeline(connection, batch_id, as_json=as_json))


async def _pause(
    connection: Connection, batch_id: str, reason: str | None, native_jobs: PausedJobs | None
) -> BatchControls:
    async with connection.client() as client:
        return await client.pause(batch_id, reason=reason, native_jobs=native_jobs)


async def _resume(connection: Connection, batch_id: str) -> BatchControls:
    """Resume a batch; one that was paused for a monthly budget is looked at until it calls its account again."""
    async with connection.client() as client:
        before = (await client.progress(batch_id)).paused
        controls = await client.resume(batch_id)
        looks = BUDGET_LOOKS if before is not None and before.code == "monthly_budget_reached" else 0
        for _ in range(looks):
            await asyncio.sleep(BUDGET_LOOK)
            pause = (await client.progress(batch_id)).paused
            if pause is not None and pause.code == "monthly_budget_reached":
                return structs.replace(controls, paused=pause)
        return controls


async def _move_deadline(
    connection: Connection, batch_id: str, later: timedelta | None, when: str | None
) -> BatchControls:
    async with connection.client() as client:
        return await client.move_deadline(batch_id, when or await _later(client, batch_id, later or timedelta()))


async def _later(client: GatewayClient, batch_id: str, span: timedelta) -> str:
    """Return a time so much later than the one at which a batch would expire."""
    expires = datetime.fromisoformat((await client.find(batch_id)).expires_at)
    try:
        return (expires + span).isoformat()
    except OverflowError:
        raise CommandFailed("the batch cannot expire so late; name an earlier time") from None


async def _change_budget(connection: Connection, batch_id: str, budget_usd: float | None) -> BatchControls:
    async with connection.client() as client:
        return await client.change_budget(batch_id, budget_usd)


async def _set_priority(
    connection: Connection, batch_id: str, priority: Priority, scope: PriorityScope
) -> BatchControls:
    async with connection.client() as client:
        return await client.set_priority(batch_id, priority, scope)


async def _set_concurrency(connection: Connection, batch_id: str, limit: int | None) -> BatchControls:
    async with connection.client() as client:
        return await client.set_concurrency(batch_id, limit)


async def _set_lane(connection: Connection, batch_id: str, lane: Lane) -> BatchControls:
    async with connection.client() as client:
        return await client.set_lane(batch_id, lane)


async def _timeline(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        timeline = await client.timeline(batch_id)
    if as_json:
        print_json(timeline)
        return
    for entry in timeline.data:
        say(entry_text(entry))


def entry_text(entry: TimelineEntry) -> str:
    """Return what was done to a batch, when, and by whom."""
    by = "" if entry.by is None else f" by {entry.by}"
    if entry.action == "deadline_moved" and entry.detail is not None:
        return f"{moment(entry.at)}  deadline moved{by} to {moment(entry.detail)}"
    detail = "" if entry.detail is None else f": {entry.detail}"
    return f"{moment(entry.at)}  {entry.action.replace('_', ' ')}{by}{detail}"


def _print(controls: BatchControls, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(controls)
    else:
        say(text)
