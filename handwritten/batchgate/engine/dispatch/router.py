"""Routes requests to accounts and limiters."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct, structs

from batchgate.engine.dispatch.admission import LimiterKey
from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of, reason_of_account
from batchgate.engine.dispatch.limits import AccountLimits, Limiter
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.lane import LanePart, LaneReason
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.model.model_load import AccountLoad, ModelLoad
from batchgate.engine.model.priority import Contenders
from batchgate.engine.ports.telemetry import LimiterState

IDLE_TIMEOUT: Final = 600.0
"""Seconds for which the limiter of an unused model is kept, with what it has learned."""
NO_BATCH_API: Final = "lane: no account of the batch has a batch API that it may use"
MAX_LIMITERS: Final = 1_000
"""Limiters beyond which an unused one is dropped earlier."""


class Route(Struct, frozen=True, kw_only=True):
    """The destination of a request."""

    endpoint: AccountEndpoint
    model: str

    @property
    def called(self) -> CalledModel:
        """The account and the model, as results name them."""
        return CalledModel(*self.key)

    @property
    def key(self) -> LimiterKey:
        """The names of the account and the model."""
        return self.endpoint.account.name, self.model


class Router:
    """Finds endpoints by account name, and keeps a limiter for each model in use."""

    def __init__(
        self, endpoints: Iterable[AccountEndpoint], rng: random.Random | None = None, clock: Clock | None = None
    ) -> None:
        self._endpoints: Mapping[str, AccountEndpoint] = {endpoint.account.name: endpoint for endpoint in endpoints}
        self._first_of_provider: dict[str, str] = {}
        for name, endpoint in self._endpoints.items():
            self._first_of_provider.setdefault(endpoint.account.provider, name)
        rng = rng or random.Random()
        self._accounts = {
            name: AccountLimits(endpoint.account, rng, clock) for name, endpoint in self._endpoints.items()
        }
        self._limiters: OrderedDict[LimiterKey, Limiter] = OrderedDict()
        """The least recently used first."""
        self._urgent: frozenset[int] = frozenset()
        self._contenders: Contenders = {}

    @property
    def account_names(self) -> tuple[str, ...]:
        """The names of all accounts."""
        return tuple(self._endpoints)

    @property
    def endpoints(self) -> tuple[AccountEndpoint, ...]:
        """All accounts, in the order of the settings."""
        return tuple(self._endpoints.values())

    @property
    def has_batch_apis(self) -> bool:
        """Whether any account has a batch API."""
        return any(endpoint.batches is not None for endpoint in self._endpoints.values())

    def endpoint(self, account: str) -> AccountEndpoint | None:
        """Return the endpoint of an account; None if there is none of that name."""
        return self._endpoints.get(account)

    def needs_plan(self, options: BatchOptions, accounts: Iterable[str] | None) -> bool:
        """Check if requests of a batch may go natively: to the named accounts, or to any of them for None."""
        return any(reason_of_account(options, endpoint) is None for endpoint in self._named(accounts))

    def decided(self, options: BatchOptions, accounts: Iterable[str] | None) -> BatchOptions:
        """Return options that keep the lanes of the accounts, which `needs_plan` takes, whatever these become later."""
        lanes = {endpoint.account.name: lane_of(options, endpoint) for endpoint in self._named(accounts)}
        found = set(lanes.values())
        if len(found) == 1:
            return structs.replace(options, lane=found.pop())
        return structs.replace(options, account_lanes=lanes) if lanes else options

    def _named(self, accounts: Iterable[str] | None) -> Sequence[AccountEndpoint]:
        """Return the endpoints of the named accounts, or all of them for None."""
        names = self._endpoints.keys() if accounts is None else accounts
        return [self._endpoints[name] for name in names if name in self._endpoints]

    def unplanned_lanes(self, batch: Batch) -> Sequence[LanePart]:
        """Return which lane the requests of a batch take that needs no plan, and why; empty if it needs one."""
        found = [self._endpoints[name] for name in self.accounts_of(batch) if name in self._endpoints]
        reasons = [reason for endpoint in found if (reason := reason_of_account(batch.options, endpoint)) is not None]
        if not found or len(reasons) < len(found) or batch.counts.total == batch.reused:
            return ()
        is_called = any(lane_of(batch.options, endpoint) != "native" for endpoint in found)
        called = batch.counts.total - batch.reused
        part = LanePart(
            account=found[0].account.name if len(found) == 1 else None,
            model=batch.model,
            lane="direct" if is_called else "none",
            reason=reasons[0] if len(set(reasons)) == 1 else LaneReason("no_batch_api", NO_BATCH_API),
            requests=called,
        )
        return (part,)

    def limit_of(self, account: str, model: str) -> float:
        """Return how many calls may be in flight to a model now."""
        limiter = self._limiters.get((account, model))
        if limiter is not None:
            return limiter.limit
        endpoint = self._endpoints.get(account)
        return 1.0 if endpoint is None else float(endpoint.account.concurrency)

    @property
    def concurrency(self) -> int:
        """The highest concurrency of any account: the most calls in flight to one of its models."""
        return max((endpoint.account.concurrency for endpoint in self._endpoints.values()), default=0)

    @property
    def in_flight(self) -> int:
        """The number of calls in flight to all accounts."""
        return sum(limiter.in_flight for limiter in self._limiters.values())

    @property
    def within_share(self) -> bool:
        """Whether the calls in flight do not exceed this worker's share."""
        return all(limiter.within_share for limiter in self._limiters.values())

    @property
    def accounts_without_share(self) -> tuple[str, ...]:
        """The accounts of whose limits this worker has no share."""
        return tuple(name for name, account in self._accounts.items() if account.without_share)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Limit all accounts to a share until a time of the event loop's clock, and to nothing after it."""
        for account in self._accounts.values():
            account.set_share(share, until)

    def expedite(self, batch_keys: Iterable[int]) -> None:
        """Put the requests of these batches, and only these, before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            for limiter in self._limiters.values():
                limiter.expedite(urgent)

    def set_contenders(self, contenders: Contenders) -> None:
        """Let these batches, and only these, share the calls of their workspaces by their weights."""
        self._contenders = contenders
        for limiter in self._limiters.values():
            limiter.set_contenders(contenders)

    @property
    def limiters(self) -> tuple[LimiterState, ...]:
        """The current state of the limiters."""
        return tuple(
            LimiterState(account=account, model=model, limit=limiter.limit, in_flight=limiter.in_flight)
            for (account, model), limiter in self._limiters.items()
        )

    def account_loads(self) -> Mapping[str, AccountLoad]:
        """Return the calls to each account that was used lately, by its name."""
        now = asyncio.get_running_loop().time()
        models: dict[str, list[ModelLoad]] = {}
        for key, limiter in self._limiters.items():
            models.setdefault(key[0], []).append(limiter.load(*key))
        counts = {name: account.recent_calls.counts(now) for name, account in self._accounts.items()}
        return {
            name: AccountLoad(calls=calls, refused=refused, models=tuple(models.get(name, ())))
            for name, (calls, refused) in counts.items()
            if calls or name in models
        }

    def loads(self, models: Iterable[tuple[str, str]]) -> tuple[ModelLoad, ...]:
        """Return the calls to models of accounts, as far as there were any lately."""
        return tuple(self._limiters[key].load(*key) for key in models if key in self._limiters)

    @property
    def pauses(self) -> tuple[AccountPause, ...]:
        """The pauses of the accounts and models that requests wait for."""
        waited_for = (limiter.paused for limiter in self._limiters.values() if limiter.busy)
        return tuple({pause.component: pause for pause in waited_for if pause is not None}.values())

    def paused(self, batch: Batch) -> AccountPause | None:
        """Return why requests of a batch wait, if it is because their account is paused."""
        for limiter in self._limiters.values():
            if limiter.paused is not None and limiter.has_waiting(batch.key):
                return limiter.paused
        account = self._accounts.get(batch.provider)
        return account.breaker.pause if account is not None else None

    @property
    def paused_batches(self) -> dict[int, AccountPause]:
        """The pauses of the accounts and models that requests wait for, by the key of their batch."""
        pauses: dict[int, AccountPause] = {}
        for limiter in self._limiters.values():
            if (pause := limiter.paused) is not None:
                pauses |= dict.fromkeys(limiter.waiting_batches, pause)
        return pauses

    @property
    def paused_accounts(self) -> Mapping[str, AccountPause]:
        """The pauses of whole accounts that requests wait for, by account name."""
        waited_for = sorted({account for (account, _), limiter in self._limiters.items() if limiter.busy})
        pauses = {name: self._accounts[name].breaker.pause for name in waited_for}
        return {name: pause for name, pause in pauses.items() if pause is not None}

    def accounts_of(self, batch: Batch) -> tuple[str, ...]:
        """List the accounts of a batch, as far as its `Batch.providers` name them; the default account first.

        These are names of accounts and of providers. So an account that has the name of another listed account's
        provider is left out: the name may stand for the provider only.
        """
        names = [name for name in batch.providers if name in self._endpoints and name != batch.provider]
        accounts = (batch.provider, *names)
        providers = {
            endpoint.account.provider
            for name in accounts
            if (endpoint := self._endpoints.get(name)) is not None and endpoint.account.provider != name
        }
        return (batch.provider, *(name for name in names if name not in providers))

    def account_without_price(self, default: str, model: str) -> str | None:
        """Return the account of a model if it has no price for it; None if it has one, or there is no account."""
        try:
            route = self.route(default, model)
        except RequestError:
            return None
        return route.key[0] if route.endpoint.prices.find(route.model) is None else None

    def searchable_names(self, names: Iterable[str]) -> tuple[str, ...]:
        """List the names by which a batch is found: its accounts, then their providers, each once.

        ``names`` are the default account, then the prefixes of the models.
        """
        default, *prefixes = names
        named = (self._named_account(default, prefix) for prefix in prefixes)
        accounts = sorted({name for name in (default, *named) if name is not None and name in self._endpoints})
        providers = sorted({self._endpoints[name].account.provider for name in accounts})
        return tuple(dict.fromkeys((*accounts, *providers)))

    def route(self, default: str, model: str) -> Route:
        """Return the route for a model: to the account that its prefix names, else to the default account.

        The prefix of ``account/model`` is the name of an account, or of its provider. Any other prefix must be part of
        the model's name, as in ``meta-llama/Llama-3``. Raises `RequestError` if it is none, or if the default account
        does not exist.
        """
        return self.route_to(*self.resolve(default, model))

    def resolve(self, default: str, model: str) -> tuple[str, str]:
        """Return the account that a model goes to, and its name there, as `route` chooses them.

        Raises `RequestError` for a wrong prefix.
        """
        prefix, slash, rest = model.partition("/")
        named = self._named_account(default, prefix) if slash and rest else None
        if named is None and slash and (unknown := self.unknown_prefix(default, prefix)) is not None:
            raise RequestError("not_found_error", unknown)
        return (default, model) if named is None else (named, rest)

    def route_to(self, account: str, model: str) -> Route:
        """Return the route to an account for a model by the provider's name; raises `RequestError` without it."""
        endpoint = self._endpoints.get(account)
        if endpoint is None:
            message = f"{self._no_account(account)}. Name one with the batch, or set default_provider"
            raise RequestError("not_found_error", message)
        return Route(endpoint=endpoint, model=model)

    def unknown_prefix(self, default: str, prefix: str) -> str | None:
        """Explain why a prefix of a model is wrong; None if it names an account, or is part of the model's name."""
        owner = self._endpoints.get(default)
        if owner is None or not prefix or owner.is_model_part(prefix):
            return None
        if self._named_account(default, prefix) is not None:
            return None
        whole = f"{default}/{prefix}/..."
        return f"{self._no_account(prefix)}. If it is part of the name of a model, write {whole}"

    def without_account(self, default: str, model: str) -> str:
        """Return a model without the prefix that names an account, for a request to the account ``default``."""
        prefix, slash, rest = model.partition("/")
        return rest if slash and rest and self._named_account(default, prefix) is not None else model

    def _named_account(self, default: str, prefix: str) -> str | None:
        """Return the account that a prefix names by its own name, or by its provider's; None if it names none."""
        if prefix in self._endpoints:
            return prefix
        owner = self._endpoints.get(default)
        if owner is None or owner.is_model_part(prefix):
            return None
        return default if owner.account.provider == prefix else self._first_of_provider.get(prefix)

    def _no_account(self, name: str) -> str:
        configured = ", ".join(self._endpoints) or "none"
        return f"no account is called {name!r}; configured: {configured}"

    async def read_keys(self) -> None:
        """Read the keys that are in files or secrets; raises `ConfigurationError` for a missing one."""
        for endpoint in self._endpoints.values():
            await endpoint.read_key()

    async def refresh_keys(self) -> None:
        """Read these keys again; an account whose key cannot be read keeps the old one."""
        for endpoint in self._endpoints.values():
            await endpoint.refresh_key()

    def limiter(self, route: Route) -> Limiter:
        """Return the limiter of the calls on a route, and keep it for the next ones."""
        key = route.key
        limiter = self._limiters.get(key)
        if limiter is None:
            self._drop_unused()
            limiter = Limiter(self._accounts[key[0]], route.model, route.endpoint.account.concurrency)
            limiter.expedite(self._urgent)
            limiter.set_contenders(self._contenders)
            self._limiters[key] = limiter
        else:
            self._limiters.move_to_end(key)
        return limiter

    def _drop_unused(self) -> None:
        """Drop up to two limiters before one is added: the least recently used ones, unless they are busy."""
        now = asyncio.get_running_loop().time()
        for key, limiter in tuple(islice(self._limiters.items(), 2)):
            if limiter.busy:
                self._limiters.move_to_end(key)
            elif now - limiter.last_start > IDLE_TIMEOUT or len(self._limiters) > MAX_LIMITERS:
                del self._limiters[key]
