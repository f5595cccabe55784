"""The imports follow the layers of ARCHITECTURE.md."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "handwritten" / "batchgate"
STREAMS = PACKAGE.parent / "batchgate-streams"
OURS = {"batchgate", "batchgate_api", "batchgate_client", "batchgate_codegen", "batchgate_streams"}
ENGINE_BASE = {
    "batchgate.engine.model",
    "batchgate.engine.ports",
    "batchgate.engine.support.cancellation",
    "batchgate.engine.support.failpoints",
    "batchgate.engine.support.prefetch",
}
"""The engine modules that implementations of ports may import: values, Protocols, and three small tools."""
MAY_IMPORT = {
    "engine": {"batchgate.engine"},
    "store": {"batchgate.store", "batchgate.engine.cluster.heartbeats", *ENGINE_BASE},
    "blobs": {"batchgate.blobs", *ENGINE_BASE},
    "queue": {"batchgate.queue", "batchgate.engine.cluster.heartbeats", *ENGINE_BASE},
    "encryption": {"batchgate.encryption", *ENGINE_BASE},
    "providers": {"batchgate.providers", "batchgate_api", *ENGINE_BASE},
    "api": {"batchgate.api", "batchgate.engine", "batchgate_api"},
    "tables": {"batchgate.tables"},
    "telemetry": {"batchgate.telemetry", *ENGINE_BASE},
}
FOLDERS = {
    "engine": (
        *(
            "model",
            "ports",
            "support",
            "storage",
            "intake",
            "dispatch/limits",
            "dispatch",
            "native",
            "results",
            "lifecycle",
        ),
        *("tenancy", "webhooks", "cluster", "dependencies", "background_services", "engine"),
    ),
    "providers": (
        "aws",
        "transport",
        "responses",
        "google",
        "dialects",
        "handlers",
        "batches",
        "prices",
        "simulator",
        "registry",
    ),
}
"""The folders and top modules of two layers, from the lowest up: a module imports only from its level and below."""
OWNERS = {
    "cryptography": "encryption providers",
    "fastavro": "providers",
    "genai_prices": "providers",
    "httptools": "providers",
    "obstore": "blobs providers",
    "opentelemetry": "telemetry",
    "procrastinate": "queue store",
    "prometheus_client": "telemetry",
    "psycopg": "queue store",
    "psycopg_pool": "store",
    "rich": "cli",
    "sqlite3": "store",
    "standardwebhooks": "engine",
    "yoyo": "store",
}
"""The layers that import a third-party package; no other layer may."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_the_packages_it_may(layer: str) -> None:
    violations = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] in OURS
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[layer])
    ]
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("layer", FOLDERS)
def test_folders_of_a_layer_import_only_from_lower_folders(layer: str) -> None:
    violations = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for name in imports(path)
        if name.startswith(f"batchgate.{layer}.")
        and level_of(layer, name.removeprefix(f"batchgate.{layer}.").replace(".", "/"))
        > level_of(layer, path.relative_to(PACKAGE / layer).with_suffix("").as_posix())
    ]
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("layer", FOLDERS)
def test_the_imports_of_a_layer_contain_no_cycle(layer: str) -> None:
    modules = {module_name(path): path for path in (PACKAGE / layer).rglob("*.py")}
    graph = {name: {used for used in imports(path) if used in modules} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def level_of(layer: str, module: str) -> int:
    """Return the level of a module by its innermost folder; ``__init__`` of the layer itself is at the top."""
    if module == "__init__":
        return len(FOLDERS[layer])
    return next(n for n, folder in enumerate(FOLDERS[layer]) if module == folder or module.startswith(f"{folder}/"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("package", OWNERS)
def test_only_its_layer_imports_a_package(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imports(path))
    }
    assert users == set(OWNERS[package].split())


def test_the_streams_import_only_the_generated_client() -> None:
    used = {name.split(".")[0] for path in STREAMS.rglob("*.py") for name in imports(path)}
    assert used & OURS == {"batchgate_streams", "batchgate_client"}


def test_generated_code_imports_nothing_handwritten() -> None:
    generated = PACKAGE.parents[1] / "generated"
    violations = [
        f"{path.relative_to(generated)} imports {name}"
        for path in sorted(generated.rglob("*.py"))
        for name in imports_of_generated(path)
        if name.split(".")[0] in {"batchgate", "batchgate_codegen", "batchgate_streams"}
    ]
    assert not violations, "\n".join(violations)


def imports_of_generated(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
