"""The row models know every field that botocore's model of Bedrock knows, so that none of its users is refused."""

from __future__ import annotations

from functools import cache

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from batchgate_api import converse as v

IN_THE_URL = {"modelId"}


@cache
def _service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        ("ConverseRequest", v.ConverseRequest),
        ("Message", v.ConverseMessage),
        ("SystemContentBlock", v.ConverseSystemBlock),
        ("ContentBlock", v.ConverseBlock),
        ("ImageBlock", v.ConverseImage),
        ("ImageSource", v.ConverseImageSource),
        ("DocumentBlock", v.ConverseDocument),
        ("DocumentSource", v.ConverseDocumentSource),
        ("ToolUseBlock", v.ConverseToolUse),
        ("ToolResultBlock", v.ConverseToolResult),
        ("ToolResultContentBlock", v.ConverseToolResultBlock),
        ("ReasoningContentBlock", v.ConverseReasoning),
        ("ReasoningTextBlock", v.ConverseReasoningText),
        ("CitationsContentBlock", v.ConverseCitations),
        ("CachePointBlock", v.ConverseCachePoint),
        ("InferenceConfiguration", v.ConverseInference),
        ("ToolConfiguration", v.ConverseToolConfig),
        ("Tool", v.ConverseTool),
        ("ToolSpecification", v.ConverseToolSpec),
        ("ToolInputSchema", v.ConverseInputSchema),
        ("ToolChoice", v.ConverseToolChoice),
        ("SpecificToolChoice", v.ConverseNamedTool),
        ("OutputConfig", v.ConverseOutputConfig),
        ("OutputFormat", v.ConverseTextFormat),
        ("OutputFormatStructure", v.ConverseTextStructure),
        ("JsonSchemaDefinition", v.ConverseJsonSchema),
        ("ServiceTier", v.ConverseServiceTier),
        ("ConverseResponse", v.ConverseResponse),
        ("TokenUsage", v.ConverseUsage),
    ],
)
def test_a_model_has_every_field_of_botocores(shape: str, model: type) -> None:
    fields = {*_service().shape_for(shape).members} - IN_THE_URL
    assert fields <= {*getattr(model, "__struct_fields__", ())}
