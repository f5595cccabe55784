"""What the gateway demands of a good call and OpenAPI has no words for: each rule makes generated calls keep to it.

So no check has to be switched off. Calls that are wrong on purpose are left as they are. Schemathesis loads this module
(SCHEMATHESIS_HOOKS).
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import schemathesis
from schemathesis import APIOperation, Case, GenerationMode, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi import stateful
from schemathesis.specs.openapi.stateful.dependencies.models import OperationNode

AnyCase: TypeAlias = Case[Any]
Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

ACCOUNT: Final = "simulator"
"""The account of the gateway under test."""
LIMIT_STYLE: Final = ("limit", "after_id", "before_id")
PAGE_STYLE: Final = ("page_size", "page_token")
CURSORS: Final = ("after_id", "before_id", "page_token", "after", "before")
PROVIDERS: Final = ("provider", "x-model-provider")
_ID: Final = re.compile(rb"(?:msgbatch_|batch_|file-)[0-9A-Za-z]{20,}")
_given: Final[set[object]] = set()
"""Every id that the gateway gave so far."""


def one_paging_style(case: AnyCase) -> None:
    """Ask for a page in one of the two styles, that of the cursor if there is one: parameters cannot exclude others."""
    style, other = (LIMIT_STYLE, PAGE_STYLE) if set(LIMIT_STYLE[1:]) & case.query.keys() else (PAGE_STYLE, LIMIT_STYLE)
    if set(style) & case.query.keys():
        for name in other:
            case.query.pop(name, None)


def known_cursor(case: AnyCase) -> None:
    """Page from an id that the gateway gave: no schema knows which there are."""
    kind = "file-" if "/files" in case.path else "batch_"
    for name in CURSORS:
        value = case.query.get(name)
        if value not in _given or kind not in value:
            case.query.pop(name, None)


def one_provider(case: AnyCase) -> None:
    """Name one provider, in whichever places: each place alone is optional, and together they must agree."""
    if case.operation.tags != ["Unified Files"]:
        return
    # The body comes first, since it is not to be changed: schemathesis would not know its bytes again as a good file.
    places: list[Any] = [case.body if isinstance(case.body, dict) else {}, case.headers, case.query]
    named = [(place, name) for place in places for name in PROVIDERS if name in place]
    for place, name in named[1:]:
        first, its_name = named[0]
        place[name] = first[its_name]
    if not named:
        case.query["provider"] = "openai"


def configured_account(case: AnyCase) -> None:
    """Run a batch on an account that there is: their names are settings, not part of the document."""
    if case.method == "POST" and "x-model-provider" in case.headers and case.path.endswith("/messages/batches"):
        case.headers["x-model-provider"] = ACCOUNT


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


RULES: Final = (known_cursor, one_paging_style, one_provider, configured_account, unlike_requests, unused_key)


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


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: AnyCase, response: Response) -> bool:  # noqa: ARG001
    """Say which failures of checks count: all but those that have their reason here."""
    # Whether a batch can be deleted depends on how far it is, which no schema of the call can say; Anthropic refuses
    # it with 400 too, where the check would understand 409.
    still_running = b"it can be deleted once it has ended" in response.content
    return not (isinstance(failure, RejectedPositiveData) and still_running)


def _begins_chains(operation: Operation, node: OperationNode | None, produced_anywhere: set[str]) -> bool:  # noqa: ARG001
    return not operation.path_parameters


# Schemathesis takes anthropic-user-profile-id, after_id and before_id for the ids of resources that nobody creates, and
# would begin no chain of calls with creating or listing message batches. It offers no setting for that.
stateful.is_likely_root_transition = _begins_chains
