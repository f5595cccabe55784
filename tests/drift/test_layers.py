"""The imports keep to the layers of ARCHITECTURE.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "handwritten" / "batchgate"
STREAMS = PACKAGE.parent / "batchgate-streams"
OURS = {"batchgate", "batchgate_api", "batchgate_client", "batchgate_codegen", "batchgate_streams"}
ENGINE_TYPES = {
    "batchgate.engine.ahead",
    "batchgate.engine.api_keys",
    "batchgate.engine.batch",
    "batchgate.engine.batch_endpoints",
    "batchgate.engine.clock",
    "batchgate.engine.condition",
    "batchgate.engine.errors",
    "batchgate.engine.failpoints",
    "batchgate.engine.file",
    "batchgate.engine.heartbeats",
    "batchgate.engine.hidden_fields",
    "batchgate.engine.peers",
    "batchgate.engine.ports",
    "batchgate.engine.rows",
    "batchgate.engine.secret",
    "batchgate.engine.shares",
    "batchgate.engine.tenant_store",
    "batchgate.engine.unbroken",
    "batchgate.engine.upstream",
    "batchgate.engine.validation",
    "batchgate.engine.workspaces",
}
MAY_IMPORT = {
    "engine": {"batchgate.engine"},
    "store": {"batchgate.store", *ENGINE_TYPES},
    "blobs": {"batchgate.blobs", *ENGINE_TYPES},
    "queue": {"batchgate.queue", *ENGINE_TYPES},
    "encryption": {"batchgate.encryption", *ENGINE_TYPES},
    "providers": {"batchgate.providers", "batchgate_api", *ENGINE_TYPES},
    "api": {"batchgate.api", "batchgate.engine", "batchgate_api"},
    "telemetry": {"batchgate.telemetry", "batchgate.engine.telemetry", *ENGINE_TYPES},
}
OWNERS = {
    "cryptography": "encryption",
    "httptools": "providers",
    "obstore": "blobs",
    "opentelemetry": "telemetry",
    "procrastinate": "queue store",
    "prometheus_client": "telemetry",
    "psycopg": "queue store",
    "psycopg_pool": "store",
    "sqlite3": "store",
    "yoyo": "store",
}
"""Packages that one layer alone knows of, or two."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] in OURS
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[layer])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", OWNERS)
def test_a_package_is_known_to_its_layer_alone(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imports(path))
    }
    assert users == set(OWNERS[package].split())


def test_the_streams_stand_on_the_generated_client_alone() -> None:
    used = {name.split(".")[0] for path in STREAMS.rglob("*.py") for name in imports(path)}
    assert used & OURS == {"batchgate_streams", "batchgate_client"}


def test_generated_code_imports_nothing_handwritten() -> None:
    generated = PACKAGE.parents[1] / "generated"
    wrong = [
        f"{path.relative_to(generated)} imports {name}"
        for path in sorted(generated.rglob("*.py"))
        for name in imports_of_generated(path)
        if name.split(".")[0] in {"batchgate", "batchgate_codegen", "batchgate_streams"}
    ]
    assert not wrong, "\n".join(wrong)


def imports_of_generated(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
