"""Adds up the token counts of Gemini's usageMetadata."""

from __future__ import annotations

from msgspec import Struct


class GeminiTokens(Struct, frozen=True):
    """The tokens of a request, with zero for a count that the server left out."""

    prompt: int = 0
    """With cached tokens."""
    cached: int = 0
    candidates: int = 0
    """Without thoughts."""
    thoughts: int = 0
    tools: int = 0
    """Results of Google's tools."""
    total: int = 0

    @property
    def input(self) -> int:
        """The tokens that the model read."""
        return self.prompt + self.tools

    @property
    def output(self) -> int:
        """The tokens that the model wrote, thoughts included.

        Some servers count the thoughts as candidates too; then the total is the sum without them.
        """
        if self.thoughts and self.total == self.input + self.candidates:
            return self.candidates
        return self.candidates + self.thoughts
