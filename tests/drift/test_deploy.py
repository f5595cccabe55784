"""The settings, commands, options, extras and paths in handwritten/deploy/ exist, and its timeouts agree."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from batchgate.cli.commands import COMMANDS, main
from batchgate.settings import _OTHER_VARIABLES, SIMPLE, load_settings
from batchgate_api.operations import OPERATIONS

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "handwritten" / "deploy"
PAGES: Final = (DEPLOY / "README.md", ROOT / "handwritten" / "docs" / "transfer.md")
FILES: Final = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
TOML: Final = sorted(DEPLOY.rglob("*.toml"))
KEY: Final = {"BATCHGATE_OPERATOR_KEY": "sk-bf-any-key-at-all"}
"""The environment variables that the settings refer to and that are not settings themselves."""
SLACK: Final = 10
"""Seconds that a process has after its shutdown timeout to write the results that arrived."""


def manifests() -> Iterator[dict[str, Any]]:
    for name in yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]:
        yield from yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())


def pods() -> dict[str, dict[str, Any]]:
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"]
        for manifest in manifests()
        if manifest["kind"] == "Deployment"
    }


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return loaded


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each ``batchgate`` command line with the file or service that contains it."""
    for name, service in compose()["services"].items():
        if service.get("image") == "batchgate":
            yield f"compose {name}", service["command"]
    for name, pod in pods().items():
        yield f"kubernetes {name}", pod["spec"]["containers"][0]["args"]
    for path in UNITS:
        (line,) = re.findall(r"^ExecStart=/opt/batchgate/bin/batchgate (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, shlex.split(line.replace("%i", "8081"))
    for path in PAGES:
        for words in re.findall(r"(?:batchgate|run --rm gateway) ([a-z-]+(?: [a-z-]+)*[^`'\n|#>]*)", read_code(path)):
            if words.split()[0] in COMMANDS:
                yield path.name, shlex.split(words)


def read_code(path: Path) -> str:
    """Return the code blocks and the inline code of a page."""
    return "\n".join(
        re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL) + re.findall(r"`([^`\n]+)`", path.read_text())
    )


def shutdown_timeout(toml: Path) -> float:
    return load_settings(toml, KEY).shutdown_timeout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_environment_variable_is_a_setting(path: Path) -> None:
    known = {f"BATCHGATE_{name.upper()}" for name in (*SIMPLE, *_OTHER_VARIABLES)} | KEY.keys()
    assert set(re.findall(r"\bBATCHGATE_[A-Z_]+", path.read_text())) <= known


@pytest.mark.parametrize("path", TOML, ids=lambda path: path.parent.name)
def test_the_settings_are_valid_also_with_the_optional_account_enabled(path: Path, tmp_path: Path) -> None:
    with_account = tmp_path / "batchgate.toml"
    with_account.write_text(re.sub(r"^# (\[accounts|\w+ = )", r"\1", path.read_text(), flags=re.MULTILINE))
    for file in (path, with_account):
        settings = load_settings(file, KEY | {"BATCHGATE_HOST": "0.0.0.0"})
        assert settings.blob_url
        assert settings.api_keys["operator"].scopes == ("read", "submit", "admin")
    assert settings.accounts["openai"].api_key_secret == "openai"


@pytest.mark.parametrize("name", ["values.yaml", "values-single.yaml"])
def test_the_settings_of_the_chart_are_valid_also_with_the_optional_account_enabled(name: str, tmp_path: Path) -> None:
    chart = DEPLOY / "helm" / "batchgate"
    values = yaml.safe_load((chart / "values.yaml").read_text()) | yaml.safe_load((chart / name).read_text())
    file = tmp_path / "batchgate.toml"
    file.write_text(re.sub(r"^# (\[accounts|\w+ = )", r"\1", values["settings"], flags=re.MULTILINE))
    settings = load_settings(file, KEY | {"BATCHGATE_HOST": "0.0.0.0"})
    assert bool(settings.blob_url) == (values["mode"] == "cluster")
    assert settings.api_keys["operator"].scopes == ("read", "submit", "admin")
    assert settings.accounts["openai"].api_key_secret == "openai"
    assert "shutdown_timeout" not in values["settings"]  # the value shutdownTimeout sets it


