"""Conversions between database rows and usage, the same for every database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from batchgate.engine.model.daily_usage import (
    MAX_USAGE_GROUPS,
    USAGE_DIMENSIONS,
    ModelUsage,
    UsageAmounts,
    UsageGroup,
    UsageQuery,
    amounts_of,
    day_of,
    total_amounts,
)
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.native_records import LateAnswerCount
from batchgate.store.records import Row

MAX_NAME: Final = 256
"""Characters of a name that are told apart: an index holds the names."""
UNSTORABLE: Final = {0: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
"""What PostgreSQL cannot store in a text."""
SLOTS: Final = 8
"""Rows over which PostgreSQL spreads what is the same, by batch: a row is locked until its transaction ends."""

AMOUNTS: Final = UsageAmounts.__struct_fields__


def usage_place(batch: Row, chunk: ResultChunk) -> dict[str, object]:
    """Return the parameters that the usage of all models of a chunk has in common."""
    return _place(batch, day_of(chunk.at)) | {"lane": chunk.lane}


def used_models(chunk: ResultChunk) -> list[dict[str, object]]:
    """Return the parameters of each model of a chunk, in one order for all transactions."""
    by_name: dict[tuple[str, str], list[UsageAmounts]] = {}
    for used in chunk.models:
        amounts = amounts_of(used)
        if amounts != UsageAmounts():
            by_name.setdefault(_names(used.called), []).append(amounts)
    return [_model_row(names, total_amounts(amounts)) for names, amounts in sorted(by_name.items())]


def used_columns(rows: Collection[Mapping[str, object]]) -> dict[str, object]:
    """Return the parameters of some models as lists, one for each column."""
    columns = {"used_accounts": "account", "used_models": "model"} | {f"used_{name}": name for name in AMOUNTS}
    return {parameter: [row[name] for row in rows] for parameter, name in columns.items()}


def late_usage_row(batch: Row, late: LateAnswerCount) -> dict[str, object]:
    """Return the parameters that count the late answers of a job of a batch."""
    called = CalledModel(late.job.account, late.job.model)
    used = ModelUsage(called=called, spend=late.spend, paid_twice=late.paid_twice)
    return _place(batch, day_of(late.at)) | {"lane": "native"} | _model_row(_names(used.called), amounts_of(used))


def usage_query_row(query: UsageQuery) -> dict[str, object]:
    """Return the parameters that find usage; one group more than may be answered tells that there are too many."""
    groups = {f"by_{name}": name in query.by for name in USAGE_DIMENSIONS}
    filters = {name: _filter(getattr(query, name)) for name in ("model", "account", "lane", "workspace", "key")}
    return groups | filters | {"since": query.since, "until": query.until, "limit": MAX_USAGE_GROUPS + 1}


def usage_group_from_row(row: Row) -> UsageGroup:
    """Return the group in a row."""
    return UsageGroup(
        **{name: row[name] for name in USAGE_DIMENSIONS},
        amounts=UsageAmounts(**{name: row[name] for name in AMOUNTS}),
    )


def in_order(groups: Iterable[UsageGroup]) -> list[UsageGroup]:
    """Return groups ordered by what they are grouped by."""
    return sorted(groups, key=lambda group: [getattr(group, name) for name in USAGE_DIMENSIONS])


def stored_name(text: str) -> str:
    """Return a name that every database can store."""
    shown = text.translate(UNSTORABLE)
    return shown if len(shown) <= MAX_NAME else f"{shown[: MAX_NAME - 1]}…"


def _place(batch: Row, day: str) -> dict[str, object]:
    return {"day": day, "workspace": batch["workspace"], "api_key": stored_name(batch["caller"])}


def _names(called: CalledModel | None) -> tuple[str, str]:
    return ("", "") if called is None else (stored_name(called.account), stored_name(called.model))


def _model_row(names: tuple[str, str], amounts: UsageAmounts) -> dict[str, object]:
    return {"account": names[0], "model": names[1]} | msgspec.structs.asdict(amounts)


def _filter(text: str | None) -> str | None:
    return None if text is None else stored_name(text)
