"""Builds the accounts from the settings, and chooses the account that runs a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import structs

from batchgate.account_keys import ReadSecret, account_key, project_key
from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.api.provider_names import ProviderNames
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.budget import budget_of
from batchgate.engine.model.clock import SystemClock
from batchgate.engine.model.errors import ConfigurationError, RefusedError
from batchgate.engine.model.price import Price
from batchgate.engine.model.provider_call import Account, Deployment
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate.engine.ports.provider import ContentTransport, Transport
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.providers.batches.avro_lines import AVRO_EXTRA, has_avro
from batchgate.providers.prices.account_prices import AccountPrices
from batchgate.providers.prices.batch_discounts import batch_discount
from batchgate.providers.prices.catalogue import CATALOGUE_NAMES, Catalogue
from batchgate.providers.registry.model_names import is_part_of_model_name
from batchgate.providers.registry.providers import PROVIDER_NAMES, PROVIDERS, Provider
from batchgate.providers.responses.key_redaction import KeyRedactingHandler
from batchgate.providers.responses.stated_costs import STATED_COSTS
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.handler import SimulatorHandler
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.setting_names import near_provider
from batchgate.settings import Settings

SIMULATOR = "simulator"
DEFAULT = "anthropic"
FindBatches: TypeAlias = Callable[[str], ProviderBatches | None]
"""Returns the client of a provider's batch API by its name; None for a provider without one."""
Now: TypeAlias = Callable[[], int]
"""Returns the present time in microseconds, as prices change with time."""

_SYSTEM_CLOCK: Final = SystemClock()
_OPENAI_PATH: Final = "/openai"
"""The end of the base URL of Google's OpenAI-compatible API."""


def endpoints(
    settings: Settings,
    transport: Transport,
    environment: Mapping[str, str],
    read_secret: ReadSecret,
    find_batches: FindBatches = lambda _: None,
    *,
    now: Now = _SYSTEM_CLOCK.now,
    contents: ContentTransport | None = None,
    downloads: ContentTransport | None = None,
) -> list[AccountEndpoint]:
    """Build the endpoints of all accounts; raises `ConfigurationError`.

    Keys in files and in the database are read when the engine starts.
    """
    is_model_part = _model_parts(settings)
    return [
        _endpoint(
            name,
            account,
            transport,
            environment,
            read_secret,
            partial(is_model_part, name),
            find_batches,
            now,
            contents,
            downloads,
        )
        for name, account in settings.accounts.items()
    ]


def monthly_budgets(accounts: Mapping[str, AccountSettings]) -> dict[str, int | None]:
    """Return the monthly budget of each account in nano-dollars; None for those without."""
    budgets = {name: given.monthly_budget_usd for name, given in accounts.items()}
    return {name: None if budget is None else budget_of(budget) for name, budget in budgets.items()}


def default_account(settings: Settings) -> str:
    """Return the account for requests that name none; the documented default is anthropic, configured or not."""
    if settings.default_provider is not None:
        return settings.default_provider
    if DEFAULT not in settings.accounts and len(settings.accounts) == 1:
        return next(iter(settings.accounts))
    return DEFAULT


def account_chooser(settings: Settings, parameter: str, preferred: str | None = None) -> Callable[[str | None], str]:
    """Return a function that chooses the account of a batch from the value of ``parameter`` in its create.

    The value is the name of an account, or of a provider with a single account. Without a value, the function chooses
    the account ``preferred``, or the default account if there is none of that name. It raises `RefusedError` for other
    names.
    """
    default = preferred if preferred is not None and preferred in settings.accounts else default_account(settings)

    def choose(asked: str | None) -> str:
        if not settings.accounts:
            message = "no account is configured; set a provider's key, or [accounts] in the settings"
            raise RefusedError("invalid_request_error", message)
        return default if asked is None else _find_account(asked, settings.accounts, parameter)

    return choose


def provider_names(settings: Settings) -> ProviderNames:
    """Return the names that calls of the unified API may give for a provider."""
    only = next(iter(settings.accounts)) if len(settings.accounts) == 1 else None
    return ProviderNames(
        accounts={name: account.provider for name, account in settings.accounts.items()},
        default=settings.default_provider or only,
        documented=PROVIDER_NAMES,
        is_model_part=_model_parts(settings),
    )


def _model_parts(settings: Settings) -> Callable[[str, str], bool]:
    """Return the function that tells for an account whether a prefix belongs to the name of one of its models."""
    providers = {name: account.provider for name, account in settings.accounts.items()}

    def is_model_part(account: str, prefix: str) -> bool:
        return is_part_of_model_name(
            prefix, provider=providers[account], accounts=providers.keys(), providers=providers.values()
        )

    return is_model_part


