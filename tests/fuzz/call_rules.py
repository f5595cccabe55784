"""What the gateway demands of a good call and OpenAPI has no words for: each rule makes generated calls keep to it.

So no check has to be switched off. Calls that are wrong on purpose are left as they are. Schemathesis loads this module
(SCHEMATHESIS_HOOKS).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import schemathesis
from schemathesis import APIOperation, Case, GenerationMode, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi import stateful
from schemathesis.specs.openapi.stateful.dependencies.models import OperationNode

from batchgate.api.request_errors import known_values
from batchgate_api.parameters import ListUnifiedFilesParameters

AnyCase: TypeAlias = Case[Any]
Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

ACCOUNTS: Final = known_values(ListUnifiedFilesParameters, "provider")
"""The accounts of the gateway under test: their names are settings, not part of a document. One for each provider."""
KEY: Final = "sk-bf-fuzz"
"""The API key of the gateway under test, as in schemathesis.toml."""
LIMIT_STYLE: Final = ("limit", "after_id", "before_id")
PAGE_STYLE: Final = ("page_size", "page_token")
CURSORS: Final = ("after_id", "before_id", "page_token", "after", "before")
PROVIDERS: Final = ("provider", "x-model-provider")
_ID: Final = re.compile(rb"(?:msgbatch_|batch_|file-|key_)[0-9A-Za-z]{20,}")
_given: Final[set[object]] = set()
"""Every id that the gateway gave so far."""
_batch_files: Final[list[str]] = []
"""The ids of files that were uploaded for batches."""


def one_paging_style(case: AnyCase) -> None:
    """Ask for a page in one of the two styles, that of the cursor if there is one: parameters cannot exclude others."""
    style, other = (LIMIT_STYLE, PAGE_STYLE) if set(LIMIT_STYLE[1:]) & case.query.keys() else (PAGE_STYLE, LIMIT_STYLE)
    if set(style) & case.query.keys():
        for name in other:
            case.query.pop(name, None)


def known_cursor(case: AnyCase) -> None:
    """Page from an id that the gateway gave: no schema knows which there are."""
    if case.path == "/api/workspaces":
        return
    kind = next((kind for part, kind in (("/files", "file-"), ("/keys", "key_")) if part in case.path), "batch_")
    for name in CURSORS:
        value = case.query.get(name)
        if value not in _given or kind not in str(value):
            case.query.pop(name, None)


def one_provider(case: AnyCase) -> None:
    """Name one provider, in whichever places: each place alone is optional, and together they must agree."""
    body: Any = case.body if isinstance(case.body, dict) else {}
    # A form comes first, since it is not to be changed: schemathesis would not know its bytes again as a good file.
    places: list[Any] = [body, case.headers, case.query]
    named = [(place, name) for place in places for name in PROVIDERS if name in place]
    first = named[0][0][named[0][1]] if named else "openai"
    if case.path.endswith("/batches") and case.method == "POST" and first not in ACCOUNTS:
        first = "openai"
    for place, name in named:
        if place[name] != first and place is body:
            case.body = body | {name: first}
        else:
            place[name] = first
    if not named and case.path.startswith("/v1/") and "/messages/" not in case.path:
        case.query["provider"] = first


def requests_or_file(case: AnyCase) -> None:
    """Make a unified batch of a file or of requests: to say so, its schema would be a union of two models."""
    body: Any = case.body
    if case.operation.definition.raw.get("operationId") != "createUnifiedBatch" or not isinstance(body, dict):
        return
    if body.get("input_file_id") in _batch_files:
        body = {name: value for name, value in body.items() if name != "requests"}
        case.body = body | {"endpoint": "/v1/chat/completions"}
    else:
        requests = body.get("requests") or [{"params": {}}]
        case.body = {name: value for name, value in body.items() if name != "input_file_id"} | one_shape(body, requests)


def one_shape(body: Any, requests: Any) -> dict[str, Any]:
    """Give all requests the shape of the first, the endpoint of the batch, and names that are good for any endpoint."""
    kept = "params" if "params" in requests[0] else "body"
    endpoint = "/v1/messages" if kept == "params" else body.get("endpoint", "/v1/chat/completions")
    shaped = [{"custom_id": f"request-{number}", kept: one.get(kept, {})} for number, one in enumerate(requests)]
    return {"requests": shaped, "endpoint": endpoint}


def known_file(case: AnyCase) -> None:
    """Make a batch of a file that was uploaded for one, if there is any yet: no schema knows which there are."""
    body: Any = case.body
    if _batch_files and isinstance(body, dict) and body.get("input_file_id", _batch_files[-1]) not in _batch_files:
        case.body = body | {"input_file_id": _batch_files[-1]}


def ended_batch(case: AnyCase) -> None:
    """Ask for results once the batch has ended: no document knows of time."""
    batch = case.path_parameters.get("message_batch_id", case.path_parameters.get("batch_id"))
    if not case.path.endswith("/results") or batch not in _given:
        return
    progress = Request(
        f"{case.operation.schema.get_base_url().rstrip('/')}/api/batches/{batch}/progress", headers={"x-api-key": KEY}
    )
    while True:
        try:
            with urlopen(progress) as response:
                if json.load(response)["status"] in {"ended", "failed"}:
                    return
        except HTTPError:  # it has been deleted
            return


def unlike_requests(case: AnyCase) -> None:
    """Give each request of a batch a custom_id of its own: no schema compares one field of the items of an array."""
    body: Any = case.body
    requests = body.get("requests") if isinstance(body, dict) else None
    if requests and len({request["custom_id"] for request in requests}) < len(requests):
        case.body = body | {"requests": [one | {"custom_id": f"request-{n}"} for n, one in enumerate(requests)]}


def unused_key(case: AnyCase) -> None:
    """Use an Idempotency-Key for one body only: no schema looks back at earlier calls."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{case.id}-{case.headers['Idempotency-Key']}"[:255]


