"""What the calls of workers have shown about their duration and their tokens, so that estimates are better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from msgspec import Struct

from batchgate.engine.model.token_estimate import LearnedTokens


class CallHistory(Struct, frozen=True, kw_only=True):
    """What the calls of a process have shown, by the names of accounts."""

    seconds: Mapping[str, float] = {}
    """The average duration of a call."""
    tokens: Mapping[str, Mapping[str, LearnedTokens]] = {}
    """What the answers of each model say about its tokens."""

    def tokens_of(self, account: str, model: str) -> LearnedTokens | None:
        """Return what is known of a model of an account; None before its first answer."""
        return self.tokens.get(account, {}).get(model)


def combined_history(histories: Iterable[CallHistory]) -> CallHistory:
    """Return the averages of what several workers have reported."""
    seconds: dict[str, list[float]] = {}
    tokens: dict[str, dict[str, list[LearnedTokens]]] = {}
    for history in histories:
        for account, average in history.seconds.items():
            seconds.setdefault(account, []).append(average)
        for account, models in history.tokens.items():
            for model, learned in models.items():
                tokens.setdefault(account, {}).setdefault(model, []).append(learned)
    return CallHistory(
        seconds={account: fmean(averages) for account, averages in seconds.items()},
        tokens={
            account: {model: _average(learned) for model, learned in models.items()}
            for account, models in tokens.items()
        },
    )


def _average(learned: list[LearnedTokens]) -> LearnedTokens:
    return LearnedTokens(ratio=fmean(each.ratio for each in learned), output=fmean(each.output for each in learned))