@pytest.mark.parametrize(("place", "words"), [*commands()], ids=lambda value: value if isinstance(value, str) else None)
def test_every_command_line_uses_a_known_command_with_known_options(place: str, words: list[str]) -> None:
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command is not None, place
    arguments = words[1:]
    if isinstance(command, click.Group) and arguments:
        inner = command.get_command(context, arguments[0])
        assert inner is not None, f"{place}: {' '.join(words)}"
        command = inner
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in arguments if word.startswith("--")} <= known, (
        f"{place}: {' '.join(words)}"
    )


@pytest.mark.parametrize("path", [DEPLOY / "Dockerfile", *PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_extra_can_be_installed(path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"(?:batchgate|\.)\[([a-z,]+)\]", path.read_text())
    assert {extra for group in named for extra in group.split(",")} <= extras.keys()


def test_the_image_copies_only_paths_that_exist_and_that_dockerignore_allows() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    allowed = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert {source for sources in copied for source in sources} == allowed
    assert all((ROOT / source).exists() for source in allowed)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= allowed


def test_compose_mounts_files_that_exist_or_that_the_readme_creates() -> None:
    folder, readme = DEPLOY / "compose", (DEPLOY / "README.md").read_text()
    file = compose()
    assert all((folder / config["file"]).is_file() for config in file["configs"].values())
    for path in (*(secret["file"] for secret in file["secrets"].values()), *file["x-batchgate"]["env_file"]):
        assert f"> {path}" in readme
    for service in file["services"].values():
        assert set(service.get("secrets", ())) <= file["secrets"].keys()
        assert {config["source"] for config in service.get("configs", ())} <= file["configs"].keys()
        assert set(service["networks"]) <= file["networks"].keys()
    built = file["services"]["gateway"]["build"]
    assert (folder / built["context"] / built["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_compose_gives_a_process_at_least_its_shutdown_timeout() -> None:
    given = compose()["x-batchgate"]["stop_grace_period"]
    assert float(given.removesuffix("s")) >= shutdown_timeout(DEPLOY / "compose" / "batchgate.toml") + SLACK


def test_kubernetes_gives_a_pod_at_least_its_shutdown_timeout() -> None:
    for pod in pods().values():
        pause = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = shutdown_timeout(DEPLOY / "kubernetes" / "batchgate.toml") + pause + SLACK
        assert pod["spec"]["terminationGracePeriodSeconds"] >= needed


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_gives_a_process_at_least_its_shutdown_timeout(path: Path) -> None:
    (given,) = re.findall(r"^TimeoutStopSec=(\d+)$", path.read_text(), re.MULTILINE)
    (needed,) = re.findall(r"shutdown_timeout \((\d+) s\)", path.read_text())
    assert int(given) >= int(needed) + SLACK


def test_probes_call_paths_that_need_no_key_at_the_port_of_the_container() -> None:
    open_paths = {path for operation in OPERATIONS if not operation.authenticated for path in operation.paths}
    for pod in pods().values():
        (container,) = pod["spec"]["containers"]
        (port,) = container["ports"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] in open_paths
            assert container[probe]["httpGet"]["port"] == port["name"]
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])


def test_kubernetes_selectors_match_the_intended_pods() -> None:
    for manifest in manifests():
        spec = manifest.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        found = {name for name, pod in pods().items() if wanted.items() <= pod["metadata"]["labels"].items()}
        assert found == ({manifest["metadata"]["name"]} & pods().keys() or pods().keys()), manifest["kind"]


def test_no_container_runs_as_root_or_writes_to_its_root_filesystem() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", image, re.MULTILINE)
    assert compose()["x-batchgate"]["read_only"]
    for pod in pods().values():
        context = pod["spec"]["securityContext"]
        assert (context["runAsNonRoot"], str(context["runAsUser"])) == (True, user)
        own = pod["spec"]["containers"][0]["securityContext"]
        assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)


@pytest.mark.parametrize("path", [*TOML, *DEPLOY.rglob("*.yaml"), *UNITS], ids=lambda path: path.name)
def test_no_file_contains_a_key_or_a_password(path: Path) -> None:
    assert not re.search(
        r"sk-|://[^/\s]*:[^/\s]+@|(?i:password|secret[_-]?(access[_-]?)?key)\s*[:=]\s*['\"]?\w", path.read_text()
    )
