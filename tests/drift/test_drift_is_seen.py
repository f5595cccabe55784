"""The drift suite fails, and says what to do, for each way in which spec and code can come apart."""

from pathlib import Path

import pytest

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


def test_a_field_renamed_in_the_spec_is_seen(copy: ProjectCopy) -> None:
    copy.replace("spec/anthropic.yaml", "has_more", "has_further")
    said = copy.drift("test_generated_code.py::test_generated_code_is_what_the_spec_says")
    assert "differs: generated/batchgate_api/anthropic.py" in said
    assert "+    has_further" in said
    assert ADVICE in said


def test_a_generated_file_that_was_edited_added_or_left_over_is_seen(copy: ProjectCopy) -> None:
    copy.replace("generated/batchgate_api/gateway.py", "class Health(", "class Healthy(")
    (copy.root / "generated/batchgate_api/extra.py").write_text("")
    (copy.root / "generated/batchgate-client/batchgate_client/errors.py").unlink()
    said = copy.drift("test_generated_code.py::test_generated_code_is_what_the_spec_says")
    assert "differs: generated/batchgate_api/gateway.py" in said
    assert "extra: generated/batchgate_api/extra.py" in said
    assert "missing: generated/batchgate-client/batchgate_client/errors.py" in said
    assert ADVICE in said


def test_an_operation_without_a_handler_is_seen(copy: ProjectCopy) -> None:
    copy.replace("spec/gateway.yaml", "\ncomponents:\n", OPERATION)
    copy.generate()
    said = copy.drift("test_operations.py")
    assert "operation get_new has no handler, write it in batchgate/api/" in said


def test_a_handler_without_an_operation_is_seen(copy: ProjectCopy) -> None:
    copy.replace("handwritten/batchgate/api/gateway/handlers.py", "async def get_health(", "async def get_wealth(")
    said = copy.drift("test_operations.py")
    assert "handler get_wealth has no operation, declare it in spec/ and run `nox -s generate`" in said
    assert "operation get_health has no handler" in said


def test_a_route_that_the_spec_lacks_is_seen(copy: ProjectCopy) -> None:
    mounted = "    check_routes(app, operations)\n"
    copy.replace(
        "handwritten/batchgate/app.py", mounted, '    app.router.add_get("/secret", errors_as_json)\n' + mounted
    )
    said = copy.drift("test_operations.py")
    assert "GET /secret is mounted, declare it in spec/" in said


def test_an_example_that_no_longer_fits_is_seen(copy: ProjectCopy) -> None:
    copy.replace("spec/examples/MessageBatch/ended.json", '"ended_at"', '"finished_at"')
    said = copy.drift("test_examples.py")
    assert "spec/examples/MessageBatch/ended.json no longer fits its schema" in said


def test_a_rule_of_translation_that_the_docs_do_not_tell_is_seen(copy: ProjectCopy) -> None:
    rules = "handwritten/batchgate/providers/dialects/chat_via_messages/request_rules.py"
    copy.replace(rules, "Messages has no seed; leave it out", "a seed grows in gardens")
    said = copy.drift("test_translation_page.py")
    assert "handwritten/docs/translation.md is not what the rules say" in said
    assert ADVICE in said
