"""Rules for valid calls that OpenAPI cannot express: each changes a generated call so that the gateway accepts it.

So no check has to be switched off. Calls that are invalid on purpose stay as they are. Schemathesis loads this module
(SCHEMATHESIS_HOOKS).
"""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any, Final, TypeAlias
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import schemathesis
from schemathesis import APIOperation, Case, GenerationMode, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi import stateful
from schemathesis.specs.openapi.stateful.dependencies.models import OperationNode

from batchgate.providers.registry.providers import PROVIDER_NAMES

AnyCase: TypeAlias = Case[Any]
Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

ACCOUNTS: Final = PROVIDER_NAMES
"""The accounts of the gateway under test, one for each provider; their names are settings, not part of the document."""
KEY: Final = "sk-bf-fuzz-0123456789"
"""The API key of the gateway under test, as in schemathesis.toml."""
LIMIT_STYLE: Final = ("limit", "after_id", "before_id")
PAGE_STYLE: Final = ("page_size", "page_token")
CURSORS: Final = ("after_id", "before_id", "page_token", "page", "after", "before")
PROVIDERS: Final = ("provider", "x-model-provider")
_ID: Final = re.compile(rb"(?:page_)?(?:msgbatch_|batch_|file-|key_)[0-9A-Za-z]{20,}")
_returned_ids: Final[set[object]] = set()
"""Every id that the gateway has returned so far."""
_call_numbers: Final = count()
_batch_file_ids: Final[list[str]] = []
"""The ids of files uploaded for batches."""


def use_one_paging_style(case: AnyCase) -> None:
    """Use one of the two paging styles, that of a cursor if there is one: parameters cannot exclude each other."""
    style, other = (LIMIT_STYLE, PAGE_STYLE) if set(LIMIT_STYLE[1:]) & case.query.keys() else (PAGE_STYLE, LIMIT_STYLE)
    if set(style) & case.query.keys():
        for name in other:
            case.query.pop(name, None)


def use_one_list_of_files(case: AnyCase) -> None:
    """List files by ids or in one paging style: parameters cannot exclude each other."""
    if case.operation.definition.raw.get("operationId") != "listAnthropicFiles":
        return
    if "ids[]" in case.query:
        for name in ("limit", "page", "after_id", "before_id"):
            case.query.pop(name, None)
    elif "after_id" in case.query:
        case.query.pop("page", None)


def end_streams_of_events(case: AnyCase) -> None:
    """Follow batches for a second: a stream without a maximum would not end; an invalid maximum is left as it is."""
    given = str(case.query.get("max_seconds", 1))
    if case.path.endswith("/events") and given.isdecimal() and 1 <= int(given) <= 86_400:
        case.query["max_seconds"] = 1


def use_returned_cursor(case: AnyCase) -> None:
    """Page from an id that the gateway returned: no schema lists the ids that exist."""
    if case.path == "/api/workspaces":
        return
    kinds = (("/files", "file-"), ("/keys", "key_"), ("/deliveries", "evt_"))
    kind = next((kind for part, kind in kinds if part in case.path), "batch_")
    for name in CURSORS:
        value = case.query.get(name)
        if value not in _returned_ids or kind not in str(value):
            case.query.pop(name, None)


def use_one_provider(case: AnyCase) -> None:
    """Name the same provider in every place: each place is optional, and all must agree."""
    body: Any = case.body if isinstance(case.body, dict) else {}
    # A form comes first because it must not change: schemathesis would not recognize its bytes as a valid file again.
    places: list[Any] = [body, case.headers, case.query]
    named = [(place, name) for place in places for name in PROVIDERS if name in place]
    first = named[0][0][named[0][1]] if named else "openai"
    if first not in ACCOUNTS and named and named[0][0] is body and case.path.endswith("/files"):
        for place, name in named[1:]:  # a header cannot have any text that the form may have
            place.pop(name)
        return
    if first not in ACCOUNTS:
        first = "openai"
    for place, name in named:
        if place[name] != first and place is body:
            case.body = body | {name: first}
        else:
            place[name] = first
    if not named and case.path.startswith(("/v1/", "/api/batches/validate")) and "/messages/" not in case.path:
        case.query["provider"] = first


def use_requests_or_file(case: AnyCase) -> None:
    """Create a batch from a file or from requests: the schema would have to be a union of two models."""
    body: Any = case.body
    operation = case.operation.definition.raw.get("operationId")
    if operation not in {"createUnifiedBatch", "createBatch", "validateBatch"} or not isinstance(body, dict):
        return
    if operation == "createBatch" and "requests" not in body and _batch_file_ids:
        body = {"input_file_id": _batch_file_ids[-1]} | body
    if body.get("input_file_id") in _batch_file_ids:
        body = {name: value for name, value in body.items() if name != "requests"}
        case.body = {"completion_window": "24h"} | body | {"endpoint": "/v1/chat/completions"}
    else:
        requests = body.get("requests") or [{"params": {}}]
        case.body = {name: value for name, value in body.items() if name != "input_file_id"} | use_one_shape(
            body, requests
        )


