"""The page on providers is rendered from the registry and from marks of tests, and the marks are true."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from batchgate.providers.registry.providers import PROVIDER_NAMES
from batchgate_codegen.exams import SDK_EXAM, Exam, find_exams
from batchgate_codegen.providers_page import PAGE_PATH, render_page

ROOT = Path(__file__).parents[2]
EXAMS = find_exams(ROOT)
MARKS = ("pytest.mark.sdk_exam", "pytest.mark.real_server")


def test_the_page_is_what_the_registry_and_the_tests_say() -> None:
    assert (ROOT / PAGE_PATH).read_text() == render_page(ROOT), (
        f"{PAGE_PATH} is not what the registry and the marks of tests say; run `nox -s generate`"
    )


def test_the_page_has_a_row_for_every_documented_provider() -> None:
    table = (ROOT / PAGE_PATH).read_text().partition("\n| provider |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted(PROVIDER_NAMES)
    assert len(set(PROVIDER_NAMES)) == 23


@pytest.mark.parametrize("exam", EXAMS, ids=lambda exam: f"{exam.provider}-{exam.lane}-{exam.subject}")
def test_a_mark_names_a_provider_and_an_sdk_that_its_test_uses(exam: Exam) -> None:
    module = ast.parse(exam.path.read_text())
    assert exam.provider in PROVIDER_NAMES
    assert exam.provider in source_of_marked_test(module, exam.line)
    if exam.mark == SDK_EXAM:
        assert exam.subject in packages_of_sdks()
        assert any(exam.subject.startswith(name) for name in imported_names(module))


def source_of_marked_test(module: ast.Module, line: int) -> str:
    """Return the source of the test with a mark in this line, and of its fixtures and functions, without marks."""
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    [test] = [found for found in functions if any(mark.lineno == line for mark in found.decorator_list)]
    test.decorator_list = [mark for mark in test.decorator_list if not ast.unparse(mark).startswith(MARKS)]
    used = {
        node.id if isinstance(node, ast.Name) else node.arg
        for node in ast.walk(test)
        if isinstance(node, ast.Name | ast.arg)
    }
    return "\n".join(ast.unparse(found) for found in functions if found is test or found.name in used)


def packages_of_sdks() -> set[str]:
    """Return the packages of the SDKs that the tests install."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return {re.split("[=<>]", requirement)[0] for requirement in groups["sdk"]}


def imported_names(module: ast.Module) -> set[str]:
    """Return the first parts of the names of imported packages."""
    imports = [node for node in ast.walk(module) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in imports]
    return {name.partition(".")[0] for name in names}
