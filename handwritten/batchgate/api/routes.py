"""Creates a route for every operation of the spec; refuses to start if operations and handlers do not match."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from aiohttp import web

from batchgate.api.binding import Binder, Method
from batchgate.api.expectation import defer_continue
from batchgate_api.structs import Operation


class UnmatchedError(Exception):
    """Operations, handlers and routes do not match; the message says which and what to do."""


def routes(operations: Sequence[Operation], handlers: Sequence[object], binder: Binder) -> list[web.RouteDef]:
    """Return the routes of operations; the public methods of ``handlers`` answer them."""
    methods = _match(operations, handlers)
    return [
        web.route(
            operation.method,
            path,
            binder.bind(operation, methods[operation.handler], path, mount),
            expect_handler=defer_continue,
        )
        for operation in operations
        for path, mount in zip(operation.paths, _mounts(operation), strict=True)
    ]


def check_routes(app: web.Application, operations: Sequence[Operation]) -> None:
    """Raise `UnmatchedError` unless the routes are exactly those of the spec; GET implies HEAD."""
    declared = {(operation.method, path) for operation in operations for path in operation.paths}
    declared |= {("HEAD", path) for method, path in declared if method == "GET"}
    mounted = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    complaints = [f"{method} {path} is mounted, declare it in spec/" for method, path in sorted(mounted - declared)]
    complaints += [f"{method} {path} is declared, mount it" for method, path in sorted(declared - mounted)]
    if complaints:
        raise UnmatchedError("routes and operations do not match: " + "; ".join(complaints))


def _match(operations: Sequence[Operation], handlers: Sequence[object]) -> dict[str, Method]:
    methods: dict[str, Method] = {
        name: getattr(handler, name)
        for handler in handlers
        for name, _ in inspect.getmembers(type(handler), inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    declared = {operation.handler for operation in operations}
    missing, unknown = sorted(declared - methods.keys()), sorted(methods.keys() - declared)
    if missing or unknown:
        raise UnmatchedError(
            "handlers and operations do not match: "
            + "; ".join(
                [f"operation {name} has no handler, write it in batchgate/api/" for name in missing]
                + [
                    f"handler {name} has no operation, declare it in spec/ and run `nox -s generate`"
                    for name in unknown
                ]
            )
        )
    return methods


def _mounts(operation: Operation) -> list[str]:
    """Return the prefix of each path before the suffix that all paths of the operation share."""
    parts = [path.split("/") for path in operation.paths]
    shared = 0
    while shared < min(map(len, parts)) and len({path[-shared - 1] for path in parts}) == 1:
        shared += 1
    return ["/".join(path[: len(path) - shared]) for path in parts]
