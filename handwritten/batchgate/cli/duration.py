"""Durations as text for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as ``9 min 3 s``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    days, rest = divmod(round(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)
