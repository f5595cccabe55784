"""Requests to the own urls of Replicate, Runway and ElevenLabs, over HTTP: tasks, audio, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.media_accounts import line, media_gateway
from tests.support.openai_batches import (
    BATCHES,
    chat_line,
    create,
    create_body,
    jsonl,
    upload_lines,
    wait_for_final_status,
)

FLUX = "/v1/models/black-forest-labs/flux-schnell/predictions"
VIDEO = "/v1/text_to_video"
SPEAK = "/v1/text-to-speech/{voice_id}"
VOICE = "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM"


async def test_predictions_of_replicate_run_as_they_are(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        rows = line("a", FLUX, input={"prompt": "a fox"}), line("b", FLUX, input={"prompt": "[fail]"})
        found = await media.run(*rows, endpoint="/v1/models/{owner}/{name}/predictions", provider="replicate")
        journal = await media.journal()
    body = found["a"]["response"]["body"]
    assert (body["status"], body["output"], body["model"]) == (
        "succeeded",
        ["You said: ", "a fox"],
        "black-forest-labs/flux-schnell",
    )
    assert "the model failed" in found["b"]["error"]["message"]
    assert [task.path for task in journal.tasks] == [f"/replicate{FLUX}"] * 2


@pytest.mark.parametrize(
    ("endpoint", "url", "body"),
    [
        ("/v1/predictions", "/v1/predictions", {"version": "a" * 64, "input": {"prompt": "x"}}),
        (
            "/v1/deployments/{owner}/{name}/predictions",
            "/v1/deployments/acme/fast/predictions",
            {"input": {"prompt": "x"}},
        ),
    ],
)
async def test_versions_and_deployments_of_replicate_run(
    tmp_path: Path, endpoint: str, url: str, body: dict[str, Any]
) -> None:
    async with media_gateway(tmp_path) as media:
        found = await media.run(line("a", url, **body), endpoint=endpoint, provider="replicate")
    assert found["a"]["response"]["body"]["status"] == "succeeded"


async def test_chat_requests_run_as_predictions_of_language_models(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        rows = (
            chat_line("a", "Hello", model="meta/meta-llama-3-8b-instruct"),
            {**chat_line("b"), "body": {"model": "meta/llama", "messages": [{"role": "assistant", "content": "x"}]}},
        )
        found = await media.run(*rows, endpoint="/v1/chat/completions", provider="replicate")
        journal = await media.journal()
    answer = found["a"]["response"]["body"]
    assert answer["choices"][0]["message"]["content"] == "You said: Hello"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert "messages.0" in found["b"]["response"]["body"]["error"]["message"]
    assert [task.path for task in journal.tasks] == ["/replicate/v1/models/meta/meta-llama-3-8b-instruct/predictions"]


async def test_tasks_of_runway_run_as_they_are(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        rows = (
            line("a", VIDEO, model="gen4_turbo", promptText="a fox", ratio="1280:720"),
            line("b", VIDEO, model="gen4_turbo", promptText="[fail]"),
        )
        found = await media.run(*rows, endpoint=VIDEO, provider="runway")
    body = found["a"]["response"]["body"]
    assert (body["status"], len(body["output"])) == ("SUCCEEDED", 1)
    error = found["b"]["error"]
    assert "SAFETY.INPUT.TEXT" in error["message"]
    assert "The input was rejected" in error["message"]


async def test_audio_of_elevenlabs_becomes_a_file_of_the_tenant(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        await media.configure(audio_bytes=300_000)
        url = f"{VOICE}?output_format=pcm_24000"
        found = await media.run(line("a", url, text="Hello"), endpoint=SPEAK, provider="elevenlabs")
        said = found["a"]["response"]["body"]
        assert said == {"file_id": said["file_id"], "content_type": "audio/pcm", "bytes": 300_000}
        _, file = await media.app.call("GET", f"/openai/v1/files/{said['file_id']}")
        assert (file["bytes"], file["purpose"], file["status"]) == (300_000, "batch_output", "processed")
        async with media.app.client.get(f"{media.app.url}/openai/v1/files/{said['file_id']}/content") as response:
            content = await response.read()
        assert content.startswith(b"audio of Hello\naudio of Hello\n")
        assert len(content) == 300_000
        status, _ = await media.app.call("DELETE", f"/openai/v1/files/{said['file_id']}")
        assert status == 200
        status, _ = await media.app.call("GET", f"/openai/v1/files/{said['file_id']}")
        assert status == 404


@pytest.mark.parametrize("path", ["/v1/sound-generation", "/v1/text-to-dialogue", "/v1/music"])
async def test_other_audio_of_elevenlabs_becomes_files(tmp_path: Path, path: str) -> None:
    async with media_gateway(tmp_path) as media:
        found = await media.run(line("a", path, prompt="rain"), endpoint=path, provider="elevenlabs")
    assert found["a"]["response"]["body"]["content_type"] == "audio/mpeg"


async def test_answers_with_timestamps_stay_json(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        rows = line("a", f"{VOICE}/with-timestamps", text="Hello")
        found = await media.run(rows, endpoint=f"{SPEAK}/with-timestamps", provider="elevenlabs")
    assert found["a"]["response"]["body"]["audio_base64"]


async def test_openais_speech_is_translated_for_elevenlabs(tmp_path: Path) -> None:
    speech = {"model": "elevenlabs/eleven_v3", "input": "Hello", "voice": "21m00Tcm4TlvDq8ikWAM"}
    async with media_gateway(tmp_path) as media:
        rows = (
            line("a", "/v1/audio/speech", **speech, response_format="wav"),
            line("b", "/v1/audio/speech", **speech, response_format="aac"),
            line("c", "/v1/audio/speech", **speech, instructions="calm"),
            line("d", "/v1/audio/speech", **{**speech, "voice": "../voices"}),
        )
        found = await media.run(*rows, endpoint="/v1/audio/speech", provider="elevenlabs")
    assert found["a"]["response"]["body"]["content_type"] == "audio/wav"
    errors = {name: found[name]["response"]["body"]["error"]["message"] for name in "bcd"}
    assert errors["b"] == "response_format: ElevenLabs has mp3, opus, wav, pcm, not 'aac'"
    assert errors["c"].startswith("instructions: ")
    assert errors["d"].startswith("voice: ")


async def test_requests_on_the_unified_surface_have_urls_of_their_own(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        requests = [
            {"custom_id": "a", "url": f"{VOICE}?output_format=wav_44100", "body": {"text": "Hello"}},
            {"custom_id": "b", "url": "/v1/text-to-speech/other", "body": {"text": "Bye"}},
        ]
        status, batch = await media.app.call(
            "POST", "/v1/batches", json={"requests": requests}, headers={"x-model-provider": "elevenlabs"}
        )
        assert status == 200, batch
        assert batch["endpoint"] == SPEAK
        found = await media.results(batch["id"])
    assert found["a"]["response"]["body"]["content_type"] == "audio/wav"
    assert found["b"]["response"]["body"]["content_type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("provider", "accepted"), [("runway", VIDEO), ("elevenlabs", SPEAK), ("elevenlabs", "/v1/audio/speech")]
)
async def test_chat_requests_are_refused_by_naming_the_urls(tmp_path: Path, provider: str, accepted: str) -> None:
    async with media_gateway(tmp_path) as media:
        found = await media.run(chat_line("a", model="m"), endpoint="/v1/chat/completions", provider=provider)
        _, batch = await media.app.call(
            "POST",
            "/anthropic/v1/messages/batches",
            json={
                "requests": [
                    {"custom_id": "a", "params": {"model": f"{provider}/m", "max_tokens": 1, "messages": []}},
                ]
            },
        )
        await media.app.ended(batch["id"])
        (messages,) = await media.app.results(batch["id"])
    error = found["a"]["response"]["body"]["error"]
    assert f"{provider} does not support Chat Completions; it accepts" in error["message"]
    assert accepted in error["message"]
    assert accepted in messages["result"]["error"]["error"]["message"]


@pytest.mark.parametrize(
    "url",
    [
        "/v1/text-to-speech/..",
        "/v1/text-to-speech/a/../../voices",
        "/v1/text-to-speech/a%2Fb",
        "/v1/text-to-speech/a?output_format=mp3&key=x",
        "https://other.example/v1/text-to-speech/a",
        "//other.example/v1/text-to-speech/a",
        "/v1/text-to-speech/a#b",
        "/v1/text-to-speech/{voice_id}",
        "/v1/speech-to-text",
        "/v1/text-to-speech/a\n",
    ],
)
async def test_urls_that_are_not_exactly_those_of_the_endpoint_are_refused(tmp_path: Path, url: str) -> None:
    async with media_gateway(tmp_path) as media:
        batch = await create(media.app, line("a", url, text="x"), endpoint=SPEAK, provider="elevenlabs")
        failed = await wait_for_final_status(media.app, batch["id"])
    assert failed["status"] == "failed"
    (fault,) = failed["errors"]["data"]
    assert fault["code"] == "invalid_url"
    assert fault["message"].startswith(f"The url should be {SPEAK}, the endpoint of the batch, not ")


async def test_multipart_paths_are_no_endpoints(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        file_id = await upload_lines(media.app, jsonl(line("a", "/v1/speech-to-text", text="x")))
        body = create_body(file_id, endpoint="/v1/speech-to-text", provider="elevenlabs")
        status, refusal = await media.app.call("POST", BATCHES, json=body)
    assert status == 400
    assert SPEAK in refusal["error"]["message"]


async def test_requests_of_one_provider_are_refused_by_another(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        found = await media.run(line("a", VIDEO, model="m"), endpoint=VIDEO, provider="replicate")
    assert "replicate does not support tasks of Runway" in found["a"]["response"]["body"]["error"]["message"]


@pytest.mark.parametrize(
    ("provider", "endpoint", "url", "body"),
    [
        ("replicate", "/v1/models/{owner}/{name}/predictions", FLUX, {"input": {"prompt": "x"}}),
        ("runway", VIDEO, VIDEO, {"model": "m", "promptText": "x"}),
        ("elevenlabs", SPEAK, VOICE, {"text": "x"}),
    ],
)
async def test_a_refusal_for_load_is_a_wait(
    tmp_path: Path, provider: str, endpoint: str, url: str, body: dict[str, Any]
) -> None:
    async with media_gateway(tmp_path) as media:
        await media.configure(refuse=1, polls=1)
        found = await media.run(line("a", url, **body), endpoint=endpoint, provider=provider)
    assert found["a"]["response"]["status_code"] == 200
