"""Every operation has one route and one handler, and every handler implements its generated Protocol."""

from pathlib import Path

from batchgate.app import build_app
from batchgate.settings import Settings
from batchgate_api.operations import OPERATIONS

PAGES = {("GET", "/"), ("GET", "/dashboard/{path}")}
"""The dashboard, which is a client of the operations and none of them."""


def test_the_application_mounts_exactly_the_operations_of_the_spec(tmp_path: Path) -> None:
    app = build_app(Settings(data_dir=str(tmp_path)), environment={})
    mounted = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    mounted = {(method, path) for method, path in mounted if method != "HEAD"}  # GET implies it
    assert mounted - PAGES == {(operation.method, path) for operation in OPERATIONS for path in operation.paths}
