"""The pipeline of Batchgate: ``nox`` runs every check that a change must pass, ``nox -l`` lists all sessions."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests", "fuzz", "sdk", "adapters", "sdk-languages", "browser"]
nox.options.sessions += ["docs", "chart", "wheels"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv|virtualenv"  # uv installs faster; without uv, virtualenv and pip do the same

PROJECT = nox.project.load_toml("pyproject.toml")
CLIENT = "generated/batchgate-client"
STREAMS = "handwritten/batchgate-streams"
OLD_SDKS = ["anthropic==0.43.0", "anthropic==1.17.0", "openai==1.60.0"]
"""Releases of the official SDKs that the sdk session tests; the tests session has the newest releases."""
ON_ALL_CORES = ["-n", str((os.cpu_count() or 1) * 3 // 2), "--dist", "worksteal"]
"""More processes than cores: the tests wait for a quarter of their time."""
SITE_FILES = [
    "*.md",
    "handwritten/docs/**/*.md",
    *(f"handwritten/deploy/{name}" for name in ("README.md", "grafana/*.json", "prometheus/*.yaml")),
]
"""The pages of the site of the documentation, and the files that they link to; nothing else, such as a local secret."""
LOADED_FROM_ELSEWHERE = re.compile(
    r"""<(?:script|img|link\s[^>]*stylesheet)[^>]*\s(?:src|href)="?https?://[^\s">]+|class="?mermaid"""
)
"""What a browser would load, and diagrams for which the theme would load a script."""
NO_TEST_SELECTED = 5
"""The exit code of pytest when the arguments of the session select no test in a suite."""


def group(*names: str) -> list[str]:
    """Return the requirements of dependency groups of pyproject.toml."""
    return [requirement for name in names for requirement in nox.project.dependency_groups(PROJECT, name)]


@nox.session
def generate(session: nox.Session) -> None:
    """Regenerate generated/ and the pages on operations from spec/, translation.md and providers.md from the code."""
    session.install("-e", ".[cohere]", *group("generate"))  # the page on providers shows lanes that need an extra
    session.run("python", "-m", "batchgate_codegen")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of all Python code, strictly."""
    session.install("-e", ".", "-e", CLIENT, "-e", STREAMS, *group("types"), "nox")
    session.run("mypy", "-n", "auto", "noxfile.py", "handwritten/batchgate", "handwritten/batchgate_codegen", "tests")
    session.run(
        "mypy", "-n", "auto", "generated/batchgate_api", f"{CLIENT}/batchgate_client", f"{STREAMS}/batchgate_streams"
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run all suites but fuzz, in one environment: on all cores, then a real language model, then failover."""
    session.install(
        "-e", ".[postgres,secrets]", "-e", CLIENT, "-e", STREAMS, *group("generate", "test", "sdk", "model")
    )
    codes = [0, NO_TEST_SELECTED] if session.posargs else [0]  # a selection may leave none for the later runs
    suites = ["tests/drift", "tests/unit", "tests/integration", "tests/acceptance"]
    session.run("pytest", *ON_ALL_CORES, "-m", "not model", *suites, *session.posargs)
    # The threads of the model busy-wait for each other, and failover measures time limits: both need all cores.
    real_model = "tests/acceptance/test_real_model.py"
    session.run("pytest", "-m", "model", real_model, *session.posargs, success_codes=codes)
    session.run("pytest", "--capture=no", "tests/failover", *session.posargs, success_codes=codes)


@nox.session(default=False)
def drift(session: nox.Session) -> None:
    """Run the drift suite only: fail where spec, generated code, handlers, examples or documentation differ."""
    session.install("-e", ".", *group("generate", "test"))
    session.run("pytest", *ON_ALL_CORES, "tests/drift", *session.posargs)


