"""Opens the blob storage that the settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.exceptions import BaseError

from batchgate.blobs.bucket import CLIENT_OPTIONS, RETRY_OPTIONS, BucketBlobs
from batchgate.blobs.error_translation import describe_error
from batchgate.blobs.folder import FolderBlobs
from batchgate.engine.model.errors import ConfigurationError

if TYPE_CHECKING:  # obstore defines this name for type checkers only
    from obstore.store import ClientConfig

StorageOption: TypeAlias = str | bool

URL_FORMS: Final = "file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
SCHEMES: Final = ("file", "s3", "gs", "az")
_PREFIXES: Final = ("aws_", "google_", "azure_")
_ENDPOINTS: Final = ("endpoint", "endpoint_url", "storage_endpoint")
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
_CLIENT_OPTIONS: Final = frozenset(
    {
        "allow_http",
        "connect_timeout",
        "default_content_type",
        "http1_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
"""Options of the HTTP client; all others are options of the store."""
_INSECURE_OPTIONS: Final = frozenset({"allow_invalid_certificates", "allow_invalid_hostnames"})
"""Options that would send keys to an unverified server."""


def open_blobs(
    url: str | None, data_dir: Path, options: Mapping[str, StorageOption], environment: Mapping[str, str] = os.environ
) -> FolderBlobs | BucketBlobs:
    """Open the storage at a URL, or the folder beside the database; raises `ConfigurationError`."""
    parts = urlsplit(url or "")
    if url is None or parts.scheme == "file":
        if options:
            raise ConfigurationError("storage_options", "these options are for a bucket, but blob_url names none")
        return FolderBlobs(Path(blob_location(url, data_dir)))
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ConfigurationError("blob_url", URL_FORMS)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            "blob_url", f"{URL_FORMS}, without keys; put keys into the environment or storage_options"
        )
    return BucketBlobs(_open_store(url, options, environment), blob_location(url, data_dir))


def blob_location(url: str | None, data_dir: Path) -> str:
    """Return the location of the blobs for display, without secrets."""
    if url is None or urlsplit(url).scheme == "file":
        return str((data_dir / "blobs" if url is None else _folder(url)).resolve())
    return url.rstrip("/")


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise ConfigurationError("blob_url", f"file:/// and an absolute path, not {url!r}")
    return Path(unquote(parts.path))


def _open_store(
    url: str, options: Mapping[str, StorageOption], environment: Mapping[str, str]
) -> obstore.store.ObjectStore:
    short_names = {name: _without_cloud_prefix(name) for name in options}
    if insecure := next((name for name, short_name in short_names.items() if short_name in _INSECURE_OPTIONS), None):
        expected = "not set: the store's certificate is always verified; root_certificate may name its authority"
        raise ConfigurationError(f"storage_options.{insecure}", expected)
    client = {short_name: options[name] for name, short_name in short_names.items() if short_name in _CLIENT_OPTIONS}
    config = {name: options[name] for name, short_name in short_names.items() if short_name not in _CLIENT_OPTIONS}
    if _is_plain_http(config, environment):
        client.setdefault("allow_http", True)
    try:
        return obstore.store.from_url(  # type: ignore[call-overload, no-any-return]
            url,
            config=config,
            client_options=cast("ClientConfig", {**CLIENT_OPTIONS, **client}),
            retry_config=RETRY_OPTIONS,
        )
    except obstore.exceptions.UnknownConfigurationKeyError as error:
        unknown = next((name for name in config if f"'{name}'" in str(error)), "one of them")
        raise ConfigurationError(
            f"storage_options.{unknown}", "an option that obstore supports for this store"
        ) from error
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigurationError("blob_url", f"{url} cannot be used: {describe_error(error)}") from error


def _without_cloud_prefix(name: str) -> str:
    """Return the name of an option without the prefix of a cloud."""
    lower = name.lower()
    return next((lower.removeprefix(prefix) for prefix in _PREFIXES if lower.startswith(prefix)), lower)


def _is_plain_http(config: Mapping[str, StorageOption], environment: Mapping[str, str]) -> bool:
    """Return True if the operator has set an endpoint without TLS, such as a server in the same network."""
    configured = [value for name, value in config.items() if _without_cloud_prefix(name) in _ENDPOINTS]
    endpoints = configured or [environment[name] for name in _ENDPOINT_VARIABLES if name in environment]
    return any(str(endpoint).startswith("http://") for endpoint in endpoints[:1])
