"""Management of workspaces and API keys."""

from __future__ import annotations

import msgspec
from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import SCOPES, TENANTS, USAGE, WORKSPACE
from batchgate.api.gateway.usage_view import usage_report
from batchgate.engine.model.api_key import DEFAULT_SCOPES, ApiKey
from batchgate.engine.model.budget import budget_of
from batchgate.engine.model.daily_usage import UsageDimension, UsageQuery
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.monthly_budget import MonthlyBudget, budgets_of_keys
from batchgate.engine.model.times import rfc3339, rfc3339_or_none
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR, Quotas, QuotaUsage, Workspace
from batchgate.engine.tenancy.tenants import ApiKeyOptions
from batchgate_api import gateway, parameters

DEFAULT_LIMIT = 20


class WorkspacesHandler:
    """`WorkspacesHandlers` on the engine."""

    async def get_usage(
        self,
        request: web.Request,
        parameters: parameters.GetUsageParameters,
    ) -> gateway.UsageReport:
        """Return usage, and the quotas of the caller's own workspace."""
        query = _usage_query(request, parameters)
        groups = await request.app[USAGE].read(query)
        workspace = _workspace(*await request.app[TENANTS].find_workspace(request[WORKSPACE]))
        budgets = await request.app[TENANTS].monthly_budgets()
        visible = budgets if "admin" in request[SCOPES] else [b for b in budgets if b.workspace == request[WORKSPACE]]
        return usage_report(query, groups, workspace, visible)

    async def create_workspace(
        self,
        request: web.Request,
        parameters: parameters.CreateWorkspaceParameters,  # noqa: ARG002
        body: gateway.CreateWorkspace,
    ) -> gateway.Workspace:
        """Create a workspace."""
        quotas = Quotas(**_changes(value_or_none(body.quotas)))
        _check_name(body.name)
        return _workspace(await request.app[TENANTS].create_workspace(body.name, quotas), QuotaUsage())

    async def list_workspaces(
        self, request: web.Request, parameters: parameters.ListWorkspacesParameters
    ) -> gateway.WorkspaceList:
        """List the workspaces by name."""
        limit = value_or_none(parameters.limit) or DEFAULT_LIMIT
        page = await request.app[TENANTS].list_workspaces(after=value_or_none(parameters.after), limit=limit)
        data = [_workspace(workspace) for workspace in page.workspaces]
        return gateway.WorkspaceList(data=data, has_more=page.has_more, last_id=data[-1].name if data else None)

    async def get_workspace(
        self, request: web.Request, parameters: parameters.GetWorkspaceParameters
    ) -> gateway.Workspace:
        """Return quotas and usage of a workspace."""
        return _workspace(*await request.app[TENANTS].find_workspace(parameters.workspace))

    async def update_workspace(
        self, request: web.Request, parameters: parameters.UpdateWorkspaceParameters, body: gateway.UpdateWorkspace
    ) -> gateway.Workspace:
        """Change the quotas of a workspace."""
        changed = await request.app[TENANTS].update_quotas(parameters.workspace, _changes(body.quotas))
        return _workspace(*changed)

    async def archive_workspace(
        self, request: web.Request, parameters: parameters.ArchiveWorkspaceParameters
    ) -> gateway.ArchivedWorkspace:
        """Archive an empty workspace."""
        await request.app[TENANTS].archive_workspace(parameters.workspace)
        return gateway.ArchivedWorkspace(name=parameters.workspace, archived=True)


class APIKeysHandler:
    """`APIKeysHandlers` on the engine."""

    async def create_key(
        self, request: web.Request, parameters: parameters.CreateKeyParameters, body: gateway.CreateKey
    ) -> gateway.CreatedKey:
        """Create an API key of a workspace, and return it."""
        _check_name(body.name)
        scopes = tuple(dict.fromkeys(value_or_none(body.scopes) or DEFAULT_SCOPES))
        dollars = value_or_none(body.monthly_budget_usd)
        options = ApiKeyOptions(
            name=body.name,
            scopes=scopes,
            lifetime=value_or_none(body.expires_in_seconds),
            monthly_budget=None if dollars is None else budget_of(dollars),
        )
        return _created(*await request.app[TENANTS].create_key(parameters.workspace, options))

    async def list_keys(self, request: web.Request, parameters: parameters.ListKeysParameters) -> gateway.KeyList:
        """List the API keys of a workspace, newest first."""
        page = await request.app[TENANTS].list_keys(
            parameters.workspace,
            after=value_or_none(parameters.after),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
        )
        budgets = budgets_of_keys(await request.app[TENANTS].monthly_budgets())
        data = [_key(key, budgets.get((key.workspace, key.name))) for key in page.keys]
        return gateway.KeyList(data=data, has_more=page.has_more, last_id=data[-1].id if data else None)

    async def get_key(self, request: web.Request, parameters: parameters.GetKeyParameters) -> gateway.Key:
        """Return an API key without its value."""
        return _key(*await request.app[TENANTS].find_key_with_budget(parameters.key_id))

    async def update_key(
        self, request: web.Request, parameters: parameters.UpdateKeyParameters, body: gateway.UpdateKey
    ) -> gateway.Key:
        """Change the monthly budget of an API key."""
        dollars = body.monthly_budget_usd
        budget = None if dollars is None else budget_of(dollars)
        return _key(*await request.app[TENANTS].change_key_budget(parameters.key_id, budget))

    async def revoke_key(self, request: web.Request, parameters: parameters.RevokeKeyParameters) -> gateway.Key:
        """Revoke an API key."""
        return _key(*await request.app[TENANTS].revoke_key(parameters.key_id))

    async def rotate_key(
        self, request: web.Request, parameters: parameters.RotateKeyParameters, body: gateway.RotateKey
    ) -> gateway.CreatedKey:
        """Replace an API key, and return the new one."""
        return _created(
            *await request.app[TENANTS].rotate_key(parameters.key_id, value_or_none(body.grace_seconds) or 0)
        )


