"""The right of one call to be under way."""

from __future__ import annotations


class Ticket:
    """What is known of a call when it begins, and wanted when it ends."""

    __slots__ = ("entered", "load", "probe", "tokens")

    def __init__(self, entered: float, load: int, tokens: int) -> None:
        self.entered = entered
        self.load = load
        """The calls under way when it began, itself included."""
        self.tokens = tokens
        """What it was taken to cost."""
        self.probe = False
        """It goes alone, to see if a paused account is well again."""
