"""Whether people with a keyboard or a screen reader can use a page: axe, which looks at it as the browser shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

RULES: Final[dict[str, Any]] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,
}
"""Axe leaves out the size of targets unless it is asked for."""
RUN: Final = """async (rules) => (await axe.run(document, rules)).violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id} at ${node.target.join(" ")}: ${node.failureSummary}`))"""


def read_axe(packages: Path) -> str:
    """Read the program that checks pages."""
    return (packages / "node_modules/axe-core/axe.min.js").read_text()


async def check_accessible(page: Page, axe: str) -> None:
    """Fail where a page breaks a rule of WCAG 2.2 (A and AA) or a best practice, with the rule and the elements."""
    # The policy of the pages forbids a script element, but not what the debugger evaluates.
    if not await page.evaluate("'axe' in globalThis"):
        await page.evaluate(axe)
    broken = await page.evaluate(RUN, RULES)
    assert not broken, "\n".join([page.url, *broken])
