"""Spans for OpenTelemetry: one trace per batch, whichever processes work on it and however often they restart.

The ids of the trace and of its root span, the create, are derived from the id of the batch. Shards, calls and the
finalization find their trace by it, so nothing is stored. Spans of calls follow the semantic conventions for generative
AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from threading import Thread
from typing import Final

from opentelemetry import context as current
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from batchgate.engine.model.answer_facts import AnswerFacts
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.telemetry import SUCCEEDED, EndedCall, NativeCall, NoTelemetry

Attributes = dict[str, str | int | Sequence[str]]

BATCH: Final = "batchgate.batch"
ROOT: Final = "create batch"
GEN_AI_OPERATIONS: Final[Mapping[RowKind, str]] = {
    "messages": "chat",
    "chat_completions": "chat",
    "responses": "chat",
    "embeddings": "embeddings",
    "completions": "text_completion",
    "converse": "chat",
    "invoke_model": "generate_content",
    "cohere_chat": "chat",
    "cohere_embed": "embeddings",
    "generate_content": "generate_content",
    "embed_content": "embeddings",
    "speech": "generate_content",
    "replicate": "generate_content",
    "elevenlabs": "generate_content",
    "runway": "generate_content",
}
"""The ``gen_ai.operation.name`` of each kind of request."""
GEN_AI_PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""The ``gen_ai.provider.name`` of the providers that the conventions name differently."""
CLOSE_TIMEOUT = 3.0  # seconds


def otlp_processor() -> SpanProcessor:
    """Return a processor that exports spans to the collector named by the OTEL_EXPORTER_OTLP_ variables."""
    return BatchSpanProcessor(OTLPSpanExporter())


class Spans(NoTelemetry):
    """Writes spans of batches, shards, native jobs, calls and finalizations; its tracer provider is not global."""

    def __init__(self, processor: SpanProcessor, version: str) -> None:
        self._ids = _SpanIds()
        resource = Resource({"service.name": "batchgate", "service.version": version})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("batchgate", version)
        self._shards: dict[tuple[int, int, int], tuple[Span, Token[Context]]] = {}

    async def close(self) -> None:
        """Export the remaining spans within `CLOSE_TIMEOUT`; the SDK would try for 30 seconds."""
        thread = Thread(target=self._provider.shutdown, daemon=True, name="spans-shutdown")
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_TIMEOUT)

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Write the root span of the batch's trace."""
        attributes: Attributes = {
            BATCH: batch.id,
            "batchgate.workspace": batch.workspace,
            "batchgate.requests": batch.counts.total,
            "batchgate.bytes": size,
        }
        with self._ids.fixed(_batch_span_ids(batch)):
            # In an empty context: a current span would belong to another trace.
            self._write(ROOT, attributes, seconds, context=Context(), kind=SpanKind.SERVER)

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Start the span of a shard, the parent of the calls in the current task."""
        attributes: Attributes = {
            BATCH: claim.batch.id,
            "batchgate.shard": claim.shard.index,
            "batchgate.epoch": claim.epoch,
            "batchgate.waited_ms": int(1000 * waited),
        }
        span = self._tracer.start_span("run shard", self._batch_context(claim.batch), attributes=attributes)
        self._shards[_shard_key(claim)] = span, current.attach(set_span_in_context(span))

    def shard_released(self, claim: Claim, *, seconds: float) -> None:  # noqa: ARG002
        """End the span of a shard."""
        found = self._shards.pop(_shard_key(claim), None)
        if found is not None:
            span, token = found
            current.detach(token)
            span.end()

    def call_ended(self, call: EndedCall) -> None:
        """Write the span of a call."""
        operation, model = GEN_AI_OPERATIONS[call.request.kind], call.request.model[:128]
        attributes: Attributes = {
            BATCH: call.batch.id,
            "batchgate.custom_id": call.request.custom_id,
            "batchgate.account": call.account,
            "batchgate.outcome": call.outcome,
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": GEN_AI_PROVIDERS.get(call.provider, call.provider),
            "gen_ai.request.model": model,
        }
        failed = call.outcome != SUCCEEDED
        if failed:
            attributes["error.type"] = call.outcome
        if call.read_answer is not None and get_current_span().is_recording():
            attributes |= _answer_attributes(call.read_answer())
        self._write(f"{operation} {model}", attributes, call.seconds, kind=SpanKind.CLIENT, failed=failed)

    def native_call_ended(self, batch: Batch, job: NativeJob, call: NativeCall, outcome: str, seconds: float) -> None:
        """Write the span of a call to a batch API."""
        attributes = _job_attributes(batch, job) | {"batchgate.outcome": outcome}
        if outcome != SUCCEEDED:
            attributes["error.type"] = outcome
        context, failed = self._batch_context(batch), outcome != SUCCEEDED
        name = f"{call} native job"
        self._write(name, attributes, seconds, context=context, kind=SpanKind.CLIENT, failed=failed)

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Write the span of a job, from its plan to its end."""
        attributes = _job_attributes(batch, job)
        attributes["batchgate.state"] = job.state
        attributes["batchgate.answered"] = job.answered
        attributes["batchgate.rescued"] = rescued
        seconds = ((job.ended_at or job.created_at) - job.created_at) / MICROSECONDS
        failed = job.state == "failed"
        self._write("native job", attributes, seconds, context=self._batch_context(batch), failed=failed)

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Write the span of a finalization."""
        attributes: Attributes = {BATCH: batch.id}
        for status in ("succeeded", "errored", "canceled", "expired"):
            attributes[f"batchgate.{status}"] = getattr(counts, status)
        self._write("finalize batch", attributes, seconds, context=self._batch_context(batch))

    def _write(
        self,
        name: str,
        attributes: Attributes,
        seconds: float,
        *,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
    ) -> None:
        """Write a span that ends now; its parent is in ``context``, or is the shard of the current task."""
        now = time.time_ns()
        started = now - int(seconds * 1e9)
        span = self._tracer.start_span(name, context, kind, attributes=attributes, start_time=started)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def _batch_context(self, batch: Batch) -> Context:
        """Return the context of a batch's trace, sampled if its root was."""
        trace_id, span_id = _batch_span_ids(batch)
        sampled = self._provider.sampler.should_sample(None, trace_id, ROOT).decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)))