def use_one_shape(body: Any, requests: Any) -> dict[str, Any]:
    """Give all requests the shape of the first, the endpoint of the batch, and custom_ids valid for any endpoint."""
    body_field = "params" if "params" in requests[0] else "body"
    endpoint = "/v1/messages" if body_field == "params" else body.get("endpoint", "/v1/chat/completions")
    shaped = [
        {"custom_id": f"request-{number}", body_field: request.get(body_field, {})}
        for number, request in enumerate(requests)
    ]
    return {"requests": shaped, "endpoint": endpoint}


def use_uploaded_file(case: AnyCase) -> None:
    """Create a batch from a file uploaded for a batch, if there is one: no schema lists the files that exist."""
    body: Any = case.body
    if (
        _batch_file_ids
        and isinstance(body, dict)
        and body.get("input_file_id", _batch_file_ids[-1]) not in _batch_file_ids
    ):
        case.body = body | {"input_file_id": _batch_file_ids[-1]}


def use_form_as_metadata(case: AnyCase) -> None:
    """Give metadata as a URL-encoded form: a pattern could say so, but errors would show it instead of an example."""
    for place, name in ((case.headers, "batchgate-metadata"), (case.query, "metadata")):
        if name in place:
            place[name] = "team=search&run=7"


def name_tested_model(case: AnyCase) -> None:
    """Test an account with a model: a provider that lists none has to be asked for one, which no schema can say."""
    if case.operation.definition.raw.get("operationId") == "testAccount":
        case.query.setdefault("model", "simulated")


def reuse_no_batch(case: AnyCase) -> None:
    """Leave out the batch whose results are reused: no schema lists the batches, and a refused create ends a chain."""
    case.headers.pop("batchgate-reuse", None)
    if isinstance(case.body, dict) and "reuse" in case.body:
        case.body = {name: value for name, value in case.body.items() if name != "reuse"}


def wait_for_ended_batch(case: AnyCase) -> None:
    """Wait until the batch has ended before its results are read: OpenAPI cannot express an order in time."""
    batch = case.path_parameters.get("message_batch_id", case.path_parameters.get("batch_id"))
    if not case.path.endswith("/results") or batch not in _returned_ids:
        return
    progress = Request(
        f"{case.operation.schema.get_base_url().rstrip('/')}/api/batches/{batch}/progress", headers={"x-api-key": KEY}
    )
    while True:
        try:
            with urlopen(progress) as response:
                if json.load(response)["status"] in {"ended", "failed"}:
                    return
        except HTTPError:  # the batch has been deleted
            return


def use_unique_custom_ids(case: AnyCase) -> None:
    """Give each request of a batch its own custom_id: JSON Schema cannot compare fields of different array items."""
    body: Any = case.body
    requests = body.get("requests") if isinstance(body, dict) else None
    if requests and len({request["custom_id"] for request in requests}) < len(requests):
        case.body = body | {
            "requests": [request | {"custom_id": f"request-{number}"} for number, request in enumerate(requests)]
        }


