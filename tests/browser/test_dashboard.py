"""The pages of the dashboard in a real browser: what people see and do, on any screen, with any key."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.conftest import ADMIN, BATCHES, HOSTILE, OTHER, Chromium, Gateway, visitor
from tests.support import prompt_templates

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
expect.set_options(timeout=60_000)


async def downloaded(page: Page, link: Locator) -> str:
    """Click on something that saves a file, and return its content."""
    async with page.expect_download() as saved:
        await link.click()
    path = await (await saved.value).path()
    return await asyncio.to_thread(path.read_text)


async def test_without_a_key_nothing_is_shown_and_a_wrong_one_is_refused(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.open(f"batch/{gateway.ids['running']}")
        await person.page.get_by_label("API key").fill("sk-wrong-0123456789")
        await person.page.keyboard.press("Enter")
        await expect(person.page.get_by_role("alert")).to_have_text("The API key is not known to this gateway.")
        await person.look("no-key")
        await person.page.get_by_label("API key").fill(ADMIN)
        await person.page.keyboard.press("Enter")
        await expect(person.page.get_by_role("heading", name="running")).to_be_visible()
        assert await person.page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
        await person.page.get_by_role("button", name="Sign out").click()
        await expect(person.page.get_by_label("API key")).to_be_visible()
        await person.page.reload()
        await expect(person.page.get_by_label("API key")).to_be_visible()


async def test_the_list_follows_batches_and_steers_those_that_are_chosen(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        row = page.get_by_role("row").filter(has_text="running").first
        await expect(row.get_by_role("img")).to_have_attribute("aria-label", "10 succeeded of 20")
        await expect(page.get_by_text("account 'dead' is paused")).to_be_visible()
        await expect(page.get_by_role("row").filter(has_text="msgbatch_million")).to_contain_text("1M of 1M")
        await person.look("batches")
        await gateway.create("comes later", ["Hi"] * 5, "quick")
        later = page.get_by_role("row").filter(has_text="comes later")
        await expect(later).to_contain_text("5 of 5")
        await expect(later).to_contain_text("done")
        await page.get_by_label("Choose running").check()
        await page.get_by_role("button", name="Pause").click()
        await expect(row).to_contain_text("paused")
        await page.get_by_label("Choose running").check()
        await person.look("batches-chosen")
        await page.get_by_role("button", name="Resume").click()
        await expect(row).not_to_contain_text("paused")
        await page.get_by_role("searchbox", name="Name").fill("failed")
        await expect(page.get_by_role("row")).to_have_count(2)


async def test_a_running_batch_is_shown_with_its_plots_and_is_steered(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open(f"batch/{gateway.ids['running']}")
        await expect(page.get_by_text("50% done")).to_be_visible()
        await expect(page.locator(".plot canvas")).to_have_count(4)
        await expect(page.get_by_text("You said: How are you?").first).to_be_visible()
        await person.look("batch-running")
        await page.get_by_role("button", name="Priority").click()
        await person.look("batch-priority")
        await page.get_by_label("Share of the calls").select_option("high")
        await page.get_by_role("button", name="Set").click()
        await expect(page.get_by_label("Timeline")).to_contain_text("high")
        await page.get_by_label("Outcome").select_option("pending")
        await expect(page.locator("table.rows tbody tr:not(.detail)")).to_have_count(10)
        saved = await downloaded(page, page.get_by_role("link", name="JSONL"))
        assert len(saved.splitlines()) == 10


async def test_a_failed_batch_says_why_and_its_rows_are_retried(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open(f"batch/{gateway.ids['failed']}")
        await expect(page.get_by_text("2 of 5 requests succeeded")).to_be_visible()
        await expect(page.get_by_label("Why rows failed")).to_contain_text("no account is called")
        await page.get_by_role("button", name="Row 1 in full").click()
        await expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert "broken" not in await page.title()
        await person.look("batch-failed")
        saved = await downloaded(page, page.get_by_role("button", name="CSV"))
        assert HOSTILE.replace('"', '""') in saved
        await page.get_by_role("button", name="Retry these").click()
        await expect(page.get_by_text("0 of 3").or_(page.get_by_text("3 of 3")).first).to_be_visible()


async def test_a_batch_says_why_calls_were_retried_and_what_a_button_retries(
    browser: Chromium, gateway: Gateway
) -> None:
    path = f"/api/batches/{gateway.ids['failed']}"
    found = await gateway.call("GET", f"{path}/progress")
    groups = [{**found["failures"][0], "message": text, "count": n} for text, n in (("a", 3), ("b", 70))]
    groups.append({**groups[0], "message": "c", "count": 1, "custom_ids": [f"{'x' * 255}…"]})
    calls = [{"reason": "rate_limit", "count": 1200}, {"reason": "timeout", "count": 1}]
    changed = {**found, "failures": groups, "retried_calls": calls}
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        await person.page.route("**/progress", lambda route: route.fulfill(json=changed))
        await person.open(f"batch/{gateway.ids['failed']}")
        await expect(person.page.locator("dl.facts")).to_contain_text("1,200 rate limit, 1 timeout")
        reasons = person.page.get_by_label("Why rows failed")
        await expect(reasons.get_by_role("button", name="Retry all 74 not found")).to_have_count(2)
        await person.look("batch-retried-calls")
        async with person.page.expect_request("**/retry") as sent:
            await reasons.get_by_role("button", name="Retry these").click()
        assert (await sent.value).post_data_json == {"custom_ids": ["row-0", "row-2", "row-4"]}


async def test_a_million_rows_are_turned_and_searched(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open(f"batch/{gateway.ids['million']}")
        await expect(page.get_by_text("999,000 of 1,000,000 requests succeeded")).to_be_visible()
        await expect(page.get_by_text("1 to 50", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_text("51 to 100", exact=True)).to_be_visible()
        await expect(page.get_by_text("answer 99", exact=True)).to_be_visible()
        await person.look("batch-million")
        await page.get_by_label("Outcome").select_option("failed")
        await expect(page.get_by_text("lost 999", exact=True)).to_be_visible()
        await page.get_by_label("Outcome").select_option("")
        await page.get_by_label("Search prompts and answers").fill("prompt 150000")
        await expect(page.get_by_text("answer 150000", exact=True)).to_be_visible()


async def test_another_tenant_sees_nothing(browser: Chromium, gateway: Gateway) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(OTHER)
        await expect(person.page.get_by_text("No batches yet.")).to_be_visible()
        await expect(person.page.get_by_role("link", name="Keys and settings")).to_have_count(0)
        for name in ("failed", "million"):
            await person.open(f"batch/{gateway.ids[name]}")
            await expect(person.page.get_by_role("heading", name="There is no such batch")).to_be_visible()
        await person.look("another-tenant")
        await person.open("health")
        await expect(person.page.get_by_role("region", name="Accounts")).to_contain_text("dead")
        await expect(person.page.get_by_role("region", name="Accounts")).not_to_contain_text("127.0.0.1")


async def test_the_session_of_a_revoked_key_ends_at_once(browser: Chromium, gateway: Gateway) -> None:
    created = await gateway.call("POST", "/api/workspaces/default/keys", {"name": "guest"})
    async with visitor(browser, gateway) as person:
        await person.sign_in(created["key"])
        await gateway.call("DELETE", f"/api/keys/{created['id']}")
        await person.open("spend")
        await expect(person.page.get_by_role("alert")).to_contain_text("The API key is not known")
        await expect(person.page.get_by_label("API key")).to_be_visible()
        await person.look("revoked-key")


async def test_a_csv_file_becomes_a_batch_after_a_trial(browser: Chromium, gateway: Gateway, tmp_path: Path) -> None:
    rows = "\n".join(f'"country, {n}",{n}' for n in range(9))
    (tmp_path / "countries.csv").write_text(f"name,number\n{rows}\n")
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open("new")
        await page.locator("#file").set_input_files(tmp_path / "countries.csv")
        await page.get_by_label("Template").fill("The capital of {name} and {nothing}?")
        await expect(
            page.get_by_text("The file has no column “nothing”. Write {{ and }} for braces, also in JSON.")
        ).to_be_visible()
        await page.get_by_label("Template").fill("The {{capital}} of {name}?")
        await page.get_by_label("Model").fill("quick")
        await expect(page.get_by_text("9 requests are valid")).to_be_visible()
        await person.look("new-batch")
        await page.get_by_role("button", name="Run 3 rows first").click()
        await expect(page.get_by_role("heading", name="countries (3 rows)")).to_be_visible()
        await expect(page.get_by_text("You said: The {capital} of country, 2?")).to_be_visible()
        await person.open("new")
        await page.locator("#file").set_input_files(tmp_path / "countries.csv")
        await page.locator("select[name=api]").select_option("messages")
        await page.get_by_label("Model").fill("quick")
        await expect(page.get_by_text("Anthropic Messages need the most tokens of an answer.")).to_be_visible()
        await page.get_by_label("System prompt").fill("Be brief about {number}")
        await page.get_by_label("At most tokens an answer").fill("64")
        await page.get_by_role("button", name="Create 9 requests").click()
        await expect(page.get_by_text("You said: country, 2", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Row 3 in full").click()
        await expect(page.get_by_text("Be brief about 2").first).to_be_visible()


async def test_templates_keep_to_the_rule_of_the_command_line(browser: Chromium, gateway: Gateway) -> None:
    code = """async ([templates, columns, values]) => {
        const { fillTemplate, templateFault } = await import("./dashboard/csv.js");
        return templates.map((text) => templateFault(text, columns) ?? [fillTemplate(text, columns, values)]);
    }"""
    filled, refused = prompt_templates.FILLED, prompt_templates.REFUSED
    columns, values = [*prompt_templates.ROW], [*prompt_templates.ROW.values()]
    async with visitor(browser, gateway) as person:
        await person.page.goto(gateway.url)
        found = await person.page.evaluate(code, [[*filled, *refused], columns, values])
    assert found[: len(filled)] == [[text] for text in filled.values()]
    for fault, named in zip(found[len(filled) :], refused.values(), strict=True):
        assert named.replace("'", "“", 1).replace("'", "”") in fault


async def test_a_file_that_would_be_damaged_is_refused_with_its_line(
    browser: Chromium, gateway: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    refused = {
        "id,text\n\n1,Hello, world\n": "Line 3 has 3 cells, and the first line names 2 columns. Put texts",
        'id,text\n"a\nb",x\n1\n': "Line 4 has 1 cell, and the first line names 2 columns.",
        'id,text\n1,fine\n2,"open\n3,x\n': "A quote is opened in line 3 and never closed.",
        "text\ncaf\xe9\n": "The file is neither UTF-8 nor UTF-16",
    }
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        await person.open("new")
        for content, fault in refused.items():
            path.write_bytes(content.encode("latin-1"))
            await person.page.locator("#file").set_input_files(path)
            await expect(person.page.get_by_text(fault)).to_be_visible()
            await expect(person.page.get_by_label("Template")).to_have_count(0)
        await person.look("new-batch-refused")
        path.write_bytes('id,"a; b; c"\n1,caf\u00e9\n'.encode("utf-16"))
        await person.page.locator("#file").set_input_files(path)
        await person.page.get_by_label("Template").fill("Open a {a; b; c}.")
        await person.page.get_by_label("Model").fill("quick")
        await expect(person.page.get_by_text("1 requests are valid")).to_be_visible()


async def test_a_create_whose_answer_was_lost_makes_one_batch(
    browser: Chromium, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "lost.csv").write_text("text\nHello\n")
    failed = gateway.ids["failed"]

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open("new")
        await page.locator("#file").set_input_files(tmp_path / "lost.csv")
        await page.get_by_label("Model").fill("quick")
        await page.route("**/v1/batches", lose, times=1)
        await page.get_by_role("button", name="Create 1 requests").click()
        await expect(page.get_by_text("The gateway cannot be reached.")).to_be_visible()
        await page.get_by_role("button", name="Create 1 requests").click()
        await expect(page.get_by_role("heading", name="lost")).to_be_visible()
        await person.open(f"batch/{failed}")
        await page.route(f"**/{failed}/retry", lose, times=1)
        before = await children_of(gateway, failed)
        async with page.expect_event("requestfailed", lambda request: request.url.endswith("/retry")):
            await page.get_by_role("button", name="Retry 3 failed").click()
        await page.get_by_role("button", name="Retry 3 failed").click()
        await expect(page.get_by_text("0 of 3 requests succeeded")).to_be_visible()
    assert len((await gateway.call("GET", "/api/batches?name=lost"))["data"]) == 1
    assert await children_of(gateway, failed) == before + 1


async def children_of(gateway: Gateway, batch_id: str) -> int:
    batches = (await gateway.call("GET", "/api/batches?limit=100"))["data"]
    return sum(batch["parent"] == batch_id for batch in batches)


async def test_an_unusual_answer_is_shown_as_it_is_beside_the_others(browser: Chromium, gateway: Gateway) -> None:
    odd = {
        '{"response":{"body":{"choices":{}}}}': '"choices":{}',
        '{"response":{"body":{"choices":[null]}}}': "[null]",
        '{"response":{"body":{"error":{"message":["no"]}}}}': '["no"]',
        '{"response":{"body":{"choices":[{"message":{"content":null,"refusal":"I refuse"}}]}}}': "I refuse",
        '{"response":{"body":{"data":[{"embedding":"AACAPwAAAEA="}]}}}': "[1.000, 2.000]",
        '{"response":{"body":{"embedding":[0.5,0.25]}}}': "[0.500, 0.250]",
        '{"response":{"body":{"choices":[{"message":{"content":"fine"}}]}}}': "fine",
    }
    rows = [
        {"number": n, "custom_id": f"r{n}", "outcome": "succeeded", "failure": None, "is_cut": False}
        | {"request": {"body": {"messages": [None]}}, "result": json.loads(result)}
        for n, result in enumerate(odd, 1)
    ]
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await page.route("**/rows?*", lambda route: route.fulfill(json={"data": rows, "next": None}))
        await person.open(f"batch/{gateway.ids['failed']}")
        shown = page.locator("table.rows tbody tr:not(.detail)")
        await expect(shown).to_have_count(len(odd))
        for n, text in enumerate(odd.values()):
            await expect(shown.nth(n)).to_contain_text(text)
            await expect(shown.nth(n)).to_contain_text('{"body":{"messages":[null]}}')
        saved = await downloaded(page, page.get_by_role("button", name="CSV"))
        assert "I refuse" in saved
        assert saved.splitlines()[-1].endswith(",fine,")


async def test_a_callers_pause_is_resumed_whatever_its_reason_says(browser: Chromium, gateway: Gateway) -> None:
    path = f"/api/batches/{gateway.ids['running']}"
    await gateway.call("POST", f"{path}/pause?reason=account+audit")
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        await expect(person.page.locator(".banners")).to_contain_text("account 'dead' is paused")
        await expect(person.page.locator(".banners")).not_to_contain_text("audit")
        await person.open(f"batch/{gateway.ids['running']}")
        await person.page.get_by_role("button", name="Resume").click()
        await expect(person.page.get_by_role("button", name="Pause")).to_be_visible()
        await person.open(f"batch/{gateway.ids['to a dead account']}")
        await expect(person.page.get_by_role("button", name="Pause")).to_be_visible()


async def test_faults_of_a_jsonl_file_are_shown_by_line(browser: Chromium, gateway: Gateway, tmp_path: Path) -> None:
    good = '{"custom_id":"a","body":{"model":"quick","messages":[{"role":"user","content":"Hi"}]}}'
    (tmp_path / "requests.jsonl").write_text(f"{good}\n\n{good}\n")
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        await person.open("new")
        await person.page.locator("#file").set_input_files(tmp_path / "requests.jsonl")
        fault = person.page.locator("table.faults tbody tr").first
        await expect(fault).to_contain_text("3")
        await person.look("new-batch-faults")
        await expect(person.page.get_by_role("button", name="Create 2 requests")).to_be_disabled()


async def test_accounts_are_tested_keys_are_made_and_settings_have_no_secret(
    browser: Chromium, gateway: Gateway
) -> None:
    async with visitor(browser, gateway) as person:
        await person.sign_in(ADMIN)
        page = person.page
        await person.open("health")
        await page.get_by_role("row").filter(has_text="dead").get_by_role("button", name="Test").click()
        await expect(page.get_by_role("row").filter(has_text="dead").get_by_role("status")).to_contain_text("connect")
        await person.look("health")
        await person.open("settings")
        await page.get_by_role("button", name="New key").click()
        await page.get_by_label("Name").fill("from the page")
        await person.look("new-key")
        await page.get_by_role("button", name="Create").click()
        key = await page.locator("code.secret").inner_text()
        assert key.startswith("bg-")
        await page.get_by_role("button", name="Done").click()
        await page.get_by_role("button", name="Rotate from the page").click()
        await page.get_by_role("button", name="Rotate", exact=True).click()
        await expect(page.locator("code.secret")).not_to_have_text(key)
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_role("row").filter(has_text="from the page")).to_have_count(1)
        await expect(page.get_by_label("Settings", exact=True)).to_contain_text("accounts.sim.provider")
        await person.look("settings")
        assert ADMIN not in await page.content()
        await gateway.call("GET", "/api/batches", key=key)


async def test_the_files_forbid_everything_of_other_hosts_and_are_not_sent_twice(gateway: Gateway) -> None:
    async with gateway.client.get(gateway.url) as response:
        policy, tag = response.headers["Content-Security-Policy"], response.headers["ETag"]
        assert response.content_type == "text/html"
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with gateway.client.get(gateway.url, headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    for path in ("/dashboard/../settings.py", "/dashboard/%2e%2e/settings.py", "/dashboard/nothing.js", BATCHES + "x"):
        async with gateway.client.get(gateway.url + path) as response:
            assert response.status in {401, 404}, path
