"""Settings: a TOML file, environment variables that override it, and accounts created from well-known variables.

Every setting has a default for one machine; an invalid setting raises `ConfigurationError` with its name.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from batchgate.account_settings import AccountSettings, MonthlyBudgetUsd
from batchgate.api.http_limits import HttpLimits
from batchgate.engine.model.api_key import DEFAULT_SCOPES, DEFAULT_WORKSPACE, MIN_CONFIGURED_LENGTH, Scope
from batchgate.engine.model.decoding_errors import UNKNOWN_FIELD, DocumentFault, describe_validation_error
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.fail_fast import DEFAULT_FAIL_FAST, MAX_FAIL_FAST
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.setting_names import unknown_setting

ENVIRONMENT_PREFIX: Final = "BATCHGATE_"
DEFAULT_FILE: Final = "batchgate.toml"

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LogFormat: TypeAlias = Literal["text", "json"]


class ApiKeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key of callers, ``[api_keys.NAME]``."""

    key: str | None = None
    """The key; prefer key_env."""
    key_env: str | None = None
    """The environment variable that holds the key."""
    workspace: Annotated[str, Meta(min_length=1, max_length=64)] = DEFAULT_WORKSPACE
    """The workspace that the key gives access to."""
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = DEFAULT_SCOPES
    """What the key allows: read, submit, admin; no scope implies another."""
    monthly_budget_usd: MonthlyBudgetUsd | None = None
    """What the answers of its batches may cost in a month (UTC) before they are paused."""

    def __repr__(self) -> str:
        """Show the entry without the key."""
        return redacted_repr(self, "key")


