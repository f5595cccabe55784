"""The right of one call to be under way."""

from __future__ import annotations

from msgspec import Struct


class Permit(Struct, gc=False, eq=False):
    """What is known of a call when it begins, and wanted when it ends."""

    entered: float
    load: int
    """The calls under way when it began, itself included."""
    tokens: int
    """What it was taken to cost."""
    again: bool = False
    """Its request has failed before."""
    probe: bool = False
    """It goes alone, to see if a paused account is well again."""
