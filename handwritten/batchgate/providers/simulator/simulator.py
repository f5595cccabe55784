"""A simulated model: answers in real wire formats, with delays and faults that a seed repeats.

`Simulator` is pure: the same call under the same load gives the same reply. What it has to be told
about earlier calls is kept by its two hosts: `SimulatorTransport` here, which needs no network, and
the stand-alone server in `providers.simulator.server`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from struct import Struct as PackedNumbers
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from batchgate.engine.model.errors import RefusedError, UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.providers.simulator.dialects import (
    CHARACTERS_PER_TOKEN,
    MessagesDialect,
    ModelInput,
    ModelOutput,
    SimulatedDialect,
)
from batchgate.providers.simulator.openai_dialects import (
    ChatDialect,
    CompletionsDialect,
    EmbeddingsDialect,
    ResponsesDialect,
)

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]

_MESSAGES: Final = MessagesDialect()
_OPENAI: Final = (ChatDialect(), ResponsesDialect(), EmbeddingsDialect(), CompletionsDialect())
"""Chat Completions stands before completions, whose path its own ends in too."""

_PADDING: Final = " and so on"
_THREE_NUMBERS: Final = PackedNumbers(">QQQ")


class SimulatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the simulated model behaves."""

    latency: Seconds = 0.05
    """Seconds from a call to its answer or 5xx; refusals (400, 401, 404, 429) come at once."""
    latency_by_model: dict[str, Seconds] = {}
    """The latency of single models, where it differs."""
    jitter: Fraction = 0.0
    """How far the latency of a call strays from the set one, up or down, as a part of it."""
    error_rate: Fraction = 0.0
    """The part of the calls that fails with 500 or 529 (503 in OpenAI's formats), half and half."""
    rate_limit_rate: Fraction = 0.0
    """The part of the calls that is answered 429, whatever the load."""
    retry_after: Seconds = 1.0
    """Seconds that a 429 asks the caller to wait."""
    max_concurrency: Count | None = None
    """The most calls in flight that are served; one more is answered 429."""
    require_key: str | None = None
    """The only API key that is let in, as x-api-key or as Bearer; any when not set."""
    output_tokens: Count = 0
    """The least length of an answer, in tokens of four characters; shorter ones are filled up."""
    seed: Count = 0
    """What the faults are drawn from, together with the body and the attempt."""

    def __repr__(self) -> str:
        """Show the settings without the key."""
        return redacted_repr(self, "require_key")


class SimulatedCall(Struct, frozen=True, kw_only=True):
    """One HTTP POST as the simulated model sees it."""

    path: str
    headers: Mapping[str, str]
    """Looked up in lower case."""
    body: bytes
    key: bytes
    """The `body_key` of the body, which the hosts need as well."""
    attempt: int = 0
    """How many calls with the same body came before this one."""
    in_flight: int = 1
    """Calls in flight, this one included."""


class SimulatedReply(Struct, frozen=True, kw_only=True):
    """What the simulated model says, and after how many seconds."""

    response: UpstreamResponse
    delay: float


