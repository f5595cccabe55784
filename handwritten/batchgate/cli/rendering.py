"""Batches as text for people and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from batchgate.cli.forecast_text import forecast_text, misses_text, span_text, time_between
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR, format_dollars
from batchgate_api.anthropic import MessageBatch, RequestCounts
from batchgate_api.gateway import (
    BatchControls,
    BatchPause,
    BatchProgress,
    BatchRefusal,
    BatchSummary,
    BatchTokens,
    LanePart,
    LimitReason,
    ModelConcurrency,
    NativeJob,
    RetriedCalls,
)

HEADINGS: Final = ("ID", "STATUS", "CREATED", "MODEL", "NAME", "DONE", "COST", "TIME", "REQUESTS")
TERMINAL_HEADINGS: Final = ("ID", "STATUS", "CREATED (UTC)", "MODEL", "NAME", "DONE", "FAILED", "COST", "TIME")
TERMINAL_NUMBERS: Final = frozenset({"DONE", "FAILED", "COST"})
ID_WIDTH: Final = 34
"""The width of the gateway's ids, so that the columns of all pages align."""
STATUS_WIDTH: Final = len("in_progress")
TIME_WIDTH: Final = len("2026-01-01 00:00:00Z")
MODEL_WIDTH: Final = 20
NAME_WIDTH: Final = 20
"""Longer models and names are cut."""
DONE_WIDTH: Final = len("10000/10000")
COST_WIDTH: Final = len("$1,000.00")
SPAN_WIDTH: Final = len("23 h 59 min left")
LIMIT_REASONS: Final[Mapping[LimitReason, str]] = {
    "paused": "paused",
    "refused": "the provider has refused calls",
    "rate": "calls wait for the rate limit",
    "shared": "other workers may use the rest",
}
VALIDATION_FAILED = "validation failed, nothing was sent; GET /openai/v1/batches/ID lists each wrong line"


def heading() -> str:
    """Return the header line of the table of batches."""
    return _row(HEADINGS)


def table_row(batch: BatchSummary) -> str:
    """Return the line of a batch in the table; ``show`` prints why it is paused."""
    counts = outcome(batch) + (" (paused)" if batch.paused else "")
    model, name = cut(batch.model or "-", MODEL_WIDTH), cut(batch.name or "-", NAME_WIDTH)
    start = (batch.id, batch.status, moment(batch.created_at), model, name)
    return _row((*start, _done(batch), _cost(batch), span_text(batch) or "-", counts))


def terminal_cells(batch: BatchSummary) -> Sequence[str]:
    """Return the cells of a batch under the `TERMINAL_HEADINGS`, which are narrower than the line of `table_row`."""
    status = "paused" if batch.paused is not None else batch.status
    failed = batch.errored + batch.expired + batch.canceled
    created = moment(batch.created_at)[len("2026-") : -len(":00Z")]  # batches are kept for a month
    start = (batch.id, status, created, batch.model or "-", batch.name or "-", _done(batch))
    return (*start, f"{failed}" if failed else "-", _cost(batch), span_text(batch) or "-")


def _done(batch: BatchSummary) -> str:
    return f"{batch.total - _open(batch)}/{batch.total}"


def _cost(batch: BatchSummary) -> str:
    spent = batch.spent.direct_usd + batch.spent.native_usd
    return f"${spent:,.2f}" if spent else "-"


def details(batch: MessageBatch, progress: BatchProgress) -> Iterator[tuple[str, str]]:
    """Return the facts about a batch by name."""
    facts: tuple[tuple[str, str | None], ...] = (
        ("Batch", batch.id),
        ("Name", progress.name),
        ("Retries", progress.parent),
        (
            "Reuses",
            None if progress.reuses is None else f"{progress.reuses}, {progress.reused}/{progress.total} results",
        ),
        ("Status", progress.status),
        ("Failed", VALIDATION_FAILED if progress.status == "failed" else None),
        ("Priority", None if progress.priority == "normal" else priority_text(progress)),
        ("Cap", None if progress.concurrency_cap is None else calls_in_flight(progress.concurrency_cap)),
        ("Requests", f"{progress.total}: {outcome(progress)}"),
        ("Waiting", None if progress.paused is None else pause_text(progress.paused)),
        ("Refused", None if progress.last_refusal is None else _refusal(progress.last_refusal)),
        ("Retried", retried_text(progress.retried_calls)),
        *(("Calls", calls_text(model)) for model in progress.concurrency),
        *(("Lane", lane_text(part)) for part in progress.lanes),
        *(("Job", job_text(job)) for job in progress.jobs),
        ("Forecast", None if progress.forecast is None else forecast_text(progress.forecast)),
        ("Misses", None if progress.forecast is None else misses_text(progress.forecast)),
        ("Tokens", tokens_text(progress.tokens)),
        ("Cost", cost_text(progress)),
        ("Budget", None if progress.budget_usd is None else dollars(progress.budget_usd)),
        ("Created", moment(batch.created_at)),
        ("Expires", None if batch.ended_at else moment(batch.expires_at)),
        ("Canceled", batch.cancel_initiated_at and moment(batch.cancel_initiated_at)),
        ("Ended", None if batch.ended_at is None else moment(batch.ended_at)),
        ("Duration", None if batch.ended_at is None else time_between(batch.created_at, batch.ended_at)),
        ("Archived", batch.archived_at and moment(batch.archived_at)),
        ("Results", batch.results_url),
    )
    return ((name, text) for name, text in facts if text)


def priority_text(batch: BatchProgress | BatchControls) -> str:
    """Return the priority of a batch, and whether it counts beside all batches of the gateway."""
    beside = " beside the batches of all workspaces" if batch.priority_scope == "gateway" else ""
    return f"{batch.priority}{beside}"


