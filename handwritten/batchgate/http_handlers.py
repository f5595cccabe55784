"""Puts the handlers of the HTTP operations together."""

from __future__ import annotations

from functools import partial

from batchgate import __version__
from batchgate.accounts import account_chooser, provider_names
from batchgate.api.anthropic.files import AnthropicFilesHandler
from batchgate.api.anthropic.handlers import MessageBatchesHandler
from batchgate.api.anthropic.view import MessageBatchView
from batchgate.api.gateway.accounts import AccountsHandler
from batchgate.api.gateway.control import BatchControlHandler
from batchgate.api.gateway.details import BatchDetailsHandler
from batchgate.api.gateway.estimates import BatchEstimatesHandler
from batchgate.api.gateway.progress import BatchProgressHandler
from batchgate.api.gateway.retries import BatchRetriesHandler
from batchgate.api.gateway.secrets import SecretsHandler
from batchgate.api.gateway.sessions import SessionsHandler
from batchgate.api.gateway.settings import SettingsHandler
from batchgate.api.gateway.tenants import APIKeysHandler, WorkspacesHandler
from batchgate.api.gateway.webhooks import WebhooksHandler
from batchgate.api.openai.batches import BatchesHandler
from batchgate.api.openai.handlers import FilesHandler
from batchgate.api.public_url import PublicUrl
from batchgate.api.unified.batch_view import UnifiedBatchView
from batchgate.api.unified.batches import UnifiedBatchesHandler
from batchgate.api.unified.files import UnifiedFilesHandler
from batchgate.engine.dispatch.router import Router
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.tenancy.secrets import Secrets
from batchgate.settings import Settings
from batchgate.shown_settings import shown_settings
from batchgate.tenancy import Tenancy
from batchgate_api.handlers import (
    AccountsHandlers,
    AnthropicFilesHandlers,
    APIKeysHandlers,
    BatchControlHandlers,
    BatchDetailsHandlers,
    BatchesHandlers,
    BatchEstimatesHandlers,
    BatchProgressHandlers,
    BatchRetriesHandlers,
    FilesHandlers,
    MessageBatchesHandlers,
    SecretsHandlers,
    SessionsHandlers,
    SettingsHandlers,
    UnifiedBatchesHandlers,
    UnifiedFilesHandlers,
    WebhooksHandlers,
    WorkspacesHandlers,
)


def http_handlers(
    settings: Settings, blobs: Blobs, router: Router, tenancy: Tenancy, secrets: Secrets
) -> tuple[
    MessageBatchesHandlers,
    BatchProgressHandlers,
    BatchDetailsHandlers,
    BatchControlHandlers,
    BatchRetriesHandlers,
    BatchEstimatesHandlers,
    WorkspacesHandlers,
    APIKeysHandlers,
    AnthropicFilesHandlers,
    FilesHandlers,
    BatchesHandlers,
    UnifiedFilesHandlers,
    UnifiedBatchesHandlers,
    SecretsHandlers,
    WebhooksHandlers,
    SessionsHandlers,
    AccountsHandlers,
    SettingsHandlers,
]:
    """Return the handlers of all operations of a gateway; those of every process are not among them."""
    names = provider_names(settings)
    return (
        MessageBatchesHandler(_message_view(settings), blobs, account_chooser(settings, "x-model-provider")),
        BatchProgressHandler(blobs),
        BatchDetailsHandler(),
        BatchControlHandler(),
        BatchRetriesHandler(names),
        BatchEstimatesHandler(names),
        WorkspacesHandler(),
        APIKeysHandler(),
        AnthropicFilesHandler(blobs, names),
        FilesHandler(blobs, names),
        BatchesHandler(account_chooser(settings, "provider", preferred="openai")),
        UnifiedFilesHandler(blobs, names),
        UnifiedBatchesHandler(_unified_view(settings), blobs, names),
        SecretsHandler(secrets, router.refresh_keys),
        WebhooksHandler(),
        SessionsHandler(tenancy.authenticator, tenancy.cookies, __version__),
        AccountsHandler(),
        SettingsHandler(partial(shown_settings, settings)),
    )


def _message_view(settings: Settings) -> MessageBatchView:
    return MessageBatchView(
        PublicUrl(settings.public_url, settings.networks),
        live_counts=settings.live_counts,
        relative_results_url=settings.relative_results_url,
    )


def _unified_view(settings: Settings) -> UnifiedBatchView:
    return UnifiedBatchView(
        PublicUrl(settings.public_url, settings.networks), relative_results_url=settings.relative_results_url
    )