class Simulator:
    """The behaviour of a simulated model, without memory and without a clock."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings: Final = settings or SimulatorSettings()

    def reply(self, call: SimulatedCall) -> SimulatedReply:
        """Decide the answer to one call, in the dialect of its path."""
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
            delay = self._delay(model_input, random)
            self._raise_random_error(random)
            status, body = 200, dialect.write(self._answer(model_input, random))
        except RefusedError as refusal:
            status, body = dialect.refuse(refusal, headers[dialect.request_id_header])
            headers |= refusal.headers
        response = UpstreamResponse(status=status, headers=headers, body=body)
        return SimulatedReply(response=response, delay=delay)

    def _check_call(self, call: SimulatedCall, dialect: SimulatedDialect, random: _SeededRandom) -> None:
        """Refuse a wrong path, a wrong key, and what is over the limits."""
        settings = self.settings
        if not call.path.endswith(dialect.path):
            raise RefusedError("not_found_error", f"The simulator has no {call.path}")
        if settings.require_key is not None and _key(call.headers) != settings.require_key:
            raise RefusedError("authentication_error", "invalid x-api-key")
        crowded = settings.max_concurrency is not None and call.in_flight > settings.max_concurrency
        if crowded or random.rate_limit < settings.rate_limit_rate:
            raise RefusedError(
                "rate_limit_error",
                "This request would exceed the rate limit. Please try again later.",
                headers={"retry-after": f"{settings.retry_after:g}"},
            )

    def _raise_random_error(self, random: _SeededRandom) -> None:
        """Fail the part of the calls that is set to fail."""
        if random.error < self.settings.error_rate / 2:
            raise RefusedError("overloaded_error", "Overloaded")
        if random.error < self.settings.error_rate:
            raise RefusedError("api_error", "Internal server error")

    def _delay(self, model_input: ModelInput, random: _SeededRandom) -> float:
        settings = self.settings
        latency = settings.latency_by_model.get(model_input.model, settings.latency)
        return latency * (1 + settings.jitter * (2 * random.jitter - 1))

    def _answer(self, model_input: ModelInput, random: _SeededRandom) -> ModelOutput:
        """Echo the question, filled up to the least length and cut at the most."""
        text = f"You said: {model_input.text}"
        missing = self.settings.output_tokens * CHARACTERS_PER_TOKEN - len(text)
        if missing > 0:
            text += (_PADDING * (missing // len(_PADDING) + 1))[:missing]
        complete = True
        if model_input.max_tokens is not None:
            room = model_input.max_tokens * CHARACTERS_PER_TOKEN
            text, complete = text[:room], len(text) <= room
        return ModelOutput(
            model_input=model_input,
            text=text,
            output_tokens=-(-len(text) // CHARACTERS_PER_TOKEN),
            complete=complete,
            token=random.token,
        )


class SimulatorTransport:
    """Answers calls in process: a `Transport` that needs no network."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self._simulator: Final = Simulator(settings)
        self._in_flight = 0
        self._failures: defaultdict[bytes, int] = defaultdict(int)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Answer after the latency; raises `UpstreamUnreachable` when the timeout comes first."""
        self._in_flight += 1
        try:
            reply = self._reply(request)
            await asyncio.sleep(min(reply.delay, request.timeout))
        finally:
            self._in_flight -= 1
        if reply.delay > request.timeout:
            message = f"no whole answer from the simulator within {request.timeout:g} s"
            raise UpstreamUnreachable("timeout_error", message, status=0, retry_safe=True)
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
        # Only what will be asked again is remembered: a demo may run for weeks.
        if reply.response.status == 429 or reply.response.status >= 500:
            self._failures[key] += 1
        else:
            self._failures.pop(key, None)
        return reply


def _dialect_for(path: str) -> SimulatedDialect:
    """Choose the dialect of a path; an unknown path is answered in Messages."""
    return next((dialect for dialect in _OPENAI if path.endswith(dialect.path)), _MESSAGES)


def body_key(body: bytes) -> bytes:
    """Name a body by its content: what tells a repeated call from a new one."""
    return blake2b(body, digest_size=16).digest()


class _SeededRandom:
    """The luck of one call: numbers in [0, 1) that the seed, the body and the attempt decide."""

    __slots__ = ("error", "jitter", "rate_limit", "token")

    def __init__(self, seed: int, call: SimulatedCall) -> None:
        digest = blake2b(call.key, digest_size=24, key=b"%d:%d" % (seed, call.attempt)).digest()
        error, rate_limit, jitter = _THREE_NUMBERS.unpack(digest)
        self.error: Final[float] = error / 2**64
        self.rate_limit: Final[float] = rate_limit / 2**64
        self.jitter: Final[float] = jitter / 2**64
        self.token: Final = digest.hex()[:22]


def _key(headers: Mapping[str, str]) -> str | None:
    """Read the API key in either of the two forms that SDKs send."""
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
