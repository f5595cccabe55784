"""Renders docs/providers.md: what each provider takes in both lanes, and what it was tested against.

Run as ``python -m batchgate_codegen.providers_page <root>`` with that root's handwritten/ and generated/ on the path.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, LimitName, ProviderBatches
from batchgate.providers.batches.refusals import REFUSED_EVERYWHERE, REFUSED_FIELDS
from batchgate.providers.dialects.translation import KIND_NAMES
from batchgate.providers.prices.batch_discounts import BatchDiscount, batch_discount
from batchgate.providers.registry.providers import PROVIDER_NAMES, PROVIDERS, Provider
from batchgate_codegen.exams import REAL_SERVER, Exam, Lane, find_exams
from batchgate_codegen.request_kinds import (
    KINDS,
    MODELS,
    Treatment,
    direct_treatment,
    is_for_claude,
    native_lane,
    native_treatment,
)
from batchgate_codegen.schema_text import table

PAGE_PATH: Final = Path("handwritten", "docs", "providers.md")
MEGABYTE: Final = 1_000_000
NOTHING: Final = "-"

INTRODUCTION: Final = """\
<!-- Made by batchgate_codegen from the registry of providers and the marks of tests; run `nox -s generate`. -->

# Providers

These are the providers that the unified API names. Batchgate calls a provider once the [settings](settings.md#accounts)
have an account for it. The [lane](lanes.md) `direct` is one call for each request; `native` are jobs of the provider's
own batch API.

"""

TESTED: Final = """
No test calls a provider's own servers. *Tested against* says what was there instead, for at least one kind of requests:

- **simulator**: a batch ends on the simulated API of the provider (`batchgate simulate`), with a result for each
  request. The simulator follows the provider's documentation. No SDK has driven it.
- **simulator that `PACKAGE` accepts**: the same, and the official SDK in that package, unchanged, drives the same
  simulator from a request to its answer.
- **llama.cpp**: a batch ends on this server with a real model. The account was one of the provider; the server was not
  the provider's.
"""

KINDS_OF_REQUESTS: Final = """
## Kinds of requests

What becomes of a request that is called directly:

- **as it is**: no field is translated. The model loses the prefix of its account, or moves into the URL.
- **translated**: the request is [translated](translation.md). A field that cannot be translated is an error that names
  it.
- **-**: the result is an error.

"""

NATIVE: Final = """
## Jobs of the native lane

What a job may have, and which requests travel in jobs. For a provider that is not here, Batchgate uses no batch API.
[Lanes](lanes.md#when-a-request-goes-natively) says which fields keep a request out of a job, and how many requests for
a model the lane `auto` needs.

"""

NOTES: Final = """
- **requests, size**: the limits of a job; 1 MB is a million bytes. Batchgate fills nine tenths of the size, since a
  translated request may be larger. *(own)* marks a limit of Batchgate, where the provider publishes none.
- **window**: the time in which Batchgate expects a job to end, as the provider's documentation says where it does.
- **factor**: the part of the normal price that a request costs. It is what the provider publishes, and does not come
  from a bill. A price of the catalogue or of the settings [comes first](lanes.md#providers-and-prices).
- **label**: whether Batchgate can find a job by its own name for it. Without one, a job whose creation got no answer is
  [in doubt](lanes.md#what-happens-to-a-job) for a while.
"""

FIELDS: Final = """
## Fields that keep a request out of a job

A request for which a reason holds runs directly in the lane `auto`, and ends with an error in the lane `native`. The
fields are those of the provider's own format. [Lanes](lanes.md#when-a-request-goes-natively) has the other reasons.

"""

PROVIDER_HEADER: Final = (
    *("provider", "URL", "an account needs", "lanes"),
    *("direct lane tested against", "native lane tested against"),
)
NATIVE_HEADER: Final = (
    *("provider", "as they are", "translated", "requests", "size", "largest request", "window", "factor", "label"),
    "an account needs",
)


def render_page(root: Path) -> str:
    """Return the page as Markdown; ``root`` is the checkout whose tests are read."""
    exams = find_exams(root)
    lanes = {name: batches for name in PROVIDERS if (batches := native_lane(name)) is not None}
    rows = (_provider_row(name, lanes.get(name), exams) for name in sorted(PROVIDER_NAMES))
    parts = [
        INTRODUCTION,
        table(PROVIDER_HEADER, rows),
        TESTED,
        KINDS_OF_REQUESTS,
        _kinds_table(),
        NATIVE,
        table(NATIVE_HEADER, (_native_row(name, batches) for name, batches in sorted(lanes.items()))),
        NOTES,
        FIELDS,
        table(["provider", "requests", "field", "reason"], _field_rows(lanes)),
    ]
    return "".join(parts)


# All providers


def _provider_row(name: str, batches: ProviderBatches | None, exams: Sequence[Exam]) -> Sequence[str]:
    provider = PROVIDERS.get(name)
    if provider is None:
        return [f"`{name}`", NOTHING, "no account can have it yet", "none", NOTHING, NOTHING]
    return [
        f"`{name}`",
        _url(provider),
        _needs(provider),
        "`direct`" if batches is None else "`direct`, `native`",
        _tested(name, "direct", exams),
        NOTHING if batches is None else _tested(name, "native", exams),
    ]


def _url(provider: Provider) -> str:
    other = "" if provider.openai is None else f'; with `api = "openai"`: `{provider.openai.base_url}`'
    return f"`{provider.base_url}`{other}"


def _needs(provider: Provider) -> str:
    needs = {"key": "a key", "base_url": "its URL", None: "nothing"}[provider.requires]
    return f"{needs}, a region" if provider.has_regions else needs


def _tested(name: str, lane: Lane, exams: Sequence[Exam]) -> str:
    found = [exam for exam in exams if (exam.provider, exam.lane) == (name, lane)]
    servers = sorted({exam.subject for exam in found if exam.mark == REAL_SERVER})
    packages = sorted({f"`{exam.subject}`" for exam in found if exam.mark != REAL_SERVER})
    verb = "accepts" if len(packages) == 1 else "accept"
    simulator = f"simulator that {' and '.join(packages)} {verb}" if packages else "simulator"
    return ", ".join([simulator, *servers])


# Kinds of requests


def _kind_name(kind: RowKind) -> str:
    name = KIND_NAMES[kind]
    return name[0].upper() + name[1:] if " " in name or name.islower() else name


def _kinds_table() -> str:
    """Write a column for each kind that several providers take, and one for those that are of one provider alone."""
    takers = {kind: [name for name in PROVIDERS if _treatment(name, kind) != NOTHING] for kind in KINDS}
    shared = [kind for kind in KINDS if len(takers[kind]) > 1]
    rows = (
        _kinds_row(name, shared, own=[kind for kind in KINDS if takers[kind] == [name]]) for name in sorted(PROVIDERS)
    )
    return table(["provider", *map(_kind_name, shared), "others"], rows)


def _kinds_row(name: str, shared: Sequence[RowKind], own: Sequence[RowKind]) -> Sequence[str]:
    others = ", ".join(f"{_kind_name(kind)}: {_treatment(name, kind)}" for kind in own)
    return [f"`{name}`", *(_treatment(name, kind) for kind in shared), others or NOTHING]


def _treatment(name: str, kind: RowKind) -> str:
    return _treatment_cell(direct_treatment(PROVIDERS[name], name, kind))


def _treatment_cell(treatments: dict[str, Treatment]) -> str:
    words: dict[Treatment, str] = {"unchanged": "as it is", "translated": "translated", "refused": NOTHING}
    if len(set(treatments.values())) == 1:
        return words[treatments[MODELS[0]]]
    other, claude = sorted(treatments, key=is_for_claude)
    return f"{words[treatments[claude]]} for Claude, else {words[treatments[other]]}"


# Jobs of the native lane


def _native_row(name: str, batches: ProviderBatches) -> Sequence[str]:
    limits = batches.limits
    least = f"{limits.min_requests} to " if limits.min_requests > 1 else ""
    return [
        f"`{name}`",
        _kinds_in_jobs(batches, name, "unchanged"),
        _kinds_in_jobs(batches, name, "translated"),
        least + _limit(limits, "max_requests", f"{limits.max_requests:,}"),
        _limit(limits, "max_bytes", _megabytes(limits.max_bytes)),
        _megabytes(limits.max_row_bytes) if limits.max_row_bytes < limits.max_bytes else "as the job",
        f"{limits.window // 3600} h",
        _factor(batch_discount(name)),
        "yes" if limits.label == "exact" else "no",
        _job_needs(PROVIDERS[name]),
    ]


def _job_needs(provider: Provider) -> str:
    needs = {
        "a bucket and a role": provider.bucket == "s3",
        "a bucket and a project": provider.bucket == "gs",
        "the extra `cohere`": provider.jobs_need_avro,
    }
    return ", ".join(need for need, is_needed in needs.items() if is_needed) or NOTHING


def _kinds_in_jobs(batches: ProviderBatches, name: str, wanted: Treatment) -> str:
    return ", ".join(_kinds_with(batches, name, wanted)) or "none"


def _kinds_with(batches: ProviderBatches, name: str, wanted: Treatment) -> Iterator[str]:
    for kind in KINDS:
        treatments = native_treatment(batches, name, kind)
        models = [model for model in MODELS if treatments[model] == wanted]
        if len(models) == len(MODELS):
            yield _kind_name(kind)
        elif models:
            yield f"{_kind_name(kind)} {'to Claude' if is_for_claude(models[0]) else 'to other models'}"


def _limit(limits: LaneLimits, name: LimitName, text: str) -> str:
    return f"{text} (own)" if name in limits.unpublished else text


def _megabytes(size: int) -> str:
    return f"{round(size / MEGABYTE):,} MB"


def _factor(discount: BatchDiscount) -> str:
    factor = f"{float(discount.factor):g}"
    if not discount.source:
        return f"{factor} (it publishes none)"
    if not discount.models:
        return factor
    models = " or ".join(f"`{model}`" for model in discount.models)
    return f"{factor} for models whose names begin with {models}, else 1"


# Fields that keep a request out of a job


def _field_rows(lanes: Mapping[str, ProviderBatches]) -> Iterator[Sequence[str]]:
    """Write the rules for fields of requests that travel in jobs; those that hold everywhere come first."""
    for rule in REFUSED_EVERYWHERE:
        yield ["all", "all", f"`{rule.field}`", rule.reason]
    for name, batches in sorted(lanes.items()):
        for rule in REFUSED_FIELDS.get(name, ()):
            kinds = [kind for kind in KINDS if kind in rule.kinds and _travels(batches, name, kind)]
            if kinds and rule not in REFUSED_EVERYWHERE:
                yield [f"`{name}`", ", ".join(map(_kind_name, kinds)), f"`{rule.field}`", rule.reason]


def _travels(batches: ProviderBatches, name: str, kind: RowKind) -> bool:
    return set(native_treatment(batches, name, kind).values()) != {"refused"}


if __name__ == "__main__":
    Path(sys.argv[1], PAGE_PATH).write_text(render_page(Path(sys.argv[1])))