def _check_name(name: str) -> None:
    if name.endswith("\n"):  # $ in a pattern accepts one
        raise RefusedError("invalid_request_error", "name: it ends with a newline", param="name")


def _changes(changes: gateway.QuotaChanges | None) -> dict[str, int | None]:
    """Return the given quotas, money in nano-dollars."""
    if changes is None:
        return {}
    named = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
    if "monthly_spend_usd" in named:
        dollars = named.pop("monthly_spend_usd")
        named["monthly_spend"] = None if dollars is None else round(dollars * NANODOLLARS_PER_DOLLAR)
    return named


def _usage_query(request: web.Request, asked: parameters.GetUsageParameters) -> UsageQuery:
    since, until = request.app[USAGE].days(value_or_none(asked.since), value_or_none(asked.until))
    return UsageQuery(
        since=since,
        until=until,
        by=msgspec.convert((value_or_none(asked.by) or "day").split(","), frozenset[UsageDimension]),
        model=value_or_none(asked.model),
        account=value_or_none(asked.account),
        lane=value_or_none(asked.lane),
        workspace=_visible_workspace(request, value_or_none(asked.workspace)),
        key=value_or_none(asked.key),
    )


def _visible_workspace(request: web.Request, asked: str | None) -> str | None:
    """Return the workspace whose usage the caller may see, of those that it asks for; None for all."""
    own = request[WORKSPACE]
    if "admin" in request[SCOPES] or asked == own:
        return asked
    if asked is None:
        return own
    message = f"workspace: the API key sees the usage of its own workspace, {own!r}; all others need the scope admin"
    raise RefusedError("permission_error", message, param="workspace", code="missing_scope")


def _workspace(workspace: Workspace, use: QuotaUsage | None = None) -> gateway.Workspace:
    quotas = workspace.quotas
    spend = quotas.monthly_spend
    return gateway.Workspace(
        name=workspace.name,
        created_at=rfc3339(workspace.created_at),
        quotas=gateway.Quotas(
            queued_requests=quotas.queued_requests,
            concurrent_batches=quotas.concurrent_batches,
            stored_bytes=quotas.stored_bytes,
            files=quotas.files,
            creates_per_minute=quotas.creates_per_minute,
            monthly_spend_usd=None if spend is None else spend / NANODOLLARS_PER_DOLLAR,
        ),
        use=msgspec.UNSET if use is None else _use(use),
    )


def _use(use: QuotaUsage) -> gateway.WorkspaceUse:
    return gateway.WorkspaceUse(
        queued_requests=use.queued_requests,
        concurrent_batches=use.concurrent_batches,
        stored_bytes=use.stored_bytes,
        files=use.files,
        creates_per_minute=use.creates_per_minute,
        monthly_spend_usd=use.monthly_spend / NANODOLLARS_PER_DOLLAR,
    )


def _key(key: ApiKey, budget: MonthlyBudget | None) -> gateway.Key:
    return gateway.Key(
        id=key.id,
        name=key.name,
        workspace=key.workspace,
        scopes=list(key.scopes),
        hint=key.hint,
        created_at=rfc3339(key.created_at),
        expires_at=rfc3339_or_none(key.expires_at),
        revoked_at=rfc3339_or_none(key.revoked_at),
        last_used_at=rfc3339_or_none(key.last_used_at),
        monthly_budget_usd=None if budget is None else budget.budget / NANODOLLARS_PER_DOLLAR,
        monthly_spend_usd=None if budget is None else budget.spent / NANODOLLARS_PER_DOLLAR,
    )


def _created(key: ApiKey, budget: MonthlyBudget | None, secret: str) -> gateway.CreatedKey:
    return gateway.CreatedKey(**msgspec.structs.asdict(_key(key, budget)), key=secret)
