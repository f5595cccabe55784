"""The drift suite fails, and its message names the remedy, for each kind of drift between spec and code."""

from pathlib import Path

import pytest

from batchgate_codegen.spec import SpecError, load
from tests.support.project_copy import ProjectCopy

ADVICE = "nox -s generate"
OPERATION = """
  /api/new:
    get:
      tags: [Gateway]
      operationId: getNew
      summary: Something new.
      responses:
        "200":
          description: It.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Health'}
components:
"""


@pytest.fixture
def copy(tmp_path: Path) -> ProjectCopy:
    return ProjectCopy(tmp_path)


def test_a_field_renamed_in_the_spec_and_edited_added_and_deleted_generated_files_fail_the_suite(
    copy: ProjectCopy,
) -> None:
    copy.replace("spec/anthropic.yaml", "has_more", "has_further")
    copy.replace("generated/batchgate_api/gateway.py", "class Health(", "class Healthy(")
    (copy.root / "generated/batchgate_api/extra.py").write_text("")
    (copy.root / "generated/batchgate-client/batchgate_client/errors.py").unlink()
    output = copy.run_drift_tests("test_generated_code.py::test_generated_code_matches_the_spec")
    assert "differs: generated/batchgate_api/anthropic.py" in output
    assert "+    has_further" in output
    assert "differs: generated/batchgate_api/gateway.py" in output
    assert "extra: generated/batchgate_api/extra.py" in output
    assert "missing: generated/batchgate-client/batchgate_client/errors.py" in output
    assert ADVICE in output


def test_a_key_that_an_object_of_the_spec_has_twice_fails_the_generation(copy: ProjectCopy) -> None:
    copy.replace("spec/gateway.yaml", "\ncomponents:\n", "\ncomponents:\n  x-twice: 1\n  x-twice: 2\n")
    line = (copy.root / "spec/gateway.yaml").read_text().splitlines().index("  x-twice: 2") + 1
    with pytest.raises(SpecError, match=rf"^gateway\.yaml line {line}: the key 'x-twice' is there twice$"):
        load(copy.root / "spec")


def test_an_operation_without_a_handler_fails_the_suite(copy: ProjectCopy) -> None:
    copy.replace("spec/gateway.yaml", "\ncomponents:\n", OPERATION)
    copy.generate()
    output = copy.run_drift_tests("test_operations.py")
    assert "operation get_new has no handler, write it in batchgate/api/" in output


def test_a_handler_without_an_operation_fails_the_suite(copy: ProjectCopy) -> None:
    copy.replace("handwritten/batchgate/api/gateway/handlers.py", "async def get_health(", "async def get_wealth(")
    output = copy.run_drift_tests("test_operations.py")
    assert "handler get_wealth has no operation, declare it in spec/ and run `nox -s generate`" in output
    assert "operation get_health has no handler" in output


def test_a_route_that_the_spec_lacks_fails_the_suite(copy: ProjectCopy) -> None:
    mounted = "    check_routes(app, operations)\n"
    copy.replace(
        "handwritten/batchgate/app.py", mounted, '    app.router.add_get("/secret", add_request_id)\n' + mounted
    )
    output = copy.run_drift_tests("test_operations.py")
    assert "GET /secret is mounted, declare it in spec/" in output


def test_an_example_that_no_longer_fits_fails_the_suite(copy: ProjectCopy) -> None:
    copy.replace("spec/examples/MessageBatch/ended.json", '"ended_at"', '"finished_at"')
    output = copy.run_drift_tests("test_examples.py")
    assert "spec/examples/MessageBatch/ended.json no longer fits its schema" in output


def test_a_translation_rule_that_the_docs_lack_fails_the_suite(copy: ProjectCopy) -> None:
    rules = "handwritten/batchgate/providers/dialects/chat_via_messages/request_rules.py"
    copy.replace(rules, "Messages has no seed; leave it out", "Messages has no seed; change it")
    output = copy.run_drift_tests("test_translation_page.py")
    assert "handwritten/docs/translation.md is not what the rules say" in output
    assert ADVICE in output


def test_a_limit_of_a_batch_api_that_the_docs_lack_fails_the_suite(copy: ProjectCopy) -> None:
    batches = "handwritten/batchgate/providers/batches/mistral_batches.py"
    copy.replace(batches, "max_requests=100_000", "max_requests=90_000")
    output = copy.run_drift_tests("test_providers_page.py")
    assert "handwritten/docs/providers.md is not what the registry and the marks of tests say" in output
    assert ADVICE in output
