"""Conversions and checks for workspaces and API keys, the same for every database."""

from __future__ import annotations

import msgspec

from batchgate.engine.model.api_key import ApiKey
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.monthly_budget import days_of
from batchgate.engine.model.workspace import Quotas, QuotaUsage, Workspace, minute_of, month_of
from batchgate.store.records import Row


def workspace_row(new: Workspace) -> dict[str, object]:
    """Return the parameters that insert a workspace."""
    return {"name": new.name, "created_at": new.created_at, **msgspec.structs.asdict(new.quotas)}


def workspace_from_row(row: Row) -> Workspace:
    """Return the workspace in a row."""
    return Workspace(name=row["name"], created_at=row["created_at"], quotas=quotas_from_row(row))


def quotas_from_row(row: Row) -> Quotas:
    """Return the quotas in the row of a workspace."""
    return Quotas(**{name: row[name] for name in Quotas.__struct_fields__})


def usage_params(workspace: str, now: int, *, with_spend: bool = True) -> dict[str, object]:
    """Return the parameters that read the usage of a workspace at a time; it is faster without the spend."""
    month = month_of(now)
    days = days_of(month) if with_spend else []
    return {"workspace": workspace, "month": month, "minute": minute_of(now), "days": days}


def usage_from_row(row: Row) -> QuotaUsage:
    """Return the usage in the row of ``workspace_usage``."""
    return QuotaUsage(**{name: row[name] for name in QuotaUsage.__struct_fields__})


KEPT_MINUTES = 10
"""Minutes for which the creates of a minute stay counted: clocks of gateways differ, and a create may wait."""


def creates_row(workspace: str, creates: int, now: int) -> dict[str, object]:
    """Return the parameters that count creates in their minute, and forget those of minutes that are long over."""
    minute = minute_of(now)
    return {"workspace": workspace, "minute": minute, "creates": creates, "before": minute - KEPT_MINUTES}


def api_key_row(key: ApiKey) -> dict[str, object]:
    """Return the parameters that insert an API key."""
    return msgspec.structs.asdict(key) | {"scopes": ",".join(key.scopes)}


def api_key_from_row(row: Row) -> ApiKey:
    """Return the API key in a row."""
    fields = {name: row[name] for name in ApiKey.__struct_fields__}
    return ApiKey(**(fields | {"scopes": tuple(row["scopes"].split(","))}))


def is_admin_key(key: ApiKey, now: int) -> bool:
    """Return True if a key is valid at a time and has the scope admin."""
    return "admin" in key.scopes and key.is_valid_at(now)


ADMIN_SCOPE_PATTERN = "%admin%"
"""The SQL pattern for the scopes of an admin key."""


def check_workspace_empty(name: str, found: Row) -> None:
    """Raise `RefusedError` if a workspace to archive has batches, files or keys."""
    contents = [kind for kind in ("batches", "files", "keys") if found[kind]]
    if contents:
        message = f"Workspace {name!r} still has {' and '.join(contents)}; delete or revoke them first."
        raise RefusedError("invalid_request_error", message)


def workspace_not_found(name: str) -> RefusedError:
    """Return the error for an API key of a workspace that does not exist."""
    return RefusedError("not_found_error", f"There is no workspace {name!r}.")


def api_key_required() -> RefusedError:
    """Return the error for a first key that another create has just preceded."""
    return RefusedError("authentication_error", "An API key is required: the first one has just been created.")


def api_key_not_active(key_id: str) -> RefusedError:
    """Return the error for the rotation of a key that is no longer valid."""
    message = f"Key {key_id!r} has expired or was revoked; create another one instead."
    return RefusedError("invalid_request_error", message)


def check_other_admin_key(other_key: Row | None, key_id: str) -> None:
    """Raise `RefusedError` if no other valid admin key would remain."""
    if other_key is None:
        message = f"Key {key_id!r} is the last valid key with the scope admin; create another one before you revoke it."
        raise RefusedError("invalid_request_error", message)