def _find_account(asked: str, accounts: Mapping[str, AccountSettings], parameter: str) -> str:
    if asked in accounts:
        return asked
    meant = [name for name, account in accounts.items() if account.provider == asked]
    if len(meant) == 1:
        return meant[0]
    if meant:
        message = f"{parameter}: provider {asked} has several accounts; name one of {', '.join(meant)}"
    else:
        message = f"{parameter}: there is no account {asked!r}; configured: {', '.join(accounts)}"
    raise RefusedError("invalid_request_error", message, param=parameter)


def _endpoint(  # noqa: PLR0917
    name: str,
    given: AccountSettings,
    transport: Transport,
    environment: Mapping[str, str],
    read_secret: ReadSecret,
    is_model_part: Callable[[str], bool],
    find_batches: FindBatches,
    now: Now,
    contents: ContentTransport | None,
    downloads: ContentTransport | None,
) -> AccountEndpoint:
    account = _account(name, given)
    if given.provider == SIMULATOR:
        simulator = SimulatorTransport(given.simulator)
        return AccountEndpoint(
            account=account,
            handler=SimulatorHandler(),
            transport=simulator,
            meter=UsageMeter(),
            is_model_part=is_model_part,
            prices=_prices(name, given, now, is_own_host=False),
        )
    provider = _provider(name, given)
    key = account_key(name, given, environment, read_secret)
    if given.deployments and given.provider != "azure":
        raise ConfigurationError(f"accounts.{name}.deployments", "none: only the provider azure has deployments")
    if given.embedding_input_type is not None and given.provider != "cohere":
        raise ConfigurationError(f"accounts.{name}.embedding_input_type", "left out: only cohere asks for it")
    if given.keep_outputs and provider.tasks is None:
        raise ConfigurationError(f"accounts.{name}.keep_outputs", f"false: {given.provider} has no tasks")
    _check_region(name, given, provider)
    own_url = provider.url_in(given.region)
    base_url = _base_url(name, given, own_url)
    _check_requirement(name, given, provider, has_key=bool(key.value))
    _check_key(name, given, provider, key.value)
    is_own_host = _host(base_url) == _host(own_url)
    handler = KeyRedactingHandler(provider.handler(), base_url=base_url, in_answers=not is_own_host)
    if given.project is not None:
        key = project_key(name, given, key, transport, own_host=_host(base_url) or "", now=now)
    handler.remember(key.value)
    return AccountEndpoint(
        account=structs.replace(account, base_url=base_url, api_key=key.value),
        batches=_batches(account, given, provider, find_batches, is_own_host=is_own_host),
        handler=handler,
        transport=transport,
        meter=UsageMeter(cost=STATED_COSTS.get(given.provider)),
        read_key=key.reporting(handler.remember),
        reject_key=key.reject,
        is_model_part=is_model_part,
        prices=_prices(name, given, now, is_own_host=is_own_host),
        tasks=None if provider.tasks is None else provider.tasks(),
        contents=contents,
        downloads=downloads,
        models_path=provider.models_path,
    )


def _provider(name: str, given: AccountSettings) -> Provider:
    provider = PROVIDERS.get(given.provider)
    if provider is None:
        known, near = ", ".join((*PROVIDERS, SIMULATOR)), near_provider(given.provider, (*PROVIDERS, SIMULATOR))
        raise ConfigurationError(f"accounts.{name}.provider", f"one of {known}, not {given.provider!r}{near}")
    if given.api == "native":
        if provider.openai is not None and (given.base_url or "").rstrip("/").endswith(_OPENAI_PATH):
            raise ConfigurationError(f"accounts.{name}.api", f"openai for a base_url that ends with {_OPENAI_PATH}")
        return provider
    if provider.openai is None:
        raise ConfigurationError(f"accounts.{name}.api", f"native: {given.provider} has one API")
    return provider.openai


def _account(name: str, given: AccountSettings) -> Account:
    """Return an account without its URL and its key."""
    return Account(
        name=name,
        provider=given.provider,
        base_url="http://simulator",
        concurrency=given.concurrency,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
        timeout=given.timeout,
        region=given.region,
        project=given.project,
        lane=given.lane or "auto",
        native_min_requests=given.native_min_requests,
        enqueued_tokens=given.enqueued_tokens,
        embedding_input_type=given.embedding_input_type or "search_document",
        batch_url=given.batch_url,
        batch_role=given.batch_role,
        job_min_requests=given.job_min_requests,
        batch_options=given.batch_options,
        keep_outputs=given.keep_outputs,
        deployments={
            model: Deployment(direct=names.direct, native=names.native) for model, names in given.deployments.items()
        },
    )


def _prices(name: str, given: AccountSettings, now: Now, *, is_own_host: bool) -> AccountPrices:
    return AccountPrices(
        name,
        prices={model: _price(price) for model, price in given.prices.items()},
        factors=given.native_factors,
        discount=batch_discount(given.provider),
        catalogue=_catalogue(name, given, now, is_own_host=is_own_host),
        now=now,
    )


