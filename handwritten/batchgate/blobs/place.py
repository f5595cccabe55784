"""Opens the place for bodies that the settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.exceptions import BaseError

from batchgate.blobs.bucket import CLIENT, RETRIES, BucketBlobs
from batchgate.blobs.faults import reason
from batchgate.blobs.folder import FolderBlobs
from batchgate.engine.model.errors import ConfigurationError

if TYPE_CHECKING:  # a name that obstore has for type checkers alone
    from obstore.store import ClientConfig

Option: TypeAlias = str | bool

FORMS: Final = "file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
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
"""The options that are of the HTTP client; the others are of the store."""
_UNVERIFIED: Final = frozenset({"allow_invalid_certificates", "allow_invalid_hostnames"})
"""The options that would send keys to whoever answers."""


def open_blobs(
    url: str | None, data_dir: Path, options: Mapping[str, Option], environment: Mapping[str, str] = os.environ
) -> FolderBlobs | BucketBlobs:
    """Open the place that a URL names, or the folder beside the database; raises `ConfigurationError`."""
    parts = urlsplit(url or "")
    if url is None or parts.scheme == "file":
        if options:
            raise ConfigurationError("storage_options", "they are for a bucket, and blob_url names none")
        return FolderBlobs(Path(place_of(url, data_dir)))
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ConfigurationError("blob_url", FORMS)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            "blob_url", f"{FORMS}, without keys: those belong to the environment or storage_options"
        )
    return BucketBlobs(_store(url, options, environment), place_of(url, data_dir))


def place_of(url: str | None, data_dir: Path) -> str:
    """Say where bodies are kept, as people may read it."""
    if url is None or urlsplit(url).scheme == "file":
        return str((data_dir / "blobs" if url is None else _folder(url)).resolve())
    return url.rstrip("/")


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise ConfigurationError("blob_url", f"file:/// and an absolute path, not {url!r}")
    return Path(unquote(parts.path))


def _store(url: str, options: Mapping[str, Option], environment: Mapping[str, str]) -> obstore.store.ObjectStore:
    plain = {name: _bare(name) for name in options}
    if unverified := next((name for name, bare in plain.items() if bare in _UNVERIFIED), None):
        expected = "not to be there: a store is believed by its certificate; root_certificate may name its authority"
        raise ConfigurationError(f"storage_options.{unverified}", expected)
    client = {bare: options[name] for name, bare in plain.items() if bare in _CLIENT_OPTIONS}
    config = {name: options[name] for name, bare in plain.items() if bare not in _CLIENT_OPTIONS}
    if _is_plain_http(config, environment):
        client.setdefault("allow_http", True)
    try:
        return obstore.store.from_url(  # type: ignore[call-overload, no-any-return]
            url, config=config, client_options=cast("ClientConfig", {**CLIENT, **client}), retry_config=RETRIES
        )
    except obstore.exceptions.UnknownConfigurationKeyError as error:
        unknown = next((name for name in config if f"'{name}'" in str(error)), "one of them")
        raise ConfigurationError(
            f"storage_options.{unknown}", "an option that obstore knows for such a store"
        ) from error
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigurationError("blob_url", f"{url} cannot be used: {reason(error)}") from error


def _bare(name: str) -> str:
    """Say an option without the name of the cloud before it."""
    lower = name.lower()
    return next((lower.removeprefix(prefix) for prefix in _PREFIXES if lower.startswith(prefix)), lower)


def _is_plain_http(config: Mapping[str, Option], environment: Mapping[str, str]) -> bool:
    """Tell if the operator has named an endpoint without TLS, as a server in the same network has it."""
    given = [value for name, value in config.items() if _bare(name) in _ENDPOINTS]
    named = given or [environment[name] for name in _ENDPOINT_VARIABLES if name in environment]
    return any(str(endpoint).startswith("http://") for endpoint in named[:1])
