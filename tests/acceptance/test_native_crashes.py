"""A gateway that is killed while a batch travels in a provider's job finishes the batch after a restart.

Each kill ends a real process. The gateway of the last start runs in the process of the test, with a clock that the
test moves: it looks for a job in doubt for minutes. The results contain each custom_id once and in order, the counts
are exact, the provider charges for no request twice, and the gateway knows every job that ran a request. A failure at
random moments names its seed. ``CRASH_SEEDS=200`` runs more seeds.
"""

import os
import random
import signal
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.support.native_crashes import TOKENS, native_crashes
from tests.support.running_app import BATCHES
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

SPEED = 60
"""How many times as fast as real time the provider is: a job takes less than a second."""
LONGEST_RUN = 1.2  # seconds after the start of a gateway; it has collected a job that has ended by then
SEEDS = range(int(os.environ.get("CRASH_SEEDS", "5")))

EACH_PROVIDER: list[tuple[str, ...]] = [
    ("native_planned",),
    ("native_submitting",),
    ("native_creating",),
    ("native_create_answered",),
    ("native_uploading",),
    ("native_created", "native_collecting", "native_ended", "native_discarded"),
]
"""The steps at which the gateway is killed, one after the other."""
ONLY_OPENAI: list[tuple[str, ...]] = [
    ("rows_written",),
    ("native_grouped",),
    ("shard_claimed", "request_in_flight", "chunk_half_flushed"),
    ("native_uploaded",),
    ("native_uploaded", "native_creating"),
    ("native_polled",),
    ("native_created", "finalizing_started"),
]
FORMS: dict[str, tuple[str, ...]] = {
    "bedrock": ("native_create_answered", "native_collecting"),
    "mistral": ("native_create_answered", "native_collecting"),
    "xai": ("native_create_answered", "native_collecting"),
    "fireworks": ("native_create_answered", "native_collecting"),
    "gemini": ("native_uploaded", "native_create_answered", "native_collecting"),
    "openrouter": ("native_create_answered",),
    "cohere": ("native_uploaded", "native_create_answered", "native_collecting"),
    "vertex": ("native_uploaded", "native_create_answered", "native_collecting"),
}
"""The providers whose batch API has a form of its own."""
CASES: list[Any] = [
    *(pytest.param("openai", steps, id=f"openai-{'-'.join(steps)}") for steps in EACH_PROVIDER + ONLY_OPENAI),
    *(pytest.param("anthropic", steps, id=f"anthropic-{'-'.join(steps)}") for steps in EACH_PROVIDER),
    *(pytest.param(form, steps, id=f"{form}-{'-'.join(steps)}") for form, steps in FORMS.items()),
]


@pytest.fixture(scope="module")
def upstream() -> Any:
    with simulated_upstream(
        "--latency", "0", "--output-tokens", str(TOKENS), "--batches", "--speed", str(SPEED)
    ) as simulated:
        yield simulated


@pytest.mark.parametrize(("provider", "steps"), CASES)
async def test_a_gateway_killed_at_steps_of_a_job_finishes_the_batch_after_a_restart(
    upstream: SimulatedUpstream, tmp_path: Path, provider: str, steps: tuple[str, ...]
) -> None:
    async with native_crashes(upstream, provider, tmp_path) as suite:
        for number, step in enumerate(steps):
            with suite.gateway(step) as gateway:
                if number == 0:
                    await suite.submit(gateway.url)
                assert gateway.wait() == -signal.SIGKILL
            await suite.providers.advance(60)
            await suite.read_journal()
        await suite.check_that_all_succeed()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_gateway_killed_while_it_cancels_a_job_keeps_what_was_answered(
    upstream: SimulatedUpstream, tmp_path: Path, provider: str
) -> None:
    async with native_crashes(upstream, provider, tmp_path) as suite:
        await suite.providers.configure(running=100_000)
        # All jobs exist for certain: one that was found by its time and size alone would not be canceled.
        with suite.gateway("native_created", hit=1 if provider == "openai" else 2) as gateway:
            batch_id = await suite.submit(gateway.url)
            assert batch_id is not None
            assert gateway.wait() == -signal.SIGKILL
        await suite.providers.advance(50_000)
        with suite.gateway("native_canceling") as gateway:
            async with suite.providers.http.post(f"{gateway.url}{BATCHES}/{batch_id}/cancel") as answer:
                assert answer.status == 200
            assert gateway.wait() == -signal.SIGKILL
        await suite.check_that_answers_are_kept(batch_id)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_gateway_killed_while_it_rescues_a_batch_pays_for_no_request_twice(
    upstream: SimulatedUpstream, tmp_path: Path, provider: str
) -> None:
    async with native_crashes(upstream, provider, tmp_path) as suite:
        suite.lane = "auto"
        await suite.providers.configure(running=100_000)
        with suite.gateway("native_created") as gateway:
            assert await suite.submit(gateway.url) is not None
            assert gateway.wait() == -signal.SIGKILL
        await suite.providers.advance(50_000)
        for step in ("native_canceling", "native_polled"):
            with suite.later_gateway(step) as later:
                assert later.wait() == -signal.SIGKILL
            await suite.read_journal()
        await suite.providers.advance(60)
        await suite.check_that_the_rest_ran_directly()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_gateway_killed_at_random_moments_finishes_the_batch(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    providers = ["openai", "anthropic", *FORMS]
    provider = providers[seed % len(providers)]
    moments = [rng.uniform(0.0, LONGEST_RUN) for _ in range(rng.choice((2, 3)))]
    try:
        async with native_crashes(upstream, provider, tmp_path) as suite:
            acknowledged = None
            for seconds in moments:
                with suite.gateway() as gateway:
                    kill = Timer(seconds, gateway.kill)
                    kill.start()
                    try:
                        acknowledged = acknowledged or await suite.submit(gateway.url)
                    finally:
                        kill.join()
                await suite.read_journal()
            await suite.check_that_all_succeed()
    except BaseException as error:
        error.add_note(f"seed {seed}: killed after {', '.join(f'{seconds:.3f}' for seconds in moments)} seconds")
        raise
