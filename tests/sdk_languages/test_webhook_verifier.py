"""An event of a live gateway is verified by the JavaScript library of Standard Webhooks; skipped without its tools."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from batchgate.encryption.fernet import new_master_key
from tests.sdk_languages.toolchains import Tool, Toolchain
from tests.support.gateway_process import SIMULATOR, GatewayProcess, clean_environment
from tests.support.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.timeout(1500)  # with a cold cache the library is downloaded

VERIFIER: Final = Toolchain(
    language="javascript",
    tools=(
        Tool(version_command=("node", "--version"), minimum=(20,)),
        Tool(version_command=("npm", "--version"), minimum=(9,)),
    ),
    build_commands=(("npm", "ci", "--no-audit", "--no-fund"),),
    programs={"standardwebhooks": ("node", "verify_event.mjs")},
)


async def test_the_library_for_javascript_verifies_an_event(tmp_path: Path) -> None:
    if problems := VERIFIER.problems():
        pytest.skip("; ".join(problems))
    folder = await asyncio.to_thread(VERIFIER.build, tmp_path / "javascript")
    settings = f'webhook_networks = ["127.0.0.0/8"]\n{SIMULATOR}'
    environment = {"BATCHGATE_MASTER_KEY": new_master_key()}
    gateway = GatewayProcess(data_dir=tmp_path / "data", settings=settings, environment=environment)
    async with webhook_receiver() as receiver, aiohttp.ClientSession() as client:
        with gateway:
            async with client.post(f"{gateway.url}/api/webhooks", json={"url": receiver.url}) as response:
                webhook = await response.json()
            await client.post(f"{gateway.url}/api/webhooks/{webhook['id']}/test")
            (event,) = await receiver.until(1)
    received = {"SECRET": webhook["secret"], "BODY": event.body.decode(), "HEADERS": json.dumps(event.headers)}
    lines = await asyncio.to_thread(VERIFIER.run, "standardwebhooks", folder, clean_environment(received))
    assert lines == ["verified: webhook.test", "refused: No matching signature found"]
