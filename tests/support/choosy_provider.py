"""A provider in the process of the test that refuses the prompts a test names, and notes what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support.http_server import serving

KINDS: Mapping[str, int] = {"invalid_request_error": 400, "not_found_error": 404, "request_too_large": 413}


@dataclass
class ChoosyProvider:
    """The prompts that are refused, and the calls."""

    url: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    """The class of the error by the prompt; the other prompts are answered."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """The model and the prompt of each call."""
    padding: str = ""
    """What the answers in Anthropic's dialect end with."""

    def account(self, provider: str = "anthropic") -> AccountSettings:
        """Return the settings of an account with this provider, which speaks both dialects."""
        return AccountSettings(provider=provider, base_url=self.url, api_key="k", concurrency=8)

    async def messages(self, request: web.Request) -> web.Response:
        """Answer a call in Anthropic's dialect."""
        prompt = self._note(await request.json())
        if (kind := self.refused.get(prompt)) is not None:
            error = {"type": kind, "message": f"refused: {prompt}"}
            return web.json_response({"type": "error", "error": error}, status=KINDS[kind])
        usage = {"input_tokens": 1, "output_tokens": 1}
        content = [{"type": "text", "text": f"Answer {len(self.calls)}{self.padding}"}]
        answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
        return web.json_response(answer | {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage})

    async def chat(self, request: web.Request) -> web.Response:
        """Answer a call in OpenAI's dialect."""
        prompt = self._note(await request.json())
        if (kind := self.refused.get(prompt)) is not None:
            error = {"type": kind, "message": f"refused: {prompt}", "param": None, "code": None}
            return web.json_response({"error": error}, status=KINDS[kind])
        message = {"role": "assistant", "content": f"Answer {len(self.calls)}", "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(answer | {"usage": usage})

    def _note(self, body: Any) -> str:
        prompt = str(body["messages"][0]["content"])
        self.calls.append((body["model"], prompt))
        return prompt


@asynccontextmanager
async def choosy_provider() -> AsyncIterator[ChoosyProvider]:
    """Run a provider while the context is entered."""
    provider = ChoosyProvider()
    app = web.Application()
    app.router.add_post("/v1/messages", provider.messages)
    app.router.add_post("/chat/completions", provider.chat)
    async with serving(app) as url:
        provider.url = url
        yield provider
