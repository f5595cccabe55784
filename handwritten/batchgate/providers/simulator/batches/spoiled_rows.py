"""Result lines with faults of their own (native-lanes 0 trap 4, 2.1, 7.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from batchgate.providers.simulator.batches.faults import BatchFaults


def spoil_line(line: bytes, index: int, faults: BatchFaults) -> bytes:
    """Return the result line of a row as the faults leave it."""
    without_usage, cut_off = index in faults.rows_without_usage, index in faults.cut_off_rows
    if not (without_usage or cut_off or faults.retype_ids):
        return line
    row: dict[str, Any] = msgspec.json.decode(line)
    name = next((other for other in ("batch_request_id", "key") if other in row), "custom_id")
    if faults.retype_ids and str(row[name]).isdigit():
        row[name] = str(int(row[name]))
    for answer in _answers(row):
        if without_usage:
            answer.pop("usage", None)
            answer.pop("usageMetadata", None)
            answer.pop("meta", None)
        if cut_off:
            _cut_off(answer)
    return msgspec.json.encode(row) + b"\n"


def _answers(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the answer of the model, if the row has one: of Gemini, Vertex, Cohere, OpenAI, Anthropic or xAI."""
    if ("key" in row or "processed_time" in row) and isinstance(row.get("response"), dict):
        yield row["response"]
        return
    if isinstance(row.get("body"), dict):
        yield row["body"]
    of_xai = (row.get("batch_result") or {}).get("response")
    for holder, key in ((row.get("response"), "body"), (row.get("result"), "message"), (of_xai, "chat_get_completion")):
        if isinstance(holder, dict) and isinstance(holder.get(key), dict):
            yield holder[key]


def _cut_off(answer: dict[str, Any]) -> None:
    """Make an answer that ended before its first word, as reasoning models give it."""
    for choice in answer.get("choices", ()):
        choice["finish_reason"] = "length"
        if "message" in choice:
            choice["message"]["content"] = ""
    for candidate in answer.get("candidates", ()):
        candidate |= {"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}
    if answer.get("finish_reason"):
        answer |= {"finish_reason": "MAX_TOKENS", "message": {"role": "assistant", "content": []}}
    if answer.get("type") == "message":
        answer |= {"content": [], "stop_reason": "max_tokens"}
    if answer.get("object") == "response":
        answer |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
