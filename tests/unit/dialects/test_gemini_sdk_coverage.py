"""The row models know every field that Google's SDK knows, so that none of its users is refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types
from pydantic.alias_generators import to_camel

from batchgate_api import gemini as g

OF_THE_SDK = {"parsed", "automaticFunctionCallingHistory", "sdkHttpResponse"}
"""Fields of the SDK's objects that are not on the wire."""


@pytest.mark.parametrize(
    ("sdk", "model"),
    [
        (types.Content, g.GeminiContent),
        (types.Part, g.GeminiPart),
        (types.Blob, g.GeminiBlob),
        (types.FunctionCall, g.GeminiFunctionCall),
        (types.FunctionResponse, g.GeminiFunctionResponse),
        (types.Tool, g.GeminiTool),
        (types.FunctionDeclaration, g.GeminiFunctionDeclaration),
        (types.ToolConfig, g.GeminiToolConfig),
        (types.FunctionCallingConfig, g.GeminiFunctionCallingConfig),
        (types.SafetySetting, g.GeminiSafetySetting),
        (types.GenerationConfig, g.GeminiGenerationConfig),
        (types.ThinkingConfig, g.GeminiThinkingConfig),
        (types.GenerateContentResponse, g.GeminiAnswer),
        (types.Candidate, g.GeminiCandidate),
        (types.GenerateContentResponsePromptFeedback, g.GeminiPromptFeedback),
        (types.GenerateContentResponseUsageMetadata, g.GeminiUsage),
        (types.LogprobsResult, g.GeminiLogprobs),
        (types.LogprobsResultCandidate, g.GeminiTokenLogprob),
    ],
)
def test_a_model_has_every_field_of_the_sdk(sdk: Any, model: Any) -> None:
    names = {field.alias or to_camel(name) for name, field in sdk.model_fields.items()}
    assert names - OF_THE_SDK <= set(model.__struct_encode_fields__)
