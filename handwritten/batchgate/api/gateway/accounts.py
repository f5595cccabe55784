"""The accounts with their state, a test of each, and the models that they are used for."""

from __future__ import annotations

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import ACCOUNTS, SCOPES, WORKSPACE
from batchgate.api.gateway.model_load_view import model_load_view
from batchgate.engine.cluster.account_states import AccountState, UsedModel
from batchgate.engine.dispatch.account_check import CheckOutcome
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.model_load import AccountLoad
from batchgate.engine.model.price import Price
from batchgate.engine.model.times import rfc3339
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate_api import gateway, parameters


class AccountsHandler:
    """`AccountsHandlers` on the engine."""

    async def get_accounts(
        self,
        request: web.Request,
        parameters: parameters.GetAccountsParameters,  # noqa: ARG002
    ) -> gateway.AccountList:
        """Return the accounts; callers who are no administrators see little of them."""
        view = _account if "admin" in request[SCOPES] else _little_of_account
        return gateway.AccountList(data=[view(state) for state in request.app[ACCOUNTS].list()])

    async def test_account(
        self, request: web.Request, parameters: parameters.TestAccountParameters
    ) -> gateway.AccountTest:
        """Call the provider of an account."""
        outcome = await request.app[ACCOUNTS].check(parameters.account, value_or_none(parameters.model))
        if outcome is None:
            message = f"There is no account {parameters.account!r} in the settings."
            raise RefusedError("not_found_error", message, param="account")
        return _test(parameters.account, outcome)

    async def get_models(
        self,
        request: web.Request,
        parameters: parameters.GetModelsParameters,  # noqa: ARG002
    ) -> gateway.ModelList:
        """Return the models with their prices."""
        workspace = None if "admin" in request[SCOPES] else request[WORKSPACE]
        return gateway.ModelList(data=[_model(used) for used in await request.app[ACCOUNTS].models(workspace)])


def _account(state: AccountState) -> gateway.Account:
    account = state.endpoint.account
    return gateway.Account(
        name=account.name,
        provider=account.provider,
        state=_state(state),
        pauses=[
            gateway.AccountPause(
                code=pause.code, model=state.paused_model(pause), reason=pause.reason, since=rfc3339(pause.since)
            )
            for pause in state.pauses
        ],
        base_url=account.shown_url,
        lane=account.lane,
        has_batch_api=state.endpoint.batches is not None,
        concurrency=account.concurrency,
        requests_per_minute=account.requests_per_minute,
        tokens_per_minute=account.tokens_per_minute,
        recent_calls=_calls(state.load),
        models=[model_load_view(load) for load in state.load.models],
    )


def _little_of_account(state: AccountState) -> gateway.Account:
    """Return what every caller may know: the numbers are about all workspaces."""
    account = state.endpoint.account
    return gateway.Account(
        name=account.name,
        provider=account.provider,
        state=_state(state),
        pauses=[],
        base_url=None,
        lane=None,
        has_batch_api=None,
        concurrency=None,
        requests_per_minute=None,
        tokens_per_minute=None,
        recent_calls=None,
        models=None,
    )


def _state(state: AccountState) -> gateway.AccountState:
    return "paused" if state.is_paused else "partly_paused" if state.pauses else "ok"


def _calls(load: AccountLoad) -> gateway.RecentCalls:
    return gateway.RecentCalls(calls=load.calls, refused=load.refused)


def _test(account: str, outcome: CheckOutcome) -> gateway.AccountTest:
    error = outcome.error
    return gateway.AccountTest(
        account=account,
        ok=error is None,
        method=outcome.method,
        model=outcome.model,
        seconds=round(outcome.seconds, 3),
        error=None
        if error is None
        else gateway.AccountTestError(kind=error.kind, status=error.status, message=error.message),
    )


def _model(used: UsedModel) -> gateway.Model:
    prices = used.prices
    return gateway.Model(
        account=used.account,
        model=used.model,
        requests=used.requests,
        direct=None if prices is None else _price(prices.direct),
        native=None if prices is None or not used.has_native_lane else _price(prices.native),
    )


def _price(price: Price) -> gateway.TokenPrices:
    return gateway.TokenPrices(
        input=price.input / NANODOLLARS_PER_DOLLAR,
        cached_input=price.cached_input / NANODOLLARS_PER_DOLLAR,
        output=price.output / NANODOLLARS_PER_DOLLAR,
    )