class Settings(HttpLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings; those of a plain type are also read from the variable BATCHGATE_ and the name in capitals."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address to listen on; other machines can connect only if API keys exist."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """The port to listen on; 0 picks a free one."""
    data_dir: Annotated[str, Meta(min_length=1)] = "batchgate-data"
    """The folder for the SQLite database and for request and result files."""
    database_url: str | None = None
    """The PostgreSQL database, postgresql://USER:PASSWORD@HOST:PORT/DATABASE; by default a SQLite file in data_dir."""
    database_url_file: Annotated[str, Meta(min_length=1)] | None = None
    """The file that holds database_url."""
    database_wait_timeout: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    """Seconds that a start waits for a PostgreSQL database that cannot be reached."""
    worker_heartbeat_timeout: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    """Seconds after which a process that misses heartbeats is considered dead and its work is taken over."""
    blob_url: Annotated[str, Meta(pattern="^(file|s3|gs|az)://.")] | None = None
    """Storage for request and result files: file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""
    default_provider: str | None = None
    """The account for requests that name none (anthropic, or the only account)."""
    public_url: Annotated[str, Meta(pattern="^https?://[^/?#]+[^?#]*$")] | None = None
    """The URL under which callers reach the gateway, for results_url (taken from each request)."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies, such as 10.0.0.0/8, whose Forwarded and X-Forwarded headers are trusted."""
    relative_results_url: bool = False
    """Return results_url without scheme and host; the Python and TypeScript SDKs join it to their base URL."""
    live_counts: bool = False
    """Update request_counts while a batch runs, not only when it has ended."""
    shutdown_timeout: Annotated[float, Meta(ge=0)] = 30.0
    """Seconds that requests in flight may take after SIGTERM."""
    scrub_bytes_per_second: Annotated[int, Meta(ge=0)] = 1_000_000
    """Bytes a second at which stored result files and uploaded files are read to find damage; 0 turns it off."""
    usage_retention_days: Annotated[int, Meta(ge=1, le=36500)] | None = None
    """Days for which tokens and cost are kept by day, model, account, lane, workspace and key (forever)."""
    fail_fast: Annotated[int, Meta(ge=0, le=MAX_FAIL_FAST)] = DEFAULT_FAIL_FAST
    """How many first results of a batch for one model pause it if all are the same permanent error; 0 turns it off."""
    max_output_file_bytes: Annotated[int, Meta(ge=1)] = 256 * 1024 * 1024
    """The largest answer of a provider that becomes a file, such as audio; a larger one ends its request."""
    master_key_file: Annotated[str, Meta(min_length=1)] | None = None
    """The file with the master keys that encrypt secrets in the database ($BATCHGATE_MASTER_KEY)."""
    webhook_networks: tuple[str, ...] = ()
    """Private networks, such as 10.0.0.0/8, that webhooks may reach beside the internet, there also over plain http."""
    trust_env: bool = False
    """Call providers through the proxies in HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""
    log_level: LogLevel = "info"
    """The lowest level that is logged, to stderr."""
    log_format: LogFormat = "text"
    """The format of log lines: text, or json (one object a line)."""
    accounts: dict[str, AccountSettings] = msgspec.field(default_factory=dict)
    """The provider accounts by name."""
    api_keys: dict[str, ApiKeySettings] = msgspec.field(default_factory=dict)
    """The API keys of callers by name; without any key, every caller on this machine has access."""
    storage_options: dict[str, str | bool] = msgspec.field(default_factory=dict)
    """Options for blob_url beside the environment, by obstore's names."""

    def __repr__(self) -> str:
        """Show the settings without the fields that may hold keys."""
        return redacted_repr(self, "database_url", "storage_options")

    @property
    def database_display(self) -> str | None:
        """The PostgreSQL database for display, without credentials; None for a SQLite file in data_dir."""
        if self.database_url is None:
            return None
        url = urlsplit(self.database_url)
        return f"PostgreSQL, {url.hostname or 'on this machine'}{url.path}"

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The trusted proxies as networks."""
        return tuple(ipaddress.ip_network(text) for text in self.trusted_proxies)

    @property
    def reachable_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks that webhooks may reach beside the internet."""
        return tuple(ipaddress.ip_network(text) for text in self.webhook_networks)


_NAMES: Final = tuple(sorted(Settings.__struct_fields__, key=HttpLimits.__struct_fields__.__contains__))
"""All settings, those of the HTTP server last."""
TABLES: Final[dict[str, type[Struct]]] = {"accounts": AccountSettings, "api_keys": ApiKeySettings}
"""The settings that are tables of named entries."""
SIMPLE: Final = tuple(name for name in Settings.__struct_fields__ if name not in {*TABLES, "storage_options"})
"""The settings that can be set by environment variables."""
NETWORKS: Final = ("trusted_proxies", "webhook_networks")
"""The settings that are lists of networks; in a variable, commas separate them."""
_OPTIONAL: Final = frozenset(field.name for field in msgspec.structs.fields(Settings) if field.default is None)
"""The settings that may have no value: an empty variable counts as not set."""

_OTHER_VARIABLES: Final = ("CONFIG", "URL", "API_KEY", "MASTER_KEY", "FAILPOINTS")
"""Other variables, read by the commands and the tests."""
_SERVICE_LINK: Final = re.compile(r"(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""Variables that Kubernetes sets for a Service called batchgate or batchgate-something."""
_LINK_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://.*")
_OLLAMA_HOST: Final = re.compile(
    r"(?P<scheme>https?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#\[\]]*)(?P<port>:\d+)?(?P<path>(/[^\s?#]*)?)"
)


def load_settings(path: Path | None, environment: Mapping[str, str], **overrides: object) -> Settings:
    """Read the file, then the environment, then the command line; later ones win. Raises `ConfigurationError`."""
    content = _read_file(path, environment)
    for name in SIMPLE:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if _is_given(name, environment.get(variable)):
            content[name] = _from_environment(name, variable, environment[variable])
    content.update({name: value for name, value in overrides.items() if value is not None})
    accounts = content.get("accounts", {})
    content["accounts"] = _well_known_accounts(environment) | accounts if isinstance(accounts, dict) else accounts
    settings = _with_database_url(_convert(content))
    _check(settings, environment)
    _refuse_misspelt(unknown_variables(settings, environment))
    return settings


def _with_database_url(settings: Settings) -> Settings:
    """Read the database URL, which may hold a password, from database_url_file."""
    if settings.database_url_file is None:
        return settings
    if settings.database_url is not None:
        raise ConfigurationError("database_url_file", "either database_url or database_url_file, not both")
    path = Path(settings.database_url_file)
    try:
        url = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("database_url_file", f"a readable file with the URL in it: {error}") from error
    if not url:
        raise ConfigurationError("database_url_file", f"a readable file with the URL in it: {path} is empty")
    return msgspec.structs.replace(settings, database_url=url)


def unknown_variables(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """List the variables that begin with BATCHGATE_ and are not settings."""
    known = {ENVIRONMENT_PREFIX + name for name in (*map(str.upper, SIMPLE), *_OTHER_VARIABLES)}
    known |= {account.api_key_env or "" for account in settings.accounts.values()}
    known |= {key.key_env or "" for key in settings.api_keys.values()}
    return [
        variable
        for variable, value in environment.items()
        if variable.startswith(ENVIRONMENT_PREFIX)
        and variable not in known
        and not _is_service_link(variable.removeprefix(ENVIRONMENT_PREFIX), value)
    ]


def _refuse_misspelt(unknown: list[str]) -> None:
    for variable in unknown:
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name not in SIMPLE and name in Settings.__struct_fields__:
            table = f"{name}.NAME" if name in TABLES else name
            raise ConfigurationError(variable, f"[{table}] in the settings file; the environment cannot hold a table")
        if near := get_close_matches(name, SIMPLE, n=1, cutoff=0.75):
            raise ConfigurationError(
                variable, f"there is no such setting; did you mean {ENVIRONMENT_PREFIX}{near[0].upper()}?"
            )


def _is_given(name: str, text: str | None) -> bool:
    """Check if a variable has a value; an empty variable of an optional setting has none."""
    if text is None or (not text and name in _OPTIONAL):
        return False
    return not _is_service_link(name.upper(), text)


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name)) and (name != "PORT" or bool(_LINK_ADDRESS.fullmatch(value)))


def secret(given: str | None, variable: str | None, setting: str, environment: Mapping[str, str]) -> str | None:
    """Return a key from the setting itself, or from the variable that it names."""
    if variable is None:
        return given
    if not environment.get(variable):
        raise ConfigurationError(setting, f"the environment variable {variable} is not set")
    return environment[variable]


def _read_file(path: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    named = path or (Path(environment["BATCHGATE_CONFIG"]) if environment.get("BATCHGATE_CONFIG") else None)
    place = named or Path(DEFAULT_FILE)
    if named is None and not place.is_file():
        return {}
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(str(place), f"a readable file: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(place), f"valid TOML: {error}") from error


def _from_environment(name: str, variable: str, text: str) -> object:
    field = next(field for field in msgspec.structs.fields(Settings) if field.name == name)
    value: object = [part.strip() for part in text.split(",") if part.strip()] if name in NETWORKS else text
    if field.type is bool:
        value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower(), text)
    elif name.startswith("log_"):
        value = text.lower()
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        expected = describe_validation_error(error).message.removesuffix(", not a string")
        raise ConfigurationError(variable, f"{expected}, not {text!r}") from error


def _well_known_accounts(environment: Mapping[str, str]) -> dict[str, Any]:
    accounts: dict[str, Any] = {}
    for provider in ("anthropic", "openai"):
        variable = f"{provider.upper()}_API_KEY"
        if environment.get(variable):
            accounts[provider] = {"provider": provider, "api_key_env": variable}
    if environment.get("OLLAMA_HOST"):
        accounts["ollama"] = {"provider": "ollama", "base_url": _ollama_url(environment["OLLAMA_HOST"])}
    if environment.get("VLLM_BASE_URL"):
        accounts["vllm"] = {"provider": "vllm", "base_url": environment["VLLM_BASE_URL"]}
        if environment.get("VLLM_API_KEY"):
            accounts["vllm"]["api_key_env"] = "VLLM_API_KEY"
    return accounts


def _ollama_url(text: str) -> str:
    """Read OLLAMA_HOST as Ollama does: each part may be missing, and a wildcard address means this machine."""
    found = _OLLAMA_HOST.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError("OLLAMA_HOST", f"a host, perhaps with a scheme and a port, not {text!r}")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(found["host"], found["host"])  # noqa: S104
    port = found["port"] or ("" if found["scheme"] else ":11434")
    return f"{found['scheme'] or 'http://'}{host}{port}{found['path'].rstrip('/')}/v1"


def _convert(content: dict[str, Any]) -> Settings:
    try:
        return msgspec.convert(content, Settings)
    except msgspec.ValidationError as error:
        problem = _problem(content, error)
        is_unknown = problem.message == UNKNOWN_FIELD
        expected = unknown_setting(problem.path, _NAMES, TABLES) if is_unknown else problem.message
        raise ConfigurationError(problem.path or "settings", expected) from error


def _problem(content: dict[str, Any], error: msgspec.ValidationError) -> DocumentFault:
    """Describe an error with the name of the table entry, where the error itself only has ``*``."""
    problem = describe_validation_error(error)
    table, inside, _ = problem.path.partition(".*")
    for name, entry in content[table].items() if inside and table in TABLES else ():
        try:
            msgspec.convert(entry, TABLES[table])
        except msgspec.ValidationError as closer:
            return describe_validation_error(closer).with_prefix(f"{table}.{name}")
    return problem


def _check(settings: Settings, environment: Mapping[str, str]) -> None:
    _check_database_url(settings.database_url)
    _check_networks(settings)
    owners: dict[str, str] = {}
    for name, key in settings.api_keys.items():
        given = secret(key.key, key.key_env, f"api_keys.{name}.key_env", environment)
        if not given:
            raise ConfigurationError(f"api_keys.{name}", "a key, or key_env with the variable that holds it")
        if len(given) < MIN_CONFIGURED_LENGTH:
            expected = f"a key of at least {MIN_CONFIGURED_LENGTH} characters, such as one of `openssl rand -base64 24`"
            raise ConfigurationError(f"api_keys.{name}", expected)
        if owners.setdefault(given, name) != name:
            raise ConfigurationError(f"api_keys.{name}", f"a unique key; {owners[given]} has the same one")
    for name in settings.accounts:
        if "/" in name:
            raise ConfigurationError(f"accounts.{name}", "a name without a slash")
    if settings.default_provider is not None and settings.default_provider not in settings.accounts:
        known = ", ".join(settings.accounts) or "none is configured"
        raise ConfigurationError("default_provider", f"the name of an account: {known}")


def _check_networks(settings: Settings) -> None:
    for name, texts in ((name, getattr(settings, name)) for name in NETWORKS):
        for number, text in enumerate(texts):
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ConfigurationError(f"{name}.{number}", f"a network such as 10.0.0.0/8: {error}") from error


def _check_database_url(url: str | None) -> None:
    """Refuse an invalid PostgreSQL URL without quoting it: it may hold a password."""
    if url is None:
        return
    try:
        # An @ after the first slash belongs to a password with a slash, which would be read as the database name.
        fits = url.startswith("postgresql://") and "@" not in urlsplit(url).path
    except ValueError:  # unbalanced brackets
        fits = False
    if not fits:
        expected = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset for a SQLite file in data_dir"
        raise ConfigurationError("database_url", expected)


def is_loopback(host: str) -> bool:
    """Check if an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
