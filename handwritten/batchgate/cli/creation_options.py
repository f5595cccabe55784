"""The options of the commands that create batches: how the batch runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar, get_args
from urllib.parse import parse_qsl

import click
import msgspec
from msgspec import Struct

from batchgate.cli.connection import header_value
from batchgate.cli.metadata_option import metadata_option
from batchgate.engine.model.concurrency_cap import MAX_CONCURRENCY
from batchgate.engine.model.fail_fast import MAX_FAIL_FAST
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.priority import Priority

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_NAME: Final = 128


class Creation(Struct, frozen=True, kw_only=True):
    """How a batch runs, as the options say; None where they say nothing."""

    account: str | None = None
    lane: Lane | None = None
    name: str | None = None
    metadata: str | None = None
    """Pairs as a URL-encoded form."""
    priority: Priority | None = None
    concurrency: int | None = None
    budget: float | None = None
    """US dollars."""
    fail_fast: int | None = None
    webhook: str | None = None
    reuse: str | None = None
    """The ended batch whose results it takes over; not every command has an option for it."""

    def headers(self) -> Mapping[str, str | None]:
        """Return the headers of a create on Anthropic's or OpenAI's API; metadata is in the body of the latter."""
        return {
            "x-model-provider": self.account,
            "batchgate-lane": self.lane,
            "batchgate-name": self.name,
            "batchgate-priority": self.priority,
            "batchgate-concurrency": None if self.concurrency is None else str(self.concurrency),
            "batchgate-budget-usd": None if self.budget is None else str(self.budget),
            "batchgate-fail-fast": None if self.fail_fast is None else str(self.fail_fast),
            "batchgate-reuse": self.reuse,
            "batchgate-webhook-url": self.webhook,
        }

    def fields(self) -> Mapping[str, object]:
        """Return the fields of a create on the unified API."""
        fields = {
            "lane": self.lane,
            "name": self.name,
            "metadata": self.pairs,
            "priority": self.priority,
            "concurrency": self.concurrency,
            "budget_usd": self.budget,
            "fail_fast": self.fail_fast,
            "webhook": self.webhook,
            "reuse": self.reuse,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def pairs(self) -> Mapping[str, str] | None:
        """The metadata as pairs; None without any."""
        return None if self.metadata is None else dict(parse_qsl(self.metadata, keep_blank_values=True))


def bounded_name(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Check the length of the name of a batch."""
    if value is not None and len(value) > LONGEST_NAME:
        raise click.BadParameter(f"a name has at most {LONGEST_NAME} characters; this one has {len(value)}")
    return value


def _name_in_header(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    return bounded_name(context, parameter, header_value(context, parameter, value))


_OPTIONS: Final = (
    click.option("--account", metavar="NAME", callback=header_value, help="Use this provider account."),
    click.option(
        "--lane",
        type=click.Choice(get_args(Lane)),
        help="Call each request (direct), use the provider's batch API (native), or what is cheaper and fits (auto); "
        "without it, the account decides.",
    ),
    click.option("--name", callback=_name_in_header, help="Give the batch a name, to find it again."),
    metadata_option("Give the batch a key-value pair; may be repeated."),
    click.option(
        "--priority",
        type=click.Choice(get_args(Priority)),
        help="Which share of your calls it gets beside your other batches (normal).",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, MAX_CONCURRENCY),
        metavar="N",
        help="Let at most N calls of the batch be in flight (without it, only the limits of the account bound them).",
    ),
    click.option(
        "--budget",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="Pause the batch once its answers have cost so much, in US dollars.",
    ),
    click.option(
        "--fail-fast",
        type=click.IntRange(0, MAX_FAIL_FAST),
        metavar="N",
        help="Pause the batch once its first N results for one model are the same permanent error; 0 for never "
        "(without it, the gateway decides).",
    ),
    click.option(
        "--webhook", metavar="URL", callback=header_value, help="Send the events of this batch to an https URL, signed."
    ),
)


def creation_options(command: Callable[Concatenate[Creation, P], R]) -> Callable[P, R]:
    """Add the options to a command, which gets them as a `Creation`."""

    @wraps(command)
    def with_creation(*args: P.args, **options: P.kwargs) -> R:
        names = set(Creation.__struct_fields__) - {"reuse"}
        given = {name: options.pop(name) for name in names}
        return command(msgspec.convert(given, Creation), *args, **options)

    decorated = with_creation
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
