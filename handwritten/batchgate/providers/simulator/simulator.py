"""A simulated model: answers in real wire formats, with latency and errors that a seed makes repeatable.

`Simulator` is pure: the same call under the same load gets the same reply. Its two hosts keep the state of earlier
calls: `SimulatorTransport`, which needs no network, and the stand-alone server in `providers.simulator.server`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from struct import Struct as PackedNumbers
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct, structs

from batchgate.engine.model.errors import NoUpstreamAnswer, RefusedError
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.providers.aws.credentials import read_credentials
from batchgate.providers.simulator.access_tokens import is_service_account, is_token_of
from batchgate.providers.simulator.bedrock_dialects import ConverseDialect, InvokeDialect, model_in_path
from batchgate.providers.simulator.cohere_dialects import CohereChatDialect, CohereEmbedDialect
from batchgate.providers.simulator.dialects import (
    CHARACTERS_PER_TOKEN,
    MessagesDialect,
    ModelInput,
    ModelOutput,
    SimulatedDialect,
)
from batchgate.providers.simulator.gemini_dialects import GEMINI_DIALECTS
from batchgate.providers.simulator.openai_dialects import (
    ChatDialect,
    CompletionsDialect,
    EmbeddingsDialect,
    ResponsesDialect,
)
from batchgate.providers.simulator.signatures import is_signed
from batchgate.providers.simulator.vertex_dialects import VERTEX_DIALECTS, is_vertex

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]

_MESSAGES: Final = MessagesDialect()
_OPENAI: Final = (ChatDialect(), ResponsesDialect(), EmbeddingsDialect(), CompletionsDialect())
"""Chat Completions comes before completions: its path also ends with ``/completions``."""
_BEDROCK: Final = (ConverseDialect(), InvokeDialect())
_COHERE: Final = (CohereChatDialect(), CohereEmbedDialect())

_PADDING: Final = " and so on"
_THREE_NUMBERS: Final = PackedNumbers(">QQQ")


class SimulatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the simulated model."""

    latency: Seconds = 0.05
    """Latency of answers and 5xx errors in seconds; other errors (400, 401, 404, 429) have none."""
    latency_by_model: dict[str, Seconds] = {}
    """Latency in seconds for single models."""
    jitter: Fraction = 0.0
    """Maximum random change of the latency, up or down, as a fraction of it."""
    error_rate: Fraction = 0.0
    """Fraction of calls that fail, half with 500 and half with 529 (503 in OpenAI's formats)."""
    rate_limit_rate: Fraction = 0.0
    """Fraction of calls that get 429 at any load."""
    retry_after: Seconds = 1.0
    """The retry-after of a 429 in seconds."""
    max_concurrency: Count | None = None
    """Maximum number of calls in flight; further calls get 429."""
    require_key: str | None = None
    """The only accepted API key, as x-api-key or Bearer, or the JSON of the AWS credentials that sign the calls, or of
    the Google service account whose access tokens are accepted; if not set, any key is accepted."""
    output_tokens: Count = 0
    """Minimum length of an answer in tokens of four characters; shorter answers are padded."""
    seed: Count = 0
    """Seed of the random errors and latency, together with the body and the attempt."""

    def __repr__(self) -> str:
        """Show the settings without the key."""
        return redacted_repr(self, "require_key")


class SimulatedCall(Struct, frozen=True, kw_only=True):
    """One HTTP POST to the simulated model."""

    path: str
    """As it was sent: percent-encoded, without the query."""
    headers: Mapping[str, str]
    """Headers by lower-case name."""
    body: bytes
    key: bytes
    """The `body_key` of the body."""
    attempt: int = 0
    """Number of earlier calls with the same body."""
    in_flight: int = 1
    """Calls in flight, this one included."""


class SimulatedReply(Struct, frozen=True, kw_only=True):
    """The response of the simulated model, and its delay in seconds."""

    response: UpstreamResponse
    delay: float


