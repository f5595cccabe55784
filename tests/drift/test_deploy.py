"""What handwritten/deploy/ names is there: settings, commands, options, extras and paths; and its times agree."""

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
KEY: Final = {"BATCHGATE_OPERATOR_KEY": "sk-bf-any"}
"""What the settings take from the environment that is no setting."""
SLACK: Final = 10
"""Seconds that a process has, after its grace, to write what was answered."""


def manifests() -> Iterator[dict[str, Any]]:
    for name in yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]:
        yield from yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())


def pods() -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"]["template"] for one in manifests() if one["kind"] == "Deployment"}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return loaded


def commands() -> Iterator[tuple[str, list[str]]]:
    """List what is run as ``batchgate``, with the place that says so."""
    for name, service in compose()["services"].items():
        if service.get("image") == "batchgate":
            yield f"compose {name}", service["command"]
    for name, pod in pods().items():
        yield f"kubernetes {name}", pod["spec"]["containers"][0]["args"]
    for path in UNITS:
        (line,) = re.findall(r"^ExecStart=/opt/batchgate/bin/batchgate (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, shlex.split(line.replace("%i", "8081"))
    for path in PAGES:
        for words in re.findall(r"(?:batchgate|run --rm gateway) ([a-z-]+(?: [a-z-]+)*[^`'\n|#>]*)", code(path)):
            if words.split()[0] in COMMANDS:
                yield path.name, shlex.split(words)


def code(path: Path) -> str:
    """Take the code out of a page."""
    return "\n".join(
        re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL) + re.findall(r"`([^`\n]+)`", path.read_text())
    )


def grace(toml: Path) -> float:
    return load_settings(toml, KEY).shutdown_timeout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"BATCHGATE_{name.upper()}" for name in (*SIMPLE, *_OTHER_VARIABLES)} | KEY.keys()
    assert set(re.findall(r"\bBATCHGATE_[A-Z_]+", path.read_text())) <= known


@pytest.mark.parametrize("path", TOML, ids=lambda path: path.parent.name)
def test_the_settings_are_good_also_with_the_account_that_is_left_to_be_switched_on(path: Path, tmp_path: Path) -> None:
    switched_on = tmp_path / "batchgate.toml"
    switched_on.write_text(re.sub(r"^# (\[accounts|\w+ = )", r"\1", path.read_text(), flags=re.MULTILINE))
    for file in (path, switched_on):
        settings = load_settings(file, KEY | {"BATCHGATE_HOST": "0.0.0.0"})
        assert settings.blob_url
        assert settings.api_keys["operator"].scopes == ("read", "submit", "admin")
    assert settings.accounts["openai"].api_key_secret == "openai"


@pytest.mark.parametrize(("place", "words"), [*commands()], ids=lambda value: value if isinstance(value, str) else None)
def test_every_command_is_one_of_the_command_line_with_the_options_that_it_has(place: str, words: list[str]) -> None:
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command is not None, place
    rest = words[1:]
    if isinstance(command, click.Group) and rest:
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"{place}: {' '.join(words)}"
        command = inner
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, f"{place}: {' '.join(words)}"


@pytest.mark.parametrize("path", [DEPLOY / "Dockerfile", *PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_extra_can_be_installed(path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"(?:batchgate|\.)\[([a-z,]+)\]", path.read_text())
    assert {extra for group in named for extra in group.split(",")} <= extras.keys()


def test_the_image_is_made_of_what_is_there_and_let_in() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    let_in = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert {source for sources in copied for source in sources} == let_in
    assert all((ROOT / source).exists() for source in let_in)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= let_in


def test_compose_mounts_files_that_are_there_or_that_the_readme_makes() -> None:
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


def test_compose_gives_a_process_the_time_that_its_settings_promise() -> None:
    given = compose()["x-batchgate"]["stop_grace_period"]
    assert float(given.removesuffix("s")) >= grace(DEPLOY / "compose" / "batchgate.toml") + SLACK


def test_kubernetes_gives_a_pod_the_time_that_its_settings_promise() -> None:
    for pod in pods().values():
        pause = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        promised = grace(DEPLOY / "kubernetes" / "batchgate.toml") + pause + SLACK
        assert pod["spec"]["terminationGracePeriodSeconds"] >= promised


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_gives_a_process_the_time_that_its_settings_promise(path: Path) -> None:
    (given,) = re.findall(r"^TimeoutStopSec=(\d+)$", path.read_text(), re.MULTILINE)
    (promised,) = re.findall(r"shutdown_timeout \((\d+) s\)", path.read_text())
    assert int(given) >= int(promised) + SLACK


def test_probes_ask_what_is_answered_without_a_key_where_it_listens() -> None:
    open_paths = {path for operation in OPERATIONS if not operation.authenticated for path in operation.paths}
    for pod in pods().values():
        (container,) = pod["spec"]["containers"]
        (port,) = container["ports"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] in open_paths
            assert container[probe]["httpGet"]["port"] == port["name"]
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])


def test_selectors_of_kubernetes_find_the_pods_that_they_are_for() -> None:
    for one in manifests():
        spec = one.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        found = {name for name, pod in pods().items() if wanted.items() <= pod["metadata"]["labels"].items()}
        assert found == ({one["metadata"]["name"]} & pods().keys() or pods().keys()), one["kind"]


def test_no_container_runs_as_root_or_writes_to_its_root() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", image, re.MULTILINE)
    assert compose()["x-batchgate"]["read_only"]
    for pod in pods().values():
        context = pod["spec"]["securityContext"]
        assert (context["runAsNonRoot"], str(context["runAsUser"])) == (True, user)
        own = pod["spec"]["containers"][0]["securityContext"]
        assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)


@pytest.mark.parametrize("path", [*TOML, *DEPLOY.rglob("*.yaml"), *UNITS], ids=lambda path: path.name)
def test_no_file_holds_a_key_or_a_password(path: Path) -> None:
    assert not re.search(
        r"sk-|://[^/\s]*:[^/\s]+@|(?i:password|secret[_-]?(access[_-]?)?key)\s*[:=]\s*['\"]?\w", path.read_text()
    )