def _catalogue(name: str, given: AccountSettings, now: Now, *, is_own_host: bool) -> Catalogue | None:
    """Return the catalogue of an account's provider: at its own host, and where the account asks for it."""
    is_listed, setting = given.provider in CATALOGUE_NAMES, f"accounts.{name}.catalogue_prices"
    if given.catalogue_prices and not is_listed:
        raise ConfigurationError(setting, f"false: the catalogue has no prices of {given.provider}")
    if not (is_listed and (is_own_host if given.catalogue_prices is None else given.catalogue_prices)):
        return None
    try:
        return Catalogue(given.provider, now)
    except ImportError as error:
        if given.catalogue_prices is None:
            return None
        raise ConfigurationError(setting, "false without the extra prices: pip install 'batchgate[prices]'") from error


def _batches(
    account: Account, given: AccountSettings, provider: Provider, find_batches: FindBatches, *, is_own_host: bool
) -> ProviderBatches | None:
    """Return the batch API of an account: at the provider's own host, and where the settings say that there is one."""
    is_wanted = given.lane in {"auto", "native"}
    if (missing := _missing_for_jobs(given, provider)) is not None:
        if is_wanted:
            raise ConfigurationError(f"accounts.{account.name}.{missing[0]}", missing[1])
        return None
    if provider.jobs_need_avro and is_wanted and not has_avro():
        raise ConfigurationError(f"accounts.{account.name}.lane", f"direct without {AVRO_EXTRA}")
    is_there = is_own_host or account.has_native_deployments or is_wanted
    batches = find_batches(given.provider) if is_there and given.api == "native" else None
    if batches is None and given.lane == "native":
        raise ConfigurationError(f"accounts.{account.name}.lane", f"auto or direct: {given.provider} has no batch API")
    return batches


def _missing_for_jobs(given: AccountSettings, provider: Provider) -> tuple[str, str] | None:
    """Return a setting without which an account can have no jobs, and what it should be; None if all are there."""
    if provider.bucket is None:
        return None
    if not (given.batch_url or "").startswith(f"{provider.bucket}://"):
        return "batch_url", f"{provider.bucket}://BUCKET/PREFIX: the jobs of this provider need a bucket"
    if provider.bucket == "s3" and given.batch_role is None:
        return "batch_role", "set: the jobs of this provider need a role that opens the bucket"
    if provider.has_projects and given.project is None:
        return "project", "set: only a project has jobs"
    return None


def _check_region(name: str, given: AccountSettings, provider: Provider) -> None:
    if provider.has_regions and given.region is None:
        raise ConfigurationError(f"accounts.{name}.region", "the region of the models, such as us-east-1")
    if given.region is not None and not provider.has_regions:
        raise ConfigurationError(f"accounts.{name}.region", f"left out: {given.provider} has no regions")
    if given.project is not None and not provider.has_projects:
        raise ConfigurationError(f"accounts.{name}.project", f"left out: {given.provider} has no projects")


def _check_key(name: str, given: AccountSettings, provider: Provider, key: str | None) -> None:
    """Raise `ConfigurationError` for the key of a service account without the project that it is for."""
    if provider.has_projects and given.project is None and (key or "").lstrip().startswith("{"):
        raise ConfigurationError(f"accounts.{name}.project", "the project that the service account calls models for")


def _check_requirement(name: str, given: AccountSettings, provider: Provider, *, has_key: bool) -> None:
    """Raise `ConfigurationError` for an account whose every call would fail."""
    if given.base_url:
        return
    if provider.requires == "base_url":
        expected = f"the URL of the server, such as {provider.base_url}"
        raise ConfigurationError(f"accounts.{name}.base_url", expected)
    if provider.requires == "key" and not has_key and given.api_key_file is None and given.api_key_secret is None:
        url = provider.url_in(given.region)
        expected = (
            f"the key for {url}, better in api_key_env, api_key_file or api_key_secret; a server that needs no key has "
            "a base_url of its own"
        )
        raise ConfigurationError(f"accounts.{name}.api_key", expected)


def _price(given: PriceSettings) -> Price:
    written = given.input if given.cache_write is None else given.cache_write
    return Price(
        input=_nanodollars(given.input),
        cached_input=_nanodollars(given.input if given.cached_input is None else given.cached_input),
        cache_write=_nanodollars(written),
        long_cache_write=_nanodollars(written if given.long_cache_write is None else given.long_cache_write),
        output=_nanodollars(given.output),
    )


def _nanodollars(dollars: float) -> int:
    return round(dollars * NANODOLLARS_PER_DOLLAR)


def _base_url(name: str, given: AccountSettings, own_url: str) -> str:
    base_url = (given.base_url or own_url).rstrip("/")
    if not _host(base_url):
        # Without the part before an @, which may be a password.
        expected = f"a URL with http or https, not {base_url.rpartition('@')[2]!r}"
        raise ConfigurationError(f"accounts.{name}.base_url", expected)
    return base_url


def _host(url: str) -> str | None:
    """Return the host and the port of an HTTP URL; None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is no number
        return None
    return parts.netloc.rpartition("@")[2].lower() if usable else None
