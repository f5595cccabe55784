"""A provider that labels reviews, in the form that a call asks for: a tool call, JSON, DSPy's fields or a word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer a call of Chat Completions."""
        answer = _answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name of the base class
        """Keep the output of the test clean."""


@contextmanager
def labelling_provider() -> Iterator[str]:
    """Serve the provider and yield its base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def _answer(body: Mapping[str, Any]) -> dict[str, Any]:
    label = "positive" if "love" in json.dumps(body["messages"][-1]) else "negative"
    message: dict[str, Any] = {"role": "assistant", "content": label}
    if tools := body.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": json.dumps({"label": label})}
        message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    elif "[[ ## " in json.dumps(body["messages"]):
        message["content"] = f"[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]"
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tools else "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }
