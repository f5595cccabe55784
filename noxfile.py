"""The pipeline of Batchgate: ``nox`` runs all that a change must pass, ``nox -l`` lists the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["drift", "lint", "types", "tests", "failover", "fuzz", "sdk", "wheels"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
CLIENT = "generated/batchgate-client"
STREAMS = "handwritten/batchgate-streams"
OLD_SDKS = ["anthropic==0.43.0", "anthropic==1.17.0", "openai==1.60.0"]
"""Official SDKs beside the newest ones, which the tests session has: see tests/acceptance."""


def group(*names: str) -> list[str]:
    """Name the requirements of dependency groups of pyproject.toml."""
    return [requirement for name in names for requirement in nox.project.dependency_groups(PROJECT, name)]


@nox.session
def generate(session: nox.Session) -> None:
    """Regenerate generated/ and the pages on operations from spec/, and the page on translations from the code."""
    session.install("-e", ".", *group("generate"))
    session.run("python", "-m", "batchgate_codegen")


@nox.session
def drift(session: nox.Session) -> None:
    """Fail where spec, generated code, handlers, routes, examples or documentation differ."""
    session.install("-e", ".", *group("generate", "test"))
    session.run("pytest", "tests/drift", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, over everything that is Python."""
    session.install("-e", ".", "-e", CLIENT, "-e", STREAMS, *group("types"), "nox")
    session.run("mypy", "noxfile.py", "handwritten/batchgate", "handwritten/batchgate_codegen", "tests")
    session.run("mypy", "generated/batchgate_api", f"{CLIENT}/batchgate_client", f"{STREAMS}/batchgate_streams")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite on all cores, then a real language model."""
    session.install("-e", ".", "-e", CLIENT, "-e", STREAMS, *group("test", "sdk", "model"))
    spread = ["-n", "auto", "--dist", "worksteal", "-m", "not model"]
    session.run("pytest", *spread, "tests/unit", "tests/integration", "tests/acceptance", *session.posargs)
    # The model's threads wait for each other actively: it needs the cores for itself.
    found = [0, 5] if session.posargs else [0]  # a choice of tests may leave none here
    session.run("pytest", "-m", "model", "tests/acceptance/test_real_model.py", *session.posargs, success_codes=found)


@nox.session
def failover(session: nox.Session) -> None:
    """Kill gateways, workers and their database in the middle of batches."""
    session.install("-e", ".[postgres]", *group("test"))
    session.run("pytest", "--capture=no", "tests/failover", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Call a live gateway as its OpenAPI document allows, and as it does not, along the document's links too."""
    session.install("-e", ".[secrets]", *group("fuzz"))
    # What is printed is how often each operation was called, which links were followed, and the seed.
    session.run("pytest", "--capture=no", "tests/fuzz", *session.posargs)


@nox.session
@nox.parametrize("release", OLD_SDKS)
def sdk(session: nox.Session, release: str) -> None:
    """Run the acceptance suite of an SDK with an older release."""
    session.install("-e", ".", *group("test"), release)
    suite = Path("tests/acceptance").glob(f"test_{release.partition('==')[0]}_*.py")
    session.run("pytest", *map(str, sorted(suite)), *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all wheels, install each alone, with what it needs of the others, and import it."""
    session.install(*group("build"))
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    for source in (".", CLIENT, STREAMS):
        session.run("python", "-m", "build", "--wheel", "--outdir", str(built), source, silent=True)
    for name, check in (
        ("batchgate-", "batchgate --version"),
        ("batchgate_client-", "python -c 'import batchgate_client'"),
        ("batchgate_streams-", "python -c 'import batchgate_streams.aio'"),
    ):
        session.log("%s: %s", name, check)
        session.run("python", "-m", "venv", "--clear", str(built / "venv"))
        install = [str(built / "venv/bin/pip"), "install", "--quiet", "--find-links", str(built)]
        session.run(*install, str(next(built.glob(f"{name}*.whl"))), external=True)
        session.run("sh", "-c", f"PATH={built / 'venv/bin'}:$PATH {check}", external=True)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build all distributions into dist/."""
    session.install(*group("build"))
    for source in (".", CLIENT, STREAMS):
        session.run("python", "-m", "build", "--outdir", "dist", source)


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
    """Print the table of measured ratios."""
    session.install(".", *group("test"))
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