class Simulator:
    """Computes replies of the simulated model, without state and without a clock."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings: Final = settings or SimulatorSettings()

    def reply(self, call: SimulatedCall) -> SimulatedReply:
        """Return the reply to one call, in the dialect of its path."""
        random = _SeededRandom(self.settings.seed, call)
        dialect = _dialect_for(call.path)
        headers = {
            "content-type": "application/json",
            dialect.request_id_header: f"req_01{random.token}",
        }
        delay = 0.0
        try:
            self._check_call(call, dialect, random)
            model_input = dialect.read(call.body)
            if model := model_in_path(call.path):
                model_input = structs.replace(model_input, model=model)
            delay = self._delay(model_input, random)
            self._raise_random_error(random)
            status, body = 200, dialect.write(self._answer(model_input, random))
        except RefusedError as refusal:
            status, body = dialect.write_error(refusal, headers[dialect.request_id_header])
            headers |= refusal.headers if dialect.sends_retry_after else {}
        response = UpstreamResponse(status=status, headers=headers, body=body)
        return SimulatedReply(response=response, delay=delay)

    def _check_call(self, call: SimulatedCall, dialect: SimulatedDialect, random: _SeededRandom) -> None:
        """Raise `RefusedError` for an unknown path, a wrong key, or a call over the limits."""
        settings = self.settings
        if not call.path.endswith(dialect.path):
            raise RefusedError("not_found_error", f"The simulator has no {call.path}")
        if settings.require_key is not None and not _has_key(call, settings.require_key):
            raise RefusedError("authentication_error", "invalid x-api-key")
        overloaded = settings.max_concurrency is not None and call.in_flight > settings.max_concurrency
        if overloaded or random.rate_limit < settings.rate_limit_rate:
            raise RefusedError(
                "rate_limit_error",
                "This request would exceed the rate limit. Please try again later.",
                headers={"retry-after": f"{settings.retry_after:g}"},
            )

    def _raise_random_error(self, random: _SeededRandom) -> None:
        """Raise `RefusedError` for the fraction of calls that is set to fail."""
        if random.error < self.settings.error_rate / 2:
            raise RefusedError("overloaded_error", "Overloaded")
        if random.error < self.settings.error_rate:
            raise RefusedError("api_error", "Internal server error")

    def _delay(self, model_input: ModelInput, random: _SeededRandom) -> float:
        settings = self.settings
        latency = settings.latency_by_model.get(model_input.model, settings.latency)
        return latency * (1 + settings.jitter * (2 * random.jitter - 1))

    def _answer(self, model_input: ModelInput, random: _SeededRandom) -> ModelOutput:
        """Echo the last user message, padded to the minimum length and cut at max_tokens."""
        text = f"You said: {model_input.text}"
        missing = self.settings.output_tokens * CHARACTERS_PER_TOKEN - len(text)
        if missing > 0:
            text += (_PADDING * (missing // len(_PADDING) + 1))[:missing]
        complete = True
        if model_input.max_tokens is not None:
            max_characters = model_input.max_tokens * CHARACTERS_PER_TOKEN
            text, complete = text[:max_characters], len(text) <= max_characters
        return ModelOutput(
            model_input=model_input,
            text=text,
            output_tokens=-(-len(text) // CHARACTERS_PER_TOKEN),
            complete=complete,
            token=random.token,
        )


class SimulatorTransport:
    """A `Transport` that answers calls in process, without a network."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self._simulator: Final = Simulator(settings)
        self._in_flight = 0
        self._failures: defaultdict[bytes, int] = defaultdict(int)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Answer after the latency; raises `NoUpstreamAnswer` when the timeout comes first."""
        self._in_flight += 1
        try:
            reply = self._reply(request)
            await asyncio.sleep(min(reply.delay, request.timeout))
        finally:
            self._in_flight -= 1
        if reply.delay > request.timeout:
            message = f"no complete response from the simulator within {request.timeout:g} s"
            raise NoUpstreamAnswer("timeout_error", message, status=0, retry_safe=True)
        return reply.response

    def _reply(self, request: UpstreamRequest) -> SimulatedReply:
        key = body_key(request.body)
        call = SimulatedCall(
            path=urlsplit(request.url).path,
            headers=request.headers,
            body=request.body,
            key=key,
            attempt=self._failures.get(key, 0),
            in_flight=self._in_flight,
        )
        reply = self._simulator.reply(call)
        # Only calls that will be retried are stored: a demo may run for weeks.
        if reply.response.status == 429 or reply.response.status >= 500:
            self._failures[key] += 1
        else:
            self._failures.pop(key, None)
        return reply


def _dialect_for(path: str) -> SimulatedDialect:
    """Return the dialect of a path, or Messages for an unknown path."""
    for google in (*VERTEX_DIALECTS, *GEMINI_DIALECTS) if is_vertex(path) else GEMINI_DIALECTS:
        if path.endswith(google.path):
            return google(path)
    return next((dialect for dialect in (*_OPENAI, *_BEDROCK, *_COHERE) if path.endswith(dialect.path)), _MESSAGES)


def body_key(body: bytes) -> bytes:
    """Return a hash of a body, which identifies repeated calls."""
    return blake2b(body, digest_size=16).digest()


class _SeededRandom:
    """Random numbers in [0, 1) for one call, derived from the seed, the body and the attempt."""

    __slots__ = ("error", "jitter", "rate_limit", "token")

    def __init__(self, seed: int, call: SimulatedCall) -> None:
        digest = blake2b(call.key, digest_size=24, key=b"%d:%d" % (seed, call.attempt)).digest()
        error, rate_limit, jitter = _THREE_NUMBERS.unpack(digest)
        self.error: Final[float] = error / 2**64
        self.rate_limit: Final[float] = rate_limit / 2**64
        self.jitter: Final[float] = jitter / 2**64
        self.token: Final = digest.hex()[:22]


def _has_key(call: SimulatedCall, key: str) -> bool:
    """Return whether a call has the API key, in a header or as Bearer, or is authorized by the credentials."""
    named = call.headers.get("x-api-key") or call.headers.get("x-goog-api-key")
    named = named or call.headers.get("authorization", "").removeprefix("Bearer ")
    if key == named or is_token_of(key, named):
        return True
    credentials = None if is_service_account(key) else read_credentials(key)
    if credentials is None:
        return False
    return is_signed(credentials, method="POST", path=call.path, headers=call.headers, body=call.body)