@nox.session(default=False)
def failover(session: nox.Session) -> None:
    """Run the failover suite only: kill gateways, workers and their database in the middle of batches."""
    session.install("-e", ".[postgres]", *group("test"))
    session.run("pytest", "--capture=no", "tests/failover", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Send valid and invalid calls, made from its OpenAPI document, to a live gateway, and follow the links."""
    session.install("-e", ".[secrets]", *group("fuzz"))
    # The suite prints how often it called each operation, which links it followed, and the seed.
    session.run("pytest", "--capture=no", "tests/fuzz", *session.posargs)


@nox.session
@nox.parametrize("release", OLD_SDKS)
def sdk(session: nox.Session, release: str) -> None:
    """Run the acceptance suite of an SDK with an older release."""
    session.install("-e", ".", *group("pytest"), release)
    suite = Path("tests/acceptance").glob(f"test_{release.partition('==')[0]}_*.py")
    session.run("pytest", *map(str, sorted(suite)), *session.posargs)


@nox.session
def adapters(session: nox.Session) -> None:
    """Run LangChain, pydantic-ai, instructor and DSPy with BatchTransport, in their newest releases."""
    session.install("-e", ".", "-e", CLIENT, "-e", STREAMS, *group("adapters"))
    session.run("pytest", *ON_ALL_CORES, "tests/adapters", *session.posargs)


@nox.session(name="sdk-languages")
def sdk_languages(session: nox.Session) -> None:
    """Run the programs with the SDKs for Java, Go and TypeScript, as far as the machine has their toolchains."""
    session.install("-e", ".[secrets]", *group("pytest"))
    # The option -ra of pyproject.toml prints which languages are not tested and which tool is not found.
    session.run("pytest", "tests/sdk_languages", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of the documentation; a broken link fails it, and so does what a page loads from another host."""
    session.install(*group("docs"))
    folder = Path(session.create_tmp()) / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in SITE_FILES:
        for source in Path().glob(pattern):
            target = folder / "pages" / source
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    shutil.copy("handwritten/docs/zensical.toml", folder)
    session.run("zensical", "build", "--strict", "--config-file", str(folder / "zensical.toml"))
    pages = [*(folder / "site").rglob("*.html")]
    if foreign := sorted({found for page in pages for found in LOADED_FROM_ELSEWHERE.findall(page.read_text())}):
        session.error("the pages load from other hosts: %s", ", ".join(foreign))
    session.log("the site is in %s", folder / "site")


@nox.session
def chart(session: nox.Session) -> None:
    """Render the Helm chart with Helm's library, and check the manifests against the schemas of Kubernetes."""
    session.install(*group("chart"))
    session.run("pytest", "tests/chart", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the dashboard in a Chromium from npm, with axe, and check its types; see tests/browser/screenshots."""
    session.install("-e", ".[secrets]", *group("pytest", "browser"))
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all wheels, install each into an empty environment with the wheels it depends on, and import it."""
    session.install(*group("build"))
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    for source in (".", CLIENT, STREAMS):
        session.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(built), source)
    programs = built / "venv/bin"
    for name, (program, *words) in (
        ("batchgate-", ("batchgate", "--version")),
        ("batchgate_client-", ("python", "-c", "import batchgate_client")),
        ("batchgate_streams-", ("python", "-c", "import batchgate_streams.aio, batchgate_streams.batching")),
    ):
        session.run("uv", "venv", "--quiet", "--clear", str(built / "venv"))
        install = ["uv", "pip", "install", "--quiet", "--python", str(programs / "python"), "--find-links", str(built)]
        session.run(*install, str(next(built.glob(f"{name}*.whl"))))
        session.run(str(programs / program), *words, external=True)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build all distributions into dist/."""
    session.install(*group("build"))
    for source in (".", CLIENT, STREAMS):
        session.run("uv", "build", "--out-dir", "dist", source)


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Start the gateway from this checkout: ``nox -s serve -- --port 8080``."""
    session.install("-e", ".")
    session.run("batchgate", "serve", *session.posargs)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Start the gateway and run a demo batch on it."""
    session.install("-e", ".")
    session.run("batchgate", "demo", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks and print the table of results."""
    session.install(".", *group("test"))
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
