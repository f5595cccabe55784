"""The accounts with their state, and the models that they are used for, over all workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from batchgate.engine.dispatch.account_check import CheckOutcome, check_account
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.daily_usage import UsageQuery
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.model_load import AccountLoad, combined_account_loads
from batchgate.engine.model.price import LanePrices
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.tenancy.usage_reports import UsageReports

COMPONENT = "account/"


class AccountState(Struct, frozen=True, kw_only=True):
    """An account, as all workers report it."""

    endpoint: AccountEndpoint
    pauses: tuple[AccountPause, ...]
    load: AccountLoad

    @property
    def is_paused(self) -> bool:
        """Whether calls to all of its models are paused."""
        return any(self.paused_model(pause) is None for pause in self.pauses)

    def paused_model(self, pause: AccountPause) -> str | None:
        """Return the model that a pause concerns; None for the whole account."""
        model = pause.component.removeprefix(COMPONENT + self.endpoint.account.name).removeprefix("/")
        return model or None


class UsedModel(Struct, frozen=True, kw_only=True):
    """A model of an account, how many results it gave lately, and its prices."""

    account: str
    model: str
    requests: int
    prices: LanePrices | None
    has_native_lane: bool


class AccountStates:
    """Reads the state of the accounts."""

    def __init__(self, router: Router, cluster: Cluster, usage: UsageReports) -> None:
        self._router = router
        self._cluster = cluster
        self._usage = usage

    def list(self) -> Sequence[AccountState]:
        """Return all accounts, in the order of the settings."""
        workers = [worker.report for worker in self._cluster.other_workers]
        own = self._router.account_loads()
        problems = [*self._router.pauses, *self._router.paused_accounts.values()]
        pauses = [*problems, *(pause for report in workers for pause in report.paused.values())]
        pauses += [wait.paused for report in workers for wait in report.waiting.values() if wait.paused is not None]
        states = []
        for endpoint in self._router.endpoints:
            name = endpoint.account.name
            loads = [own.get(name), *(report.accounts.get(name) for report in workers)]
            load = combined_account_loads(load for load in loads if load is not None)
            states.append(AccountState(endpoint=endpoint, pauses=_pauses_of(name, pauses), load=load))
        return states

    async def check(self, account: str, model: str | None) -> CheckOutcome | None:
        """Check an account with a small call, by default to the model that was used last; None if there is no account.

        Raises `RefusedError` if the provider has no small call.
        """
        endpoint = self._router.endpoint(account)
        if endpoint is None:
            return None
        return await check_account(endpoint, model or self._latest_model(account))

    def _latest_model(self, account: str) -> str | None:
        """Return the model of an account that this process called last; None if it has called none."""
        load = self._router.account_loads().get(account)
        return load.models[-1].model if load is not None and load.models else None

    async def models(self, workspace: str | None) -> Sequence[UsedModel]:
        """Return the models that a workspace, or any workspace, used lately, and those with prices in the settings."""
        since, until = self._usage.days(None, None)
        query = UsageQuery(since=since, until=until, by=frozenset({"account", "model"}), workspace=workspace)
        requests = {
            (group.account, group.model): group.amounts.succeeded + group.amounts.errored
            for group in await self._usage.read(query)
            if group.account and group.model
        }
        for endpoint in self._router.endpoints:
            for model in endpoint.prices.listed_models:
                requests.setdefault((endpoint.account.name, model), 0)
        return [self._used(account, model, number) for (account, model), number in sorted(requests.items())]

    def _used(self, account: str, model: str, requests: int) -> UsedModel:
        endpoint = self._router.endpoint(account)
        return UsedModel(
            account=account,
            model=model,
            requests=requests,
            prices=None if endpoint is None else endpoint.prices.find(model),
            has_native_lane=endpoint is not None and endpoint.batches is not None,
        )


def _pauses_of(account: str, pauses: Iterable[AccountPause]) -> tuple[AccountPause, ...]:
    """Return the pauses of an account and its models, each once: the earliest that was reported."""
    own = COMPONENT + account
    found: dict[str, AccountPause] = {}
    for pause in sorted(pauses, key=lambda pause: pause.since):
        if pause.component == own or pause.component.startswith(f"{own}/"):
            found.setdefault(pause.component, pause)
    return tuple(found.values())