def use_new_idempotency_key(case: AnyCase) -> None:
    """Use an Idempotency-Key for one body only: no schema refers to earlier calls."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{case.id}-{case.headers['Idempotency-Key']}"[:255]


def use_new_workspace_name(case: AnyCase) -> None:
    """Create a workspace with a name that was not used before: no schema refers to earlier calls."""
    if case.operation.definition.raw.get("operationId") == "createWorkspace" and isinstance(case.body, dict):
        case.body = case.body | {"name": f"tenant-{case.id}"}


def use_days_in_order(case: AnyCase) -> None:
    """Ask for the usage of days in their order: parameters cannot be compared with each other, nor with today."""
    if case.path == "/api/usage" and "since" in case.query:
        case.query["until"] = max(str(case.query["since"]), str(case.query.get("until", "9999-12-31")))


def keep_default_quotas(case: AnyCase) -> None:
    """Keep the quotas of the workspace in which all other calls are made."""
    is_update = case.operation.definition.raw.get("operationId") == "updateWorkspace"
    if is_update and case.path_parameters.get("workspace") == "default":
        case.body = {"quotas": {}}


REFUSALS: Final = (
    # The contents of a workspace, and whether a key is still valid, depend on earlier calls.
    b"it is the default workspace, or a key in the settings uses it",
    b"; delete or revoke them first",
    b"has expired or was revoked; create another one instead",
    # Whether a batch can be deleted depends on its status, which no schema of the call can express. Anthropic refuses
    # with 400 too; the check would accept 409.
    b"it can be deleted once it has ended",
    # The same for what steers a running batch; and the bounds of a deadline depend on the time.
    b"; it cannot be paused",
    b"; its deadline cannot be moved",
    b"; its budget cannot be changed",
    b"; its priority cannot be changed",
    b"; its lane cannot be changed",
    b"lane: batch ",
    b"; its concurrency cap cannot be changed",
    b"budget_usd: account ",
    b"cannot be resumed: its budget of ",
    b"expires_at: ",
    # What can be retried depends on how the requests of a batch ended, and on whether it has ended.
    b"it can be retried once it has ended",
    b"has nothing to retry: ",
    b"custom_ids: batch ",
    b"; submit another file.",
    b"; submit the file again.",
    b"model: no account is called ",
    # Whether the results of a batch can be reused depends on its requests, and on whether it has ended.
    b"reuse: ",
    # Schemathesis follows the links from a batch to its files, which are deleted with it.
    b"and is deleted with it; delete the batch",
    # An earlier call may have deleted the file of a batch, or there is no file yet. OpenAI answers with 400.
    b'"code":"file_not_found"',
    # Schemathesis follows the link from an upload to a batch of the file whatever the purpose of the upload.
    b'"code":"invalid_file_purpose"',
    # The names of accounts are settings, and a generated form must not change.
    b"is not configured; configured: ",
    # The purpose batch and the name of the file, two fields of a form, depend on each other.
    b'"error_code":"invalid_file_format"',
    # A request without a url has that of its batch, which must have nothing in braces; two fields depend on each other.
    b"with plain names in place of what is in braces",
    # JSON Schema counts 3600.0 as an integer; the models of bodies accept only numbers written as integers.
    b"Input should be an integer, not a number",
    b"Input should be an integer or null, not a number",
    # A workspace has a number of webhooks, and most URLs of a pattern lead to no public address.
    b"at its quota of webhooks",
    b": it must be an https URL of a public address",
    b"webhook without a URL",
    # A budget needs a price of the model, and the simulated accounts have none.
    b"has no price for the model",
    b"it has no URL of its own to test",
)
"""Texts of correct refusals of valid calls, each with its reason; exempt from positive_data_acceptance."""
RULES: Final = (
    use_returned_cursor,
    use_one_paging_style,
    use_one_list_of_files,
    use_one_provider,
    use_requests_or_file,
    use_uploaded_file,
    use_form_as_metadata,
    name_tested_model,
    reuse_no_batch,
    wait_for_ended_batch,
    use_unique_custom_ids,
    use_new_idempotency_key,
    use_new_workspace_name,
    keep_default_quotas,
    use_days_in_order,
)


@schemathesis.hook
def before_call(context: HookContext, case: AnyCase, kwargs: dict[str, Any]) -> None:  # noqa: ARG001 - the hook's signature
    """Apply the rules to a call that is meant to be valid, and send each call from an address of its own.

    An address that sends many wrong keys gets 429, as the check of invalid credentials does not expect.
    """
    number = next(_call_numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    end_streams_of_events(case)
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        for rule in RULES:
            rule(case)


@schemathesis.hook
def after_call(context: HookContext, case: AnyCase, response: Response) -> None:  # noqa: ARG001 - the hook's signature
    """Record the ids in a response."""
    if response.status_code == 200:
        _returned_ids.update(found.decode() for found in _ID.findall(response.content))
        if case.method == "POST" and case.path.endswith("/files") and b'"purpose":"batch"' in response.content:
            _batch_file_ids.append(response.json()["id"])


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: AnyCase, response: Response) -> bool:  # noqa: ARG001
    """Return whether a failed check counts: all do but the exemptions in ``REFUSALS``.

    The document declares the text of a stream of events, which schemathesis compares with each event.
    """
    if case.path.endswith("/events") and "SSE" in failure.title:
        return False
    return not (isinstance(failure, RejectedPositiveData) and any(text in response.content for text in REFUSALS))


def _begins_chains(operation: Operation, node: OperationNode | None, produced_anywhere: set[str]) -> bool:  # noqa: ARG001
    return not operation.path_parameters


# Schemathesis treats anthropic-user-profile-id, after_id and before_id as ids of resources that no operation creates.
# It would begin no chain of calls with creating or listing message batches, and has no setting for that.
stateful.is_likely_root_transition = _begins_chains
