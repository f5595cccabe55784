"""Which account runs a request, and through which gate."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from batchgate.engine.dispatch.endpoint import Endpoint
from batchgate.engine.dispatch.limits import AccountLimits, Limiter
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.ports.telemetry import LimiterState

IDLE: Final = 600.0
"""Seconds for which the limiter of a model that nobody asks for is kept, with what it has learnt."""
IDLE_LIMITERS: Final = 1_000
"""How many such limiters are kept at the most."""


class Route(Struct, frozen=True, kw_only=True):
    """Where one request goes."""

    endpoint: Endpoint
    model: str
    limiter: Limiter

    @property
    def gate(self) -> tuple[str, str]:
        """The account and the model."""
        return self.endpoint.account.name, self.model


class Router:
    """Chooses endpoints by name, and keeps a limiter for each model that is asked for."""

    def __init__(
        self, endpoints: Iterable[Endpoint], chance: random.Random | None = None, clock: Clock | None = None
    ) -> None:
        self._endpoints: Mapping[str, Endpoint] = {endpoint.account.name: endpoint for endpoint in endpoints}
        chance = chance or random.Random()
        self._accounts = {
            name: AccountLimits(endpoint.account, chance, clock) for name, endpoint in self._endpoints.items()
        }
        self._limiters: OrderedDict[tuple[str, str], Limiter] = OrderedDict()
        """The one that was asked for last is the last."""
        self._urgent: frozenset[int] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all accounts."""
        return tuple(self._endpoints)

    @property
    def concurrency(self) -> int:
        """The most calls at once to one model of any account."""
        return max((endpoint.account.concurrency for endpoint in self._endpoints.values()), default=0)

    @property
    def in_flight(self) -> int:
        """Calls under way to all of them."""
        return sum(limiter.in_flight for limiter in self._limiters.values())

    @property
    def within_share(self) -> bool:
        """Whether no more calls are under way than are of the share that is kept to."""
        return all(limiter.within_share for limiter in self._limiters.values())

    @property
    def without_share(self) -> tuple[str, ...]:
        """The accounts of whose limits nothing belongs to this process."""
        return tuple(name for name, account in self._accounts.items() if account.without_share)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Keep to a share of all limits from now on, and let no call go after a time of the loop."""
        for account in self._accounts.values():
            account.set_share(share, until)

    def expedite(self, batch_keys: Iterable[int]) -> None:
        """Let the requests of these batches, and no others, go before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            for limiter in self._limiters.values():
                limiter.expedite(urgent)

    @property
    def limiters(self) -> tuple[LimiterState, ...]:
        """How the limiters stand now."""
        return tuple(
            LimiterState(account=account, model=model, limit=limiter.limit, in_flight=limiter.in_flight)
            for (account, model), limiter in self._limiters.items()
        )

    @property
    def pauses(self) -> tuple[AccountPause, ...]:
        """The pauses of the accounts and models that requests wait for."""
        waited_for = (limiter.paused for limiter in self._limiters.values() if limiter.busy)
        return tuple({pause.component: pause for pause in waited_for if pause is not None}.values())

    def paused(self, batch: Batch) -> AccountPause | None:
        """Return why requests of a batch wait, if it is because their account is paused."""
        for limiter in self._limiters.values():
            if limiter.paused is not None and limiter.waits_for(batch.key):
                return limiter.paused
        account = self._accounts.get(batch.provider)
        return account.pause.pause if account is not None else None

    @property
    def paused_accounts(self) -> Mapping[str, AccountPause]:
        """Which accounts that requests wait for are paused as a whole, and why."""
        waited_for = sorted({account for (account, _), limiter in self._limiters.items() if limiter.busy})
        pauses = {name: self._accounts[name].pause.pause for name in waited_for}
        return {name: pause for name, pause in pauses.items() if pause is not None}

    def accounts_of(self, batch: Batch) -> tuple[str, ...]:
        """List the accounts of a batch, the default one first, as far as the names that it is found by tell them.

        An account that is called like the provider of another one of them is left out: it may be there as that only.
        """
        names = [name for name in batch.providers if name in self._endpoints and name != batch.provider]
        accounts = (batch.provider, *names)
        providers = {
            endpoint.account.provider
            for name in accounts
            if (endpoint := self._endpoints.get(name)) is not None and endpoint.account.provider != name
        }
        return (batch.provider, *(name for name in names if name not in providers))

    def names_of(self, asked: Iterable[str]) -> tuple[str, ...]:
        """List the accounts among some names, and after them the providers behind these accounts; each once."""
        accounts = sorted({name for name in asked if name in self._endpoints})
        providers = sorted({self._endpoints[name].account.provider for name in accounts})
        return tuple(dict.fromkeys((*accounts, *providers)))

    def route(self, default: str, model: str) -> Route:
        """Follow a ``name/model`` prefix if it names an account, else take the default account.

        A slash that belongs to the model's own name, as in ``meta-llama/Llama-3``, is left alone.
        """
        prefix, slash, rest = model.partition("/")
        name, asked = (prefix, rest) if slash and rest and prefix in self._endpoints else (default, model)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            known = ", ".join(self._endpoints) or "none"
            raise RequestError("not_found_error", f"no account is called {name!r}; configured: {known}")
        return Route(endpoint=endpoint, model=asked, limiter=self._limiter(endpoint, asked))

    async def read_keys(self) -> None:
        """Read the keys that are kept outside; raises `ConfigurationError` for one that is not there."""
        for endpoint in self._endpoints.values():
            await endpoint.read_key()

    async def renew_keys(self) -> None:
        """Read them again, and keep the old one where that fails."""
        for endpoint in self._endpoints.values():
            await endpoint.renew_key()

    def _limiter(self, endpoint: Endpoint, model: str) -> Limiter:
        key = (endpoint.account.name, model)
        limiter = self._limiters.get(key)
        if limiter is None:
            self._forget_idle()
            limiter = Limiter(self._accounts[key[0]], model, endpoint.account.concurrency)
            limiter.expedite(self._urgent)
            self._limiters[key] = limiter
        else:
            self._limiters.move_to_end(key)
        return limiter

    def _forget_idle(self) -> None:
        """Look at the two that were not asked for the longest, as one is about to be added."""
        now = asyncio.get_running_loop().time()
        for key, limiter in tuple(islice(self._limiters.items(), 2)):
            if limiter.busy:
                self._limiters.move_to_end(key)
            elif now - limiter.last_entered > IDLE or len(self._limiters) > IDLE_LIMITERS:
                del self._limiters[key]
