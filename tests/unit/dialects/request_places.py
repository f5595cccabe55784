"""Where each model of a request stands in one, and a value for each field that is rejected or ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api import gemini as g
from batchgate_api import responses as r
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, chat, converse, generate, responses


def format_of(**fields: Any) -> Json:
    """Write a format with a schema."""
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": {}} | fields}


def assistant(**fields: Any) -> list[Json]:
    """Write a conversation with a message of the model in the middle."""
    return [USER, {"role": "assistant", "content": "a"} | fields, USER]


def calling(call: Json) -> Json:
    """Write a request whose conversation has a call."""
    return chat(messages=assistant(tool_calls=[call]), tools=[FUNCTION])


def part(**part: Any) -> list[Json]:
    """Write a message with a text and another part."""
    return [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]


IMAGE: Json = {"url": "data:image/png;base64,iVBORw0KGgo="}
PDF = {"file_data": "data:application/pdf;base64,AA=="}

# Where each model stands in a request: from fields of the model to the request.
CHAT_PLACES: dict[type, Callable[[Json], Json]] = {
    c.ChatCompletionRequest: lambda x: chat(**x),
    c.ChatJsonSchema: lambda x: chat(response_format=format_of(**x)),
    c.ChatPromptCacheOptions: lambda x: chat(prompt_cache_options=x),
    c.ChatPromptCacheBreakpoint: lambda x: chat(
        messages=part(type="text", text="b", prompt_cache_breakpoint={"mode": "explicit"} | x)
    ),
    c.ChatPrediction: lambda x: chat(prediction={"type": "content", "content": "p"} | x),
    c.ChatStreamOptions: lambda x: chat(stream_options=x),
    c.ChatSystemMessage: lambda x: chat(messages=[{"role": "system", "content": "s"} | x, USER]),
    c.ChatDeveloperMessage: lambda x: chat(messages=[{"role": "developer", "content": "s"} | x, USER]),
    c.ChatUserMessage: lambda x: chat(messages=[USER | x]),
    c.ChatAssistantMessage: lambda x: chat(messages=assistant(**x)),
    c.ChatFunctionToolCallParam: lambda x: calling(CALL | x),
    c.ChatFunctionDefinition: lambda x: chat(tools=[{"type": "function", "function": {"name": "f"} | x}]),
    c.ChatExtraContent: lambda x: calling(CALL | {"extra_content": x}),
    c.ChatGoogleContent: lambda x: calling(CALL | {"extra_content": {"google": x}}),
    c.ChatTextPart: lambda x: chat(messages=part(type="text", text="b", **x)),
    c.ChatImagePart: lambda x: chat(messages=part(type="image_url", image_url=IMAGE, **x)),
    c.ChatImageUrl: lambda x: chat(messages=part(type="image_url", image_url=IMAGE | x)),
    c.ChatFilePart: lambda x: chat(messages=part(type="file", file=PDF, **x)),
    c.ChatFile: lambda x: chat(messages=part(type="file", file=PDF | x)),
    c.ChatAudioPart: lambda x: chat(
        messages=part(type="input_audio", input_audio={"data": "AA==", "format": "wav"}, **x)
    ),
}


def _item(**fields: Any) -> Json:
    return responses(input=[fields, {"role": "user", "content": "b"}])


def _turn(part: Json, role: str = "user") -> Json:
    return responses(input=[{"role": role, "content": [{"type": "input_text", "text": "a"}, part]}])


def _contents(*parts: Json) -> Json:
    return generate(contents=[{"parts": [*parts]}])


def _model_said(part: Json) -> Json:
    return generate(contents=[{"role": "model", "parts": [part]}, {"parts": [{"text": "a"}]}])


GEMINI_CALL: Json = {"name": "search", "args": {"q": "x"}}

GEMINI_PLACES: dict[type, Callable[[Json], Json]] = {
    g.GeminiRequest: lambda x: generate(**x),
    g.GeminiGenerationConfig: lambda x: generate(generationConfig=x),
    g.GeminiThinkingConfig: lambda x: generate(generationConfig={"thinkingConfig": x}),
    g.GeminiFunctionDeclaration: lambda x: generate(tools=[{"functionDeclarations": [{"name": "f"} | x]}]),
    g.GeminiTool: lambda x: generate(tools=[{"functionDeclarations": [{"name": "f"}]} | x]),
    g.GeminiToolConfig: lambda x: generate(toolConfig=x),
    g.GeminiFunctionCallingConfig: lambda x: generate(toolConfig={"functionCallingConfig": x}),
    g.GeminiPart: lambda x: _contents({"text": ""} | x, {"text": "b"}),
    g.GeminiFunctionCall: lambda x: _model_said({"functionCall": GEMINI_CALL | x}),
    g.GeminiFunctionResponse: lambda x: generate(
        contents=[
            {"role": "model", "parts": [{"functionCall": GEMINI_CALL}]},
            {"parts": [{"functionResponse": {"name": "search", "response": {"output": "o"}} | x}]},
        ]
    ),
}


RESPONSES_PLACES: dict[type, Callable[[Json], Json]] = {
    r.ResponsesRequest: lambda x: responses(**x),
    r.ResponsesReasoningConfig: lambda x: responses(reasoning={"effort": "low"} | x),
    r.ResponsesPromptCacheOptions: lambda x: responses(prompt_cache_options={"mode": "implicit"} | x),
    r.ResponsesFunctionTool: lambda x: responses(tools=[{"type": "function", "name": "f", "parameters": {}} | x]),
    r.ResponsesCustomTool: lambda x: responses(tools=[{"type": "custom", "name": "f"} | x]),
    r.ResponsesNamedToolChoice: lambda x: responses(tool_choice={"type": "function", "name": "f"} | x),
    r.ResponsesNamedTool: lambda x: responses(
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"} | x]}
    ),
    r.ResponsesMessage: lambda x: _item(**({"role": "assistant", "content": "a"} | x)),
    r.ResponsesFunctionCall: lambda x: _item(
        **({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"} | x)
    ),
    r.ResponsesFunctionCallOutput: lambda x: _item(
        **({"type": "function_call_output", "call_id": "c", "output": "o"} | x)
    ),
    r.ResponsesCustomToolCall: lambda x: _item(
        **({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i"} | x)
    ),
    r.ResponsesCustomToolCallOutput: lambda x: _item(
        **({"type": "custom_tool_call_output", "call_id": "c", "output": "o"} | x)
    ),
    r.ResponsesReasoning: lambda x: _item(
        **({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]} | x)
    ),
    r.ResponsesInputImage: lambda x: _turn({"type": "input_image", "image_url": IMAGE["url"]} | x),
    r.ResponsesInputFile: lambda x: _turn({"type": "input_file"} | PDF | x),
    r.ResponsesOutputText: lambda x: _turn({"type": "output_text", "text": "b"} | x, "assistant"),
}


def _beside(block: Json, union: Json) -> list[Json]:
    """Put a field of a union into a block of its own, or an empty one into the block."""
    return [block, union] if any(value is not None for value in union.values()) else [block | union]


def _converse_block(*blocks: Json, role: str = "user") -> Json:
    first = [] if role == "user" else [{"role": "user", "content": [{"text": "a"}]}]
    last = [{"role": "user", "content": [{"text": "b"}]}]
    return converse(messages=[*first, {"role": role, "content": [*blocks]}, *last])


CONVERSE_TOOL: Json = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
BYTES: Json = {"bytes": "AA=="}
CONVERSE_PLACES: dict[type, Callable[[Json], Json]] = {
    v.ConverseRequest: lambda x: converse(**x),
    v.ConverseSystemBlock: lambda x: converse(system=_beside({"text": "s"}, x)),
    v.ConverseBlock: lambda x: _converse_block(*_beside({"text": "a"}, x)),
    v.ConverseCachePoint: lambda x: converse(system=[{"text": "s"}, {"cachePoint": {"type": "default"} | x}]),
    v.ConverseTool: lambda x: converse(toolConfig={"tools": _beside(CONVERSE_TOOL, x)}),
    v.ConverseImage: lambda x: _converse_block({"image": {"format": "png", "source": BYTES} | x}),
    v.ConverseImageSource: lambda x: _converse_block({"image": {"format": "png", "source": BYTES | x}}),
    v.ConverseDocument: lambda x: _converse_block(
        {"document": {"format": "pdf", "name": "n", "source": BYTES} | x},
    ),
    v.ConverseDocumentSource: lambda x: _converse_block(
        {"document": {"format": "pdf", "name": "n", "source": BYTES | x}}
    ),
    v.ConverseToolUse: lambda x: _converse_block(
        {"toolUse": {"toolUseId": "i", "name": "f", "input": {}} | x}, role="assistant"
    ),
    v.ConverseToolResult: lambda x: _converse_block({"toolResult": {"toolUseId": "i", "content": []} | x}),
    v.ConverseToolResultBlock: lambda x: _converse_block(
        {"toolResult": {"toolUseId": "i", "content": _beside({"text": "a"}, x)}}
    ),
    v.ConverseReasoning: lambda x: _converse_block(
        {"reasoningContent": {"reasoningText": {"text": "t"}} | x}, role="assistant"
    ),
    v.ConverseReasoningText: lambda x: _converse_block(
        {"reasoningContent": {"reasoningText": {"text": "t"} | x}}, role="assistant"
    ),
    v.ConverseCitations: lambda x: _converse_block(
        {"citationsContent": {"content": [{"text": "t"}]} | x}, role="assistant"
    ),
}

# A value for each field, by its name or, where a name has several types, by its model and name.
VALUES: dict[str, Any] = {
    "audioMetadata": {"a": 1},
    "audioTranscription": {"a": 1},
    "documentMetadata": {"a": 1},
    "speechMetadata": {"a": 1},
    "spreadsheetMetadata": {"a": 1},
    "audioTimestamp": True,
    "audioTranscriptionConfig": {"a": 1},
    "behavior": "NON_BLOCKING",
    "cachedContent": "cachedContents/x",
    "candidateCount": 2,
    "continuationToken": "t",
    "enableAffectiveDialog": True,
    "enableEnhancedCivicAnswers": True,
    "fileData": {"fileUri": "files/x"},
    "executableCode": {"code": "1"},
    "codeExecutionResult": {"output": "1"},
    "extra_content": {"google": {"thought_signature": "c2ln"}},
    "filename": "a.pdf",
    "google": {"thought_signature": "c2ln"},
    "googleSearch": {},
    "googleSearchRetrieval": {"a": 1},
    "codeExecution": {},
    "urlContext": {},
    "googleMaps": {},
    "fileSearch": {"a": 1},
    "computerUse": {"a": 1},
    "retrieval": {"a": 1},
    "enterpriseWebSearch": {},
    "parallelAiSearch": {},
    "exaAiSearch": {},
    "mcpServers": [{"name": "m"}],
    "imageConfig": {"aspectRatio": "1:1"},
    "includeServerSideToolInvocations": True,
    "includeThoughts": True,
    "labels": {"a": "b"},
    "mediaProcessing": {"a": 1},
    "mediaResolution": {"level": "l"},
    "GeminiGenerationConfig.mediaResolution": "MEDIA_RESOLUTION_LOW",
    "GeminiGenerationConfig.logprobs": 3,
    "modelArmorConfig": {"a": 1},
    "modelSelectionConfig": {"a": 1},
    "partMetadata": {"a": 1},
    "partialArgs": [1],
    "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
    "response": {"type": "OBJECT"},
    "responseFormat": [{"type": "text"}],
    "responseJsonSchema": {"type": "object"},
    "responseLogprobs": True,
    "responseModalities": ["TEXT", "IMAGE"],
    "retrievalConfig": {"a": 1},
    "routingConfig": {"a": 1},
    "safety_identifier": "u",
    "scheduling": "WHEN_IDLE",
    "speechConfig": {"a": 1},
    "streamFunctionCallArguments": True,
    "strict": True,
    "thought": True,
    "thought_signature": "c2ln",
    "toolCall": {"id": "1"},
    "toolResponse": {"id": "1"},
    "translationConfig": {"a": 1},
    "user": "u",
    "videoMetadata": {"fps": 1},
    "willContinue": True,
    "access_programs": {"cyber": "standard"},
    "annotations": [{"type": "file_path"}],
    "async": True,
    "audio": {"id": "audio_1"},
    "background": True,
    "background_options": {"completion_window": "2h"},
    "chat_template_kwargs": {"a": 1},
    "comparison_response_id": "resp_1",
    "context": "all_turns",
    "context_management": [{"type": "compaction"}],
    "continue_final_message": True,
    "conversation": "conv_1",
    "defer_loading": True,
    "description": "d",
    "detail": "low",
    "encrypted_content": "e",
    "file_id": "file-1",
    "file_url": "https://files.example/a.pdf",
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "generate_summary": "auto",
    "id": "item_1",
    "image": {"context_compression": "auto"},
    "include_obfuscation": True,
    "include_usage": True,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "mode": "explicit",
    "moderation": {"model": "m"},
    "n": 2,
    "name": "n",
    "namespace": "n",
    "output_schema": {"type": "object"},
    "phase": "commentary",
    "prediction": {"type": "content", "content": "p"},
    "presence_penalty": 0.5,
    "previous_response_id": "resp_1",
    "prewarm": True,
    "prompt": {"id": "pmpt_1"},
    "prompt_cache_breakpoint": {"mode": "explicit"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "reasoning": "r",
    "reasoning_content": "r",
    "seed": 1,
    "server_label": "s",
    "status": "completed",
    "stop": "END",
    "store": True,
    "stream": True,
    "stream_options": {"include_obfuscation": True},
    "summary": "auto",
    "thinking_token_budget": 1024,
    "top_k": 4,
    "top_logprobs": 2,
    "truncation": "auto",
    "ttl": "30m",
    "verbosity": "high",
    "web_search_options": {},
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "cachePoint": {"type": "default"},
    "content": [{"text": "a"}],
    "citations": {"enabled": True},
    "document": {"name": "n"},
    "error": {"message": "m"},
    "guardContent": {"text": {"text": "g"}},
    "guardrailConfig": {"guardrailIdentifier": "g"},
    "performanceConfig": {"latency": "optimized"},
    "projectIdentifier": "p",
    "promptVariables": {"a": {"text": "b"}},
    "redactedContent": "AA==",
    "requestMetadata": {"a": "b"},
    "s3Location": {"uri": "s3://bucket/key"},
    "searchResult": {"source": "s"},
    "signature": "c2ln",
    "systemTool": {"name": "t"},
    "text": "t",
    "toolAddition": {"tool": {}},
    "toolRemoval": {"tool": {}},
    "type": "default",
    "video": {"format": "mp4"},
    "ConverseDocument.context": "c",
    "ConverseBlock.audio": {"format": "mp3"},
    "ConverseCitations.citations": [{"title": "t"}],
    "ConverseToolResult.type": "server_tool_result",
    "ConverseToolResultBlock.image": {"format": "png"},
    "ConverseToolUse.type": "server_tool_use",
    "ChatAssistantMessage.function_call": {"name": "f", "arguments": "{}"},
    "ChatCompletionRequest.web_search_options": {"search_context_size": "low"},
    "ChatPrediction.content": "q",
    "ChatPrediction.type": "content",
    "ChatJsonSchema.name": "m",
    "ResponsesOutputText.logprobs": [],
    "ResponsesReasoning.summary": [{"type": "summary_text", "text": "s"}],
    "ResponsesReasoningConfig.mode": "pro",
}
