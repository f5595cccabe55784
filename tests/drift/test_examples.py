"""Every wire example of the spec is decoded by its generated model and encoded again byte for byte."""

from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from batchgate_api import anthropic, chat_completions, gateway, gemini, messages, openai, openai_rows, responses

EXAMPLES = Path(__file__).parents[2] / "spec" / "examples"
MODULES: tuple[ModuleType, ...] = (
    anthropic,
    gateway,
    messages,
    chat_completions,
    responses,
    gemini,
    openai,
    openai_rows,
)


def model_of(schema: str) -> type[msgspec.Struct]:
    """Return the generated model of a schema."""
    for module in MODULES:
        if hasattr(module, schema):
            model: type[msgspec.Struct] = getattr(module, schema)
            return model
    pytest.fail(f"spec/examples/{schema}/ is named like no schema of the spec; rename it or declare the schema")


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_decoded_and_encoded_by_its_model_byte_for_byte(path: Path) -> None:
    written = path.read_bytes()
    try:
        value = msgspec.json.decode(written, type=model_of(path.parent.name))
    except msgspec.ValidationError as error:
        pytest.fail(
            f"spec/examples/{path.parent.name}/{path.name} no longer fits its schema: {error}; correct one of them"
        )
    assert msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n" == written


def test_every_schema_of_a_request_or_response_body_has_an_example() -> None:
    with_examples = {path.parent.name for path in EXAMPLES.rglob("*.json")}
    bodies = {"CreateMessageBatch", "MessageBatch", "MessageBatchPage", "DeletedMessageBatch", "ErrorResponse"}
    bodies |= {"FileObject", "FileList", "DeletedFile", "OpenaiError", "CreateBatch", "Batch", "BatchList"}
    bodies |= {"AnthropicFile", "AnthropicFilePage", "DeletedAnthropicFile"}
    bodies |= {"UnifiedFile", "UnifiedFileList", "DeletedUnifiedFile", "UnifiedError"}
    assert bodies | {"MessageBatchIndividualResponse", "Health", "BatchProgress"} <= with_examples
