"""The option --try: the first requests run as a batch of their own, are shown, and the user decides about the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

import click

from batchgate.cli.answer_reader import answers
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.rendering import cut, dollars, requests
from batchgate.cli.terminal_text import say
from batchgate.cli.waiting import wait_until_ended
from batchgate.tables.result_answers import Answer
from batchgate_api.gateway import BatchProgress

F = TypeVar("F", bound=Callable[..., object])

MOST_TRIED: Final = 100
SHOWN: Final = 600
"""Characters of a prompt and of an answer."""


def trial_options(command: F) -> F:
    """Add the options --try and --yes."""
    yes = click.option("--yes", is_flag=True, help="Go on after --try without a question.")
    tried = click.option(
        "--try",
        "tried",
        type=click.IntRange(1, MOST_TRIED),
        metavar="N",
        help="Run the first N requests directly, show their answers, and ask whether to run the others; without a "
        "terminal, only --yes runs them.",
    )
    return tried(yes(command))


async def show_trial(client: GatewayClient, batch_id: str, prompts: Sequence[str], total: int | None) -> None:
    """Wait for a batch, and print its prompts and answers on stderr, with what all requests may cost."""
    progress = await wait_until_ended(client, batch_id)
    async with aclosing(client.results(batch_id)) as pieces:
        shown = iter(prompts)
        async for answer in answers(pieces):
            _show(next(shown), answer)
    if cost := _expected_cost(progress, total):
        say(cost, err=True)


def may_go_on(*, yes: bool) -> bool:
    """Ask on a terminal whether to run the other requests; without one, only --yes lets them run."""
    if yes:
        return True
    if not sys.stdin.isatty():
        say("Tried only: without a terminal, --yes runs the others.", err=True)
        return False
    return click.confirm("Run the others?", err=True)


def _show(prompt: str, answer: Answer) -> None:
    say(f"\n{answer.custom_id}> {cut(prompt, SHOWN)}", err=True)
    if answer.text is not None:
        say(cut(answer.text, SHOWN), err=True)
    if answer.error is not None:
        say(f"error: {cut(answer.error, SHOWN)}", err=True)


def _expected_cost(progress: BatchProgress, total: int | None) -> str | None:
    spent = progress.spent.direct_usd + progress.spent.native_usd
    if not spent or total is None:
        return None
    expected = round(spent * total / progress.total, 4)
    return f"\nThese cost {dollars(spent)}; {requests(total)} like them cost about {dollars(expected)} called directly."
