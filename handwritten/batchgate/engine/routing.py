"""Which account runs a request, and through which gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from batchgate.engine.errors import RequestError
from batchgate.engine.limiter import Limiter
from batchgate.engine.upstream import Account, ProviderHandler, Transport


class Endpoint(Struct, frozen=True, kw_only=True):
    """An account with what is needed to call it."""

    account: Account
    handler: ProviderHandler
    transport: Transport


class Route(Struct, frozen=True, kw_only=True):
    """Where one request goes."""

    endpoint: Endpoint
    model: str
    limiter: Limiter


class Router:
    """Chooses endpoints by name, and keeps one limiter for each model that was ever asked for."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints: Mapping[str, Endpoint] = {endpoint.account.name: endpoint for endpoint in endpoints}
        self._limiters: dict[tuple[str, str], Limiter] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all accounts."""
        return tuple(self._endpoints)

    @property
    def in_flight(self) -> int:
        """Calls under way to all of them."""
        return sum(limiter.in_flight for limiter in self._limiters.values())

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
        return Route(endpoint=endpoint, model=asked, limiter=self._limiter(endpoint.account, asked))

    def _limiter(self, account: Account, model: str) -> Limiter:
        key = (account.name, model)
        if key not in self._limiters:
            self._limiters[key] = Limiter(account.concurrency)
        return self._limiters[key]
