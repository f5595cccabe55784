"""Recognises Claude models by the ids that cloud platforms give them."""

from __future__ import annotations


def is_claude(model: str) -> bool:
    """Return whether the id of a model is that of a Claude model, such as ``eu.anthropic.claude-opus-4-5-v1:0``.

    The ARN of an application's inference profile does not tell.
    """
    name = model.lower()
    return "claude" in name or "anthropic." in name
