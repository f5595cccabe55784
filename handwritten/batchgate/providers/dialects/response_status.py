"""Classes the status of a Response: one that failed or is not finished is no answer."""

from __future__ import annotations

from typing import Final

_FAILED: Final = frozenset({"failed", "error"})
_UNFINISHED: Final = frozenset({"in_progress", "queued", "pending", "cancelling", "cancelled", "canceled"})


def is_failed(status: str | None) -> bool:
    """Return whether the status is that of a failure."""
    return (status or "").casefold() in _FAILED


def is_unfinished(status: str | None) -> bool:
    """Return whether the provider has not finished the response, or has cancelled it."""
    return (status or "").casefold() in _UNFINISHED


def failure_text(code: object, message: object) -> str:
    """Return the message for a Response that failed, with the code and the message that the provider sent."""
    details = ": ".join(str(part) for part in (code, message) if part)
    return f"The provider reported that the response failed{f' ({details})' if details else ''}."