def calls_in_flight(cap: int) -> str:
    """Return how many calls a concurrency cap allows."""
    return f"{cap} call{'' if cap == 1 else 's'} in flight"


def pause_text(pause: BatchPause) -> str:
    """Return why the requests of a batch wait, and who has paused it."""
    if pause.code != "requested":
        return pause.reason
    by = "" if pause.by is None else f" by {pause.by}"
    return f"{pause.state}{by} since {moment(pause.since)}: {pause.reason}"


def _refusal(refusal: BatchRefusal) -> str:
    """Return the latest error after which a request waits for another call."""
    status = "" if refusal.status is None else f" ({refusal.status})"
    where = f"model {refusal.model!r} of account {refusal.account!r}"
    hint = "; its setting timeout says how long a call may take" if refusal.code == "timeout_error" else ""
    return f"{moment(refusal.at)} {where}: {refusal.code}{status}: {refusal.message}{hint}"


def retried_text(retried: Sequence[RetriedCalls]) -> str | None:
    """Return how many calls were made again, and why; nothing if none was."""
    total = sum(calls.count for calls in retried)
    reasons = ", ".join(f"{calls.count:,} {calls.reason.replace('_', ' ')}" for calls in retried)
    return f"{total:,} call{'' if total == 1 else 's'}: {reasons}" if total else None


def calls_text(model: ModelConcurrency) -> str:
    """Return how many calls to a model are in flight, how many may be, and why not more."""
    bound = f"{model.in_flight} in flight, at most {model.limit}"
    reason = "" if model.reason is None else f" of {model.maximum}: {LIMIT_REASONS[model.reason]}"
    return f"model {model.model!r} of account {model.account!r}: {bound}{reason}"


def lane_text(part: LanePart) -> str:
    """Return which lane some requests took, and why."""
    model = "" if part.model is None else f" for model {part.model!r}"
    account = "" if part.account is None else f" of account {part.account!r}"
    lane = "in no lane" if part.lane == "none" else part.lane
    reason = part.reason.removeprefix("lane: ")  # where an error begins with the field that is wrong
    return f"{requests(part.requests)}{model}{account}: {lane}, {reason}"


def job_text(job: NativeJob) -> str:
    """Return how far a job of a provider's batch API is."""
    state = f"{job.state}, {job.answered} of {job.requests} requests answered"
    status = "" if job.upstream_status is None else f" ({job.upstream_status})"
    upstream = "" if job.upstream_id is None else f"; {job.upstream_id}{status}"
    reason = "" if job.reason is None else f": {job.reason}"
    return f"model {job.model!r} of account {job.account!r}: {state}{upstream}{reason}"


def cost_text(progress: BatchProgress) -> str | None:
    """Return what a batch has cost; nothing if no price is known, unless it has ended or had jobs."""
    spent = progress.spent
    if progress.status == "ended" and spent.unpriced and not (spent.direct_usd or spent.native_usd or progress.jobs):
        return "not known: no price of the model is known"
    parts = [f"{dollars(spent.direct_usd + spent.native_usd)}"] if spent.direct_usd or spent.native_usd else []
    if spent.native_usd:
        parts.append(f"{dollars(spent.native_usd)} of it in jobs")
        parts.append(f"{dollars(spent.saved_usd)} saved by them")
    if progress.paid_twice:
        parts.append(f"{requests(progress.paid_twice)} paid twice")
    if spent.unpriced and (parts or progress.jobs):
        parts.append(f"{spent.unpriced} answers not counted, as their price is unknown")
    if progress.forecast is not None and progress.forecast.total_usd is not None:
        parts.append(f"about {dollars(progress.forecast.total_usd)} at the end")
    return ", ".join(parts) or None


def tokens_text(tokens: BatchTokens) -> str | None:
    """Return the tokens of the responses so far; nothing if no response has any."""
    return f"{tokens.input:,} in, {tokens.output:,} out" if tokens.input or tokens.output else None


def requests(number: int) -> str:
    """Return a number of requests."""
    return "1 request" if number == 1 else f"{number:,} requests"


def dollars(amount: float) -> str:
    """Return an amount in US dollars, with cents and more digits only if they are needed."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{format_dollars(round(abs(amount) * NANODOLLARS_PER_DOLLAR))}"


def cut(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def outcome(progress: BatchProgress | BatchSummary) -> str:
    """Return the counts of a batch by status."""
    return counted(
        RequestCounts(
            processing=_open(progress),
            succeeded=progress.succeeded,
            errored=progress.errored,
            canceled=progress.canceled,
            expired=progress.expired,
        )
    )


def _open(progress: BatchProgress | BatchSummary) -> int:
    """Count the requests without a result."""
    return progress.total - progress.succeeded - progress.errored - progress.canceled - progress.expired


def counted(counts: RequestCounts) -> str:
    """Return the counts that are not zero, as text."""
    return ", ".join(f"{count} {name}" for name, count in msgspec.structs.asdict(counts).items() if count)


def moment(timestamp: str) -> str:
    """Return an RFC 3339 time in UTC, to the second."""
    return f"{timestamp[:19].replace('T', ' ')}Z"


def _row(cells: Sequence[str]) -> str:
    batch_id, status, created, model, name, done, cost, span, requests = cells
    start = f"{batch_id:<{ID_WIDTH}}  {status:<{STATUS_WIDTH}}  {created:<{TIME_WIDTH}}"
    end = f"{done:>{DONE_WIDTH}}  {cost:>{COST_WIDTH}}  {span:<{SPAN_WIDTH}}  {requests}"
    return f"{start}  {model:<{MODEL_WIDTH}}  {name:<{NAME_WIDTH}}  {end}"
