"""The exam of the simulated APIs of Replicate, Runway and ElevenLabs: the provider's official SDK drives each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from elevenlabs import ElevenLabs
from elevenlabs.core import ApiError
from replicate.client import Client as Replicate
from replicate.exceptions import ReplicateError
from runwayml import AuthenticationError, RunwayML

from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.http_server import serving

KEY = "the-key"


@pytest.fixture
async def simulator() -> AsyncIterator[str]:
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=KEY))) as url:
        yield url


@contextmanager
def replicate(simulator: str, key: str = KEY) -> Iterator[Replicate]:
    """Make a client; it has no method that closes it."""
    client = Replicate(api_token=key, base_url=f"{simulator}/replicate")
    try:
        yield client
    finally:
        client._client.close()


@pytest.mark.sdk_exam("replicate", lane="direct", sdk="replicate")
async def test_replicate_from_create_to_output(simulator: str) -> None:
    def drive() -> None:
        with replicate(simulator) as client, replicate(simulator, "wrong") as stranger:
            prediction = client.models.predictions.create("meta/llama", {"prompt": "Hello"})
            assert prediction.status == "starting"
            while prediction.output is None:
                prediction.reload()
            assert (prediction.status, "".join(prediction.output)) == ("succeeded", "You said: Hello")
            never = client.predictions.create("a" * 64, {"prompt": "[never]"})
            assert client.predictions.cancel(never.id).status == "canceled"
            assert client.deployments.predictions.create("acme/fast", {"prompt": "Hello"}).model == "acme/fast"
            with pytest.raises(ReplicateError) as refused:
                stranger.predictions.create("v", {})
            assert refused.value.status == 401

    await asyncio.to_thread(drive)


@pytest.mark.sdk_exam("runway", lane="direct", sdk="runwayml")
async def test_runway_from_create_to_output(simulator: str) -> None:
    video: Any = {"model": "gen4.5", "prompt_text": "a fox", "ratio": "1280:720", "duration": 4}

    def drive() -> None:
        url = f"{simulator}/runway"
        with RunwayML(api_key=KEY, base_url=url) as client, RunwayML(api_key="wrong", base_url=url) as stranger:
            created = client.text_to_video.create(**video)
            assert client.tasks.retrieve(created.id).status == "RUNNING"
            task = client.tasks.retrieve(created.id)
            assert task.status == "SUCCEEDED"
            assert len(task.output) == 1
            never = client.text_to_video.create(**video | {"prompt_text": "[never]"})
            client.tasks.delete(never.id)
            assert client.tasks.retrieve(never.id).status == "CANCELLED"
            with pytest.raises(AuthenticationError):
                stranger.text_to_video.create(**video)

    await asyncio.to_thread(drive)


@pytest.mark.sdk_exam("elevenlabs", lane="direct", sdk="elevenlabs")
async def test_elevenlabs_from_text_to_audio(simulator: str) -> None:
    def drive() -> None:
        with httpx.Client() as http:
            client = ElevenLabs(api_key=KEY, base_url=f"{simulator}/elevenlabs", httpx_client=http)
            audio = b"".join(client.text_to_speech.convert("voice", text="Hello", output_format="pcm_24000"))
            assert audio.startswith(b"audio of Hello\n")
            timed = client.text_to_speech.convert_with_timestamps("voice", text="Hello")
            assert timed.audio_base_64
            assert timed.alignment is not None
            assert timed.alignment.characters == ["H"]
            assert sum(map(len, client.text_to_sound_effects.convert(text="rain"))) == 4096
            stranger = ElevenLabs(api_key="wrong", base_url=f"{simulator}/elevenlabs", httpx_client=http)
            with pytest.raises(ApiError) as refused:
                stranger.text_to_speech.convert_with_timestamps("voice", text="Hello")
            assert refused.value.status_code == 401

    await asyncio.to_thread(drive)
