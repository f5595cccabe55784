"""Between rows and the values of tenants, and what is refused of them: the same for every database."""

from __future__ import annotations

import msgspec

from batchgate.engine.model.api_key import ApiKey
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.workspace import Quotas, QuotaUsage, Workspace
from batchgate.store.records import Row


def workspace_row(new: Workspace) -> dict[str, object]:
    """Write a workspace about to be stored."""
    return {"name": new.name, "created_at": new.created_at, **msgspec.structs.asdict(new.quotas)}


def workspace_of(row: Row) -> Workspace:
    """Read a workspace."""
    return Workspace(name=row["name"], created_at=row["created_at"], quotas=quotas_of(row))


def quotas_of(row: Row) -> Quotas:
    """Read the quotas of a workspace."""
    return Quotas(**{name: row[name] for name in Quotas.__struct_fields__})


def use_of(current: Row, stored: Row | None, spent: Row | None) -> QuotaUsage:
    """Read what a workspace uses: by its batches that have not ended, in bytes, and of its money."""
    return QuotaUsage(
        queued_requests=current["requests"],
        concurrent_batches=current["batches"],
        stored_bytes=0 if stored is None else stored["stored_bytes"],
        monthly_spend=current["cost"] + (0 if spent is None else spent["cost"]),
    )


def key_row(key: ApiKey) -> dict[str, object]:
    """Write a key about to be stored."""
    return msgspec.structs.asdict(key) | {"scopes": ",".join(key.scopes)}


def key_of(row: Row) -> ApiKey:
    """Read a key."""
    fields = {name: row[name] for name in ApiKey.__struct_fields__}
    return ApiKey(**(fields | {"scopes": tuple(row["scopes"].split(","))}))


def manages(key: ApiKey, now: int) -> bool:
    """Tell if a key manages others at a time."""
    return "admin" in key.scopes and key.is_valid_at(now)


MANAGING = "%admin%"
"""What the scopes of such a key look like."""


def refuse_unless_empty(name: str, found: Row) -> None:
    """Refuse to archive a workspace that something is in."""
    inside = [what for what in ("batches", "files", "keys") if found[what]]
    if inside:
        message = f"Workspace {name!r} still has {' and '.join(inside)}; delete or revoke them first."
        raise RefusedError("invalid_request_error", message)


def without_workspace(name: str) -> RefusedError:
    """Refuse a key for a workspace that is not there."""
    return RefusedError("not_found_error", f"There is no workspace {name!r}.")


def no_longer_first() -> RefusedError:
    """Refuse to create a key to who had none, when there is another one by now."""
    return RefusedError("authentication_error", "An API key is needed by now: another one has just been created.")


def no_longer_good(key_id: str) -> RefusedError:
    """Refuse to replace a key that is not good any more."""
    message = f"Key {key_id!r} has expired or was revoked; create another one instead."
    return RefusedError("invalid_request_error", message)


def refuse_without(beside: Row | None, key_id: str) -> None:
    """Refuse to revoke a key that manages keys without another one beside it."""
    if beside is None:
        message = f"Key {key_id!r} is the last one with the scope admin; create another one before it is revoked."
        raise RefusedError("invalid_request_error", message)
