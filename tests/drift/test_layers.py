"""The imports keep to the layers of ARCHITECTURE.md."""

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
"""What the implementations of ports may know of the engine: values, Protocols, and three small tools."""
MAY_IMPORT = {
    "engine": {"batchgate.engine"},
    "store": {"batchgate.store", "batchgate.engine.cluster.heartbeats", *ENGINE_BASE},
    "blobs": {"batchgate.blobs", *ENGINE_BASE},
    "queue": {"batchgate.queue", "batchgate.engine.cluster.heartbeats", *ENGINE_BASE},
    "encryption": {"batchgate.encryption", *ENGINE_BASE},
    "providers": {"batchgate.providers", "batchgate_api", *ENGINE_BASE},
    "api": {"batchgate.api", "batchgate.engine", "batchgate_api"},
    "telemetry": {"batchgate.telemetry", *ENGINE_BASE},
}
FOLDERS = {
    "engine": (
        *("model", "ports", "support", "storage", "intake", "dispatch/limits", "dispatch", "results", "lifecycle"),
        *("tenancy", "cluster", "dependencies", "services", "engine"),
    ),
    "providers": ("transport", "responses", "dialects", "handlers", "simulator", "registry"),
}
"""The folders and top modules of two layers, from the bottom up: imports run down only."""
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


@pytest.mark.parametrize("layer", FOLDERS)
def test_imports_between_the_folders_of_a_layer_run_down(layer: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for name in imports(path)
        if name.startswith(f"batchgate.{layer}.")
        and floor_of(layer, name.removeprefix(f"batchgate.{layer}.").replace(".", "/"))
        > floor_of(layer, path.relative_to(PACKAGE / layer).with_suffix("").as_posix())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layer", FOLDERS)
def test_no_module_of_a_layer_imports_itself_through_others(layer: str) -> None:
    modules = {module_name(path): path for path in (PACKAGE / layer).rglob("*.py")}
    graph = {name: {used for used in imports(path) if used in modules} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def floor_of(layer: str, place: str) -> int:
    """Find the floor of a module; the innermost folder counts, and a package's own docstring is at the top."""
    if place == "__init__":
        return len(FOLDERS[layer])
    return next(n for n, folder in enumerate(FOLDERS[layer]) if place == folder or place.startswith(f"{folder}/"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


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