class _SpanIds(RandomIdGenerator):
    """Generates random ids, except for root spans with fixed ids."""

    def __init__(self) -> None:
        self._fixed: tuple[int, int] | None = None

    @contextmanager
    def fixed(self, ids: tuple[int, int]) -> Iterator[None]:
        """Use these ids, of the trace and of the span, for the root span that starts within."""
        self._fixed = ids
        try:
            yield
        finally:
            self._fixed = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self._fixed is None else self._fixed[0]

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self._fixed is None else self._fixed[1]


def _batch_span_ids(batch: Batch) -> tuple[int, int]:
    """Derive the trace id and the root span id of a batch; they are never 0, which is invalid."""
    digest = hashlib.blake2b(batch.id.encode(), digest_size=24).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]) or 1


def _answer_attributes(facts: AnswerFacts) -> Attributes:
    attributes: Attributes = {}
    if facts.model is not None:
        attributes["gen_ai.response.model"] = facts.model[:128]
    if facts.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = facts.finish_reasons
    if facts.usage is not None:
        attributes["gen_ai.usage.input_tokens"] = facts.usage.input_tokens
        attributes["gen_ai.usage.output_tokens"] = facts.usage.output_tokens
    return attributes


def _job_attributes(batch: Batch, job: NativeJob) -> Attributes:
    attributes: Attributes = {
        BATCH: batch.id,
        "batchgate.account": job.account,
        "batchgate.job": job.token,
        "batchgate.requests": job.requests,
        "gen_ai.request.model": job.model[:128],
    }
    if job.upstream_id is not None:
        attributes["batchgate.upstream_id"] = job.upstream_id
    return attributes


def _shard_key(claim: Claim) -> tuple[int, int, int]:
    return claim.batch.key, claim.shard.index, claim.epoch
