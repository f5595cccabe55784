"""A create on the unified surface: its account, its default model and its options, once its body has been read."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from batchgate.api.binding import value_or_none
from batchgate.api.context import CALLER, WORKSPACE
from batchgate.api.provider_names import PROVIDER, ProviderNames
from batchgate.api.unified.create_batch import kind_of, own_endpoint, window_option
from batchgate.api.unified.create_body import UnifiedBatchFormat
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.budget import budget_option
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.submission import Submission

PLACES: Final = "in the query, in the header x-model-provider or before a slash in the model of the batch itself"
"""Where a create names the provider."""


class _Target(Struct, frozen=True):
    """The account and the default model of a create."""

    provider: str
    """The name that the caller used."""
    account: str
    model: str | None
    """The default model."""


class UnifiedCreate:
    """What a create asks for; ``named`` is the provider that its parameters name."""

    def __init__(
        self,
        request: web.Request,
        form: UnifiedBatchFormat,
        names: ProviderNames,
        named: str | None,
        *,
        idempotency_key: str | None = None,
        is_retry: bool = False,
    ) -> None:
        self._request = request
        self._form = form
        self._names = names
        self._named = named
        self._idempotency_key = idempotency_key
        self._is_retry = is_retry

    @property
    def provider(self) -> str:
        """The provider, as the caller names it, or else the default account."""
        return self._target().provider

    def check_head(self) -> None:
        """Raise `RefusedError` for a provider that does not exist, as far as the fields before the requests say."""
        if self._named is not None or value_or_none(self._form.fields.model) is not None:
            self._target()

    def submission(self) -> Submission:
        """Return the submission; raises `RefusedError` if no account is named."""
        chosen = self._target()
        return Submission(
            workspace=self._request[WORKSPACE],
            dialect="anthropic" if self._form.endpoint == MESSAGES else "openai",
            options=_options(self._form, chosen.model),
            provider=chosen.account,
            headers={},
            caller=self._request[CALLER],
            idempotency_key=self._idempotency_key,
            is_retry=self._is_retry,
        )

    def _target(self) -> _Target:
        """Choose by the provider of the call, by the prefix of the model, or the default account."""
        named, model = self._named, value_or_none(self._form.fields.model)
        prefix, _, bare = (model or "").partition("/")
        if named is not None:
            own = prefix == named and bare != ""
            return _Target(named, self._names.account(named, PROVIDER), bare if own else model)
        account = self._names.account_or_none(prefix) if bare else None
        if account is not None:
            return _Target(prefix, account, bare)
        default = self._names.default
        if prefix and bare and not (default is not None and self._names.is_model_part(default, prefix)):
            raise self._names.unknown(prefix, "model")
        if default is None:
            raise self._names.missing(PLACES)
        return _Target(default, default, model)


def _options(form: UnifiedBatchFormat, model: str | None) -> BatchOptions:
    kept = value_or_none(form.fields.output_expires_after)
    return BatchOptions(
        kind=kind_of(form.endpoint),
        own_endpoint=own_endpoint(form.endpoint),
        model=model,
        metadata=value_or_none(form.fields.metadata),
        input_file=form.input_file,
        output_lifetime=None if kept is None else kept.seconds,
        window=window_option(form.fields.completion_window),
        lane=form.fields.lane,
        priority=form.fields.priority,
        concurrency=form.fields.concurrency,
        name=_name(form),
        webhook=UNSET if form.fields.webhook is None else form.fields.webhook,
        fail_fast=form.fields.fail_fast,
        reuse=form.fields.reuse,
        budget=budget_option(form.fields.budget_usd),
    )


def _name(form: UnifiedBatchFormat) -> str | UnsetType:
    name = form.fields.name
    if name is None:
        return UNSET
    if name is not UNSET and name.endswith("\n"):  # $ in a pattern accepts one
        raise RefusedError("invalid_request_error", "name: it ends with a newline", param="name")
    return name
