"""A gateway with batches of every kind, and a real Chromium that looks at its pages."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.api.protocol import JsonErrorRunner
from batchgate.app import STORE, build_app
from batchgate.engine.model.api_key import SCOPES
from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.clock import DAY, SystemClock
from batchgate.engine.model.shard import Shard
from batchgate.engine.model.usage import Counts
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import ApiKeySettings, Settings
from tests.browser.accessibility import check_accessible, read_axe
from tests.browser.chromium import ARGUMENTS, SCREENSHOTS, unpack_chromium
from tests.browser.packages import install_packages, problems

ADMIN, OTHER = "sk-admin-0123456789", "sk-other-0123456789"
BATCHES: Final = "/anthropic/v1/messages/batches"
MILLION: Final = 1_000_000
HOSTILE: Final = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


@dataclass
class Gateway:
    """A running gateway, and the batches that were made on it."""

    app: web.Application
    url: str
    client: aiohttp.ClientSession
    ids: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, key: str = ADMIN, **headers: str) -> Any:
        """Call an operation that succeeds."""
        async with self.client.request(method, self.url + path, json=body, headers={"x-api-key": key, **headers}) as r:
            answer = await r.json()
            assert r.status == 200, answer
            return answer

    async def create(self, name: str, prompts: list[str], *models: str) -> str:
        """Create a batch; its requests take the models in turn."""
        requests = [
            {"custom_id": f"row-{n}", "params": _params(models[n % len(models)], text)}
            for n, text in enumerate(prompts)
        ]
        created = await self.call("POST", BATCHES, {"requests": requests}, **{"batchgate-name": name})
        self.ids[name] = created["id"]
        return str(created["id"])

    async def ended(self, name: str) -> None:
        """Wait until a batch has ended."""
        while (await self.call("GET", f"/api/batches/{self.ids[name]}/progress"))["status"] != "ended":
            pass


def _params(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the npm packages into a folder, or skip where the machine lacks what that needs."""
    if found := problems():
        pytest.skip("; ".join(found))
    folder = tmp_path_factory.mktemp("packages")
    install_packages(folder)
    return folder


@dataclass(frozen=True)
class Chromium:
    """A running Chromium, and the program that checks its pages."""

    browser: Browser
    axe: str


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(packages: Path) -> AsyncIterator[Chromium]:
    """Unpack and start Chromium."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir()
    path, environment = unpack_chromium(packages)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, env=dict(environment))
        yield Chromium(launched, read_axe(packages))
        await launched.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Run a gateway with a running batch, a failed one, one to a dead account, and one of a million rows."""
    folder = tmp_path_factory.mktemp("gateway")
    prices = {"*": PriceSettings(input=2, output=8)}
    simulated = SimulatorSettings(latency=0.0, latency_by_model={"slow": 300.0})
    settings = Settings(
        data_dir=str(folder),
        default_provider="sim",
        shutdown_timeout=0.0,
        accounts={
            "sim": AccountSettings(provider="simulator", prices=prices, simulator=simulated),
            "dead": AccountSettings(provider="anthropic", base_url="http://127.0.0.1:9", api_key="k"),
        },
        api_keys={
            "admin": ApiKeySettings(key=ADMIN, scopes=SCOPES),
            "other": ApiKeySettings(key=OTHER, workspace="others"),
        },
    )
    async with _running(settings) as running:
        await running.create("running", ["How are you?"] * 20, "quick", "slow")
        await running.create("failed", [HOSTILE, "fine", *["typo"] * 3], "nosuch/model", "quick")
        await running.create("to a dead account", ["Hello"] * 3, "dead/claude")
        await _store_million(running, folder)
        await running.ended("failed")
        yield running


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[Gateway]:
    app = build_app(settings, environment={})
    runner = JsonErrorRunner(app)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as client:
            yield Gateway(app, f"http://127.0.0.1:{runner.addresses[0][1]}", client)
    finally:
        await runner.cleanup()


async def _store_million(gateway: Gateway, folder: Path) -> None:
    """Store a batch of a million rows that has ended, as if it had run: every thousandth row has failed."""
    store, batch_id, now = gateway.app[STORE], "msgbatch_million", SystemClock().now()
    inputs, outputs = f"batches/{batch_id}/input.jsonl", f"batches/{batch_id}/results.jsonl"
    message = b'{"type":"succeeded","message":{"content":[{"type":"text","text":"answer %d"}]}}'
    error = b'{"type":"errored","error":{"type":"error","error":{"type":"api_error","message":"lost %d"}}}'
    request = b'{"custom_id":"r%d","params":{"model":"m","messages":[{"role":"user","content":"prompt %d"}]}}\n'
    sizes = {}
    for name in (inputs, outputs):
        await store.add_orphan_blob(name)
    digest = hashlib.sha256()
    path = folder / "blobs" / inputs
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for start in range(0, MILLION, 50_000):
            file.write(b"".join([request % (n, n) for n in range(start, start + 50_000)]))
        sizes[inputs] = file.tell()
    with (folder / "blobs" / outputs).open("wb") as file:
        for start in range(0, MILLION, 50_000):
            results = ((error if n % 1000 == 999 else message) % n for n in range(start, start + 50_000))
            lines = b"".join(
                [b'{"custom_id":"r%d","result":%s}\n' % (start + n, each) for n, each in enumerate(results)]
            )
            digest.update(lines)
            file.write(lines)
        sizes[outputs] = file.tell()
    shard = Shard(index=0, first_seq=0, requests=MILLION, offset=0, length=sizes[inputs], checksum=0)
    new = NewBatch(
        id=batch_id,
        workspace="default",
        dialect="anthropic",
        provider="sim",
        providers=("sim",),
        headers={},
        model="m",
        created_at=now - DAY // 2,
        expires_at=now + DAY // 2,
        input_blob=inputs,
        shards=(shard,),
    )
    batch, _ = await store.create_batch(new)
    counts = Counts(total=MILLION, succeeded=MILLION - 1000, errored=1000)
    await store.end_batch(
        batch.key,
        counts=counts,
        results_blob=outputs,
        results_size=sizes[outputs],
        results_sha256=digest.digest(),
        now=now,
    )
    gateway.ids["million"] = batch_id


@dataclass
class Visitor:
    """A person with a browser of their own, and what their pages complained about."""

    page: Page
    url: str
    axe: str
    faults: list[str]

    async def open(self, path: str = "") -> None:
        """Open a page of the dashboard."""
        await self.page.goto(f"{self.url}/#/{path}")

    async def sign_in(self, key: str) -> None:
        """Sign in, and wait for the list of batches."""
        await self.page.goto(self.url)
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Batches").wait_for()

    async def look(self, name: str) -> None:
        """Check that the page is accessible, and keep a screenshot of it."""
        await check_accessible(self.page, self.axe)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


def _is_fault(said: ConsoleMessage) -> bool:
    """Return whether a page complained; that an answer has an error status is none."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


@asynccontextmanager
async def visitor(
    browser: Chromium, gateway: Gateway, *, width: int = 1280, dark: bool = False
) -> AsyncIterator[Visitor]:
    """Open a browser window; at the end no page may have had an error, nor have broken the policy of the gateway."""
    context = await browser.browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    context.set_default_timeout(60_000)
    page, faults = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if _is_fault(said) else None)
    yield Visitor(page, gateway.url, browser.axe, faults)
    await context.close()
    assert not faults
