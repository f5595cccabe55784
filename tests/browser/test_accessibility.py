"""Who uses the dashboard on a phone, in the dark, with the keyboard alone or with a screen reader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import FileChooser, Page, expect

from tests.browser.conftest import ADMIN, Chromium, Gateway, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
expect.set_options(timeout=60_000)
FOCUSED = """(() => {
    const at = document.activeElement;
    const name = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
    return at === document.body || at.id === "main" ? "" : name;
})()"""
PAGES = {"": "Batches", "new": "New batch", "spend": "Spend", "health": "Health", "settings": "Keys and settings"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_page_fits_a_phone_and_begins_with_a_way_to_its_content(
    browser: Chromium, gateway: Gateway, dark: bool
) -> None:
    async with visitor(browser, gateway, width=360, dark=dark) as person:
        await person.sign_in(ADMIN)
        ids = {f"batch/{gateway.ids['failed']}": "failed", f"batch/{gateway.ids['running']}": "running"}
        for path, heading in (PAGES | ids).items():
            await person.open(path)
            await expect(person.page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
            await expect(person.page.get_by_text("…", exact=True)).to_have_count(0)
            width = await person.page.evaluate("document.scrollingElement.scrollWidth")
            assert width <= 360, path
            tables = "[...document.querySelectorAll('.reasons')]"
            cut = f"{tables}.some((each) => each.scrollWidth > each.parentElement.clientWidth)"
            assert not await person.page.evaluate(cut), path
            await person.look(f"phone-{'dark' if dark else 'light'}-{heading.replace(' ', '-').lower()}")
        await person.page.reload()
        await expect(person.page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
        await person.page.keyboard.press("Tab")
        await expect(person.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await person.page.keyboard.press("Enter")
        await expect(person.page.locator("main")).to_be_focused()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until a control whose name begins so has the focus."""
    for _ in range(100):
        await page.keyboard.press("Tab")
        if (await page.evaluate(FOCUSED)).startswith(name):
            return
    pytest.fail(f"the Tab key does not lead to {name!r}")


async def test_a_batch_is_made_read_and_steered_with_the_keyboard_alone(
    browser: Chromium, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "typed.csv").write_text("text\nHello\n")
    async with visitor(browser, gateway) as person:
        page, press, choosers = person.page, person.page.keyboard.press, asyncio.Queue[FileChooser]()
        page.on("filechooser", choosers.put_nowait)
        await page.goto(gateway.url)
        await expect(page.get_by_label("API key")).to_be_focused()
        await page.keyboard.type(ADMIN)
        await press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await tab_to(page, "New batch")
        await press("Enter")
        await expect(page.get_by_role("heading", name="New batch")).to_be_visible()
        await tab_to(page, "Drop a JSONL or CSV file here")
        await press("Enter")
        await (await choosers.get()).set_files(tmp_path / "typed.csv")
        await tab_to(page, "Model")
        await page.keyboard.type("quick")
        await expect(page.get_by_text("1 requests are valid")).to_be_visible()
        await tab_to(page, "Create 1 requests")
        await press("Enter")
        await expect(page.get_by_text("You said: Hello")).to_be_visible()
        await tab_to(page, "Row 1 in full")
        await press("Enter")
        await expect(page.get_by_role("heading", name="Answer")).to_be_visible()
        await person.open(f"batch/{gateway.ids['running']}")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await tab_to(page, "Pause")
        await press("Enter")
        await expect(page.get_by_role("button", name="Resume")).to_be_focused()
        await press("Enter")
        await expect(page.get_by_role("button", name="Pause")).to_be_focused()
        await tab_to(page, "Priority")
        await press("Enter")
        await expect(page.get_by_label("Share of the calls")).to_be_focused()
        await press("Escape")
        await expect(page.get_by_role("button", name="Priority")).to_be_focused()


async def test_what_screen_readers_cannot_read_is_reported_with_its_element(
    browser: Chromium, gateway: Gateway
) -> None:
    async with visitor(browser, gateway) as person:
        await person.page.goto(gateway.url)
        await person.page.get_by_label("API key").evaluate("(key) => key.labels[0].remove()")
        with pytest.raises(AssertionError, match=rf"(?ms)^{person.url}/$.*^label at #field-1: "):
            await person.look("no-label")