def new_workspace(case: AnyCase) -> None:
    """Create a workspace by a name that was not used before: no schema looks back at earlier calls."""
    if case.operation.definition.raw.get("operationId") == "createWorkspace" and isinstance(case.body, dict):
        case.body = case.body | {"name": f"tenant-{case.id}"}


def spared_workspace(case: AnyCase) -> None:
    """Leave the quotas of the workspace alone that the other calls are made in."""
    is_update = case.operation.definition.raw.get("operationId") == "updateWorkspace"
    if is_update and case.path_parameters.get("workspace") == "default":
        case.body = {"quotas": {}}


REFUSALS: Final = (
    # What a workspace holds, and whether a key is still good, depends on earlier calls.
    b"it is the default workspace, or a key in the settings uses it",
    b"; delete or revoke them first",
    b"has expired or was revoked; create another one instead",
    # Whether a batch can be deleted depends on how far it is, which no schema of the call can say. Anthropic refuses it
    # with 400 too; the check would understand 409.
    b"it can be deleted once it has ended",
    # The file of a batch may have been deleted by an earlier call, or there is none yet. OpenAI answers with 400.
    b'"code":"file_not_found"',
    # The link from an upload to a batch of the file is taken whatever the file was uploaded for.
    b'"code":"invalid_file_purpose"',
    # JSON Schema counts 3600.0 among the integers; the models of bodies take only what is written as one.
    b"Input should be an integer, not a number",
    b"Input should be an integer or null, not a number",
)
"""What answers say that refuse a good call, and rightly: each with its reason, exempt from positive_data_acceptance."""
RULES: Final = (
    known_cursor,
    one_paging_style,
    one_provider,
    requests_or_file,
    known_file,
    ended_batch,
    unlike_requests,
    unused_key,
    new_workspace,
    spared_workspace,
)


@schemathesis.hook
def before_call(context: HookContext, case: AnyCase, kwargs: dict[str, Any]) -> None:  # noqa: ARG001 - the hook's signature
    """Apply the rules to a call that is meant to be good."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        for rule in RULES:
            rule(case)


@schemathesis.hook
def after_call(context: HookContext, case: AnyCase, response: Response) -> None:  # noqa: ARG001 - the hook's signature
    """Remember the ids that an answer gives."""
    if response.status_code == 200:
        _given.update(found.decode() for found in _ID.findall(response.content))
        if case.method == "POST" and case.path.endswith("/files") and b'"purpose":"batch"' in response.content:
            _batch_files.append(response.json()["id"])


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: AnyCase, response: Response) -> bool:  # noqa: ARG001
    """Say which failures of checks count: all but those that have their reason here."""
    return not (isinstance(failure, RejectedPositiveData) and any(reason in response.content for reason in REFUSALS))


def _begins_chains(operation: Operation, node: OperationNode | None, produced_anywhere: set[str]) -> bool:  # noqa: ARG001
    return not operation.path_parameters


# Schemathesis takes anthropic-user-profile-id, after_id and before_id for the ids of resources that nobody creates, and
# would begin no chain of calls with creating or listing message batches. It offers no setting for that.
stateful.is_likely_root_transition = _begins_chains
