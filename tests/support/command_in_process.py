"""Runs ``batchgate`` commands in the test's process, in a thread, beside a gateway in the test's event loop."""

import asyncio
import os
from collections.abc import Mapping

from click.testing import CliRunner, Result

from batchgate.cli import main

NOT_SET = (
    "BATCHGATE_API_KEY",
    "BATCHGATE_CONFIG",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "OLLAMA_HOST",
    "VLLM_BASE_URL",
)
"""Variables of the machine that a test must not depend on."""


async def command(
    *words: str, url: str | None = None, key: str | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    """Run a command without a terminal, and return its output and its exit status."""
    given: dict[str, str | None] = dict.fromkeys(NOT_SET) | {"BATCHGATE_URL": url} | dict(environment or {})
    if key is not None:
        given["BATCHGATE_API_KEY"] = key
    before = os.umask(0o022)
    try:
        return await asyncio.to_thread(CliRunner(env=given).invoke, main, words, prog_name="batchgate")
    finally:
        os.umask(before)  # some commands restrict that of their process
