"""The row models know every field that the official OpenAI SDK knows, so that none of its users is refused."""

from __future__ import annotations

from typing import Any, get_type_hints

import openai.types.responses as sdk
import pytest
from msgspec import inspect
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params, response_input_param
from openai.types.shared_params import Reasoning

from batchgate_api import chat_completions as c
from batchgate_api import openai_rows as o
from batchgate_api import responses as r

# Sent as a stream only, which no batch is.
STREAMED = {"stream"}


def _fields(model: type) -> set[str]:
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    tag = {info.tag_field} if info.tag_field else set()
    return {field.encode_name for field in info.fields} | tag


@pytest.mark.parametrize(
    ("typed_dict", "model"),
    [
        (chat_create_params.CompletionCreateParamsNonStreaming, c.ChatCompletionRequest),
        (response_create_params.ResponseCreateParamsNonStreaming, r.ResponsesRequest),
        (response_create_params.PromptCacheOptions, r.ResponsesPromptCacheOptions),
        (Reasoning, r.ResponsesReasoningConfig),
        (sdk.ResponseTextConfigParam, r.ResponsesTextConfig),
        (sdk.ResponseFormatTextJSONSchemaConfigParam, r.ResponsesJsonSchemaFormat),
        (sdk.FunctionToolParam, r.ResponsesFunctionTool),
        (sdk.CustomToolParam, r.ResponsesCustomTool),
        (sdk.ToolChoiceAllowedParam, r.ResponsesNamedToolChoice),
        (sdk.EasyInputMessageParam, r.ResponsesMessage),
        (response_input_param.Message, r.ResponsesMessage),
        (sdk.ResponseOutputMessageParam, r.ResponsesMessage),
        (sdk.ResponseFunctionToolCallParam, r.ResponsesFunctionCall),
        (response_input_param.FunctionCallOutput, r.ResponsesFunctionCallOutput),
        (sdk.ResponseCustomToolCallParam, r.ResponsesCustomToolCall),
        (sdk.ResponseCustomToolCallOutputParam, r.ResponsesCustomToolCallOutput),
        (sdk.ResponseReasoningItemParam, r.ResponsesReasoning),
        (sdk.ResponseInputTextParam, r.ResponsesInputText),
        (sdk.ResponseInputImageParam, r.ResponsesInputImage),
        (sdk.ResponseInputFileParam, r.ResponsesInputFile),
        (sdk.ResponseInputAudioParam, r.ResponsesInputAudio),
        (sdk.ResponseOutputTextParam, r.ResponsesOutputText),
        (sdk.ResponseOutputRefusalParam, r.ResponsesRefusal),
        (embedding_create_params.EmbeddingCreateParams, o.EmbeddingsRequest),
        (completion_create_params.CompletionCreateParamsNonStreaming, o.CompletionsRequest),
    ],
)
def test_a_model_has_every_field_of_the_sdk(typed_dict: Any, model: type) -> None:
    assert set(get_type_hints(typed_dict)) - STREAMED <= _fields(model)
