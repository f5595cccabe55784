"""Rules that translate a request of generateContent to Chat Completions, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    Ignored,
    Mapped,
    MappedIfSupported,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
)
from batchgate_api import gemini as g

_SAME: Final = Mapped("the same")
_ONLY_GEMINI: Final = Rejected("only Gemini supports it; leave it out, or send the request to the provider gemini")
_GOOGLE_TOOL: Final = Rejected("it is a tool that Google runs; declare a function and run it yourself")
_GOOGLE_PART: Final = Rejected("it belongs to a tool that Google runs; leave the part out")
_NO_LOGPROBS: Final = Rejected("translated answers have no log probabilities; send a row of Chat Completions")

_REQUEST: Final = field_rules(
    g.GeminiRequest,
    model=Mapped("model, without the account's prefix"),
    contents=Mapped("messages"),
    systemInstruction=Mapped("a leading system message"),
    tools=Mapped("tools with the type function; Google's tools are rejected"),
    toolConfig=Mapped("tool_choice"),
    safetySettings=Mapped("see GeminiSafetySetting"),
    cachedContent=_ONLY_GEMINI,
    generationConfig=Mapped("see GeminiGenerationConfig"),
    labels=_ONLY_GEMINI,
    serviceTier=MappedIfSupported("service_tier flex or priority; standard is left out", "service_tiers"),
    store=Ignored("it stores the answer at Google; Batchgate stores the results of the batch"),
    continuationToken=_ONLY_GEMINI,
    modelArmorConfig=_ONLY_GEMINI,
)

_SETTINGS: Final = (
    *field_rules(
        g.GeminiSafetySetting,
        category=Mapped("left out with BLOCK_NONE and OFF"),
        threshold=Mapped("left out for BLOCK_NONE and OFF, which only ask for less filtering; others are rejected"),
        method=Mapped("left out with BLOCK_NONE and OFF"),
    ),
    *field_rules(
        g.GeminiGenerationConfig,
        temperature=_SAME,
        topP=Mapped("top_p"),
        topK=MappedIfSupported("top_k", "top_k"),
        candidateCount=Rejected("send one request for each answer that you want", accepted=(1,)),
        maxOutputTokens=MappedIfSupported("max_completion_tokens or max_tokens", "max_tokens_field"),
        stopSequences=MappedIfSupported("stop, up to the limit of the server", "stop_limit"),
        responseLogprobs=_NO_LOGPROBS,
        logprobs=_NO_LOGPROBS,
        presencePenalty=Mapped("presence_penalty"),
        frequencyPenalty=Mapped("frequency_penalty"),
        seed=_SAME,
        responseMimeType=Mapped("response_format for application/json; text/plain is the default; others are rejected"),
        responseSchema=Mapped(
            "json_schema.schema of response_format, not strict: types in lower case, nullable as a type, without "
            "propertyOrdering"
        ),
        responseJsonSchema=Mapped("json_schema.schema of response_format, byte for byte, not strict"),
        responseFormat=Rejected("the translation does not support it; use responseMimeType and responseJsonSchema"),
        responseModalities=Rejected("translated answers contain only text; leave it out", accepted=(["TEXT"],)),
        speechConfig=_ONLY_GEMINI,
        imageConfig=_ONLY_GEMINI,
        mediaResolution=Rejected(
            "the translation does not support it; leave it out", accepted=("MEDIA_RESOLUTION_UNSPECIFIED",)
        ),
        thinkingConfig=Mapped("see GeminiThinkingConfig"),
        audioTimestamp=_ONLY_GEMINI,
        routingConfig=_ONLY_GEMINI,
        modelSelectionConfig=_ONLY_GEMINI,
        enableAffectiveDialog=_ONLY_GEMINI,
        enableEnhancedCivicAnswers=_ONLY_GEMINI,
        translationConfig=_ONLY_GEMINI,
        audioTranscriptionConfig=_ONLY_GEMINI,
    ),
    *field_rules(
        g.GeminiThinkingConfig,
        includeThoughts=Ignored("it changes which thoughts are returned, not the answer; the server decides that"),
        thinkingBudget=MappedIfSupported(
            "thinking_token_budget; 0 is reasoning_effort none, and -1 is left out", "thinking_budget"
        ),
        thinkingLevel=MappedIfSupported("reasoning_effort of the same name", "efforts"),
    ),
)

_TOOLS: Final = (
    *field_rules(
        g.GeminiTool,
        functionDeclarations=Mapped("tools with the type function"),
        googleSearch=_GOOGLE_TOOL,
        googleSearchRetrieval=_GOOGLE_TOOL,
        codeExecution=_GOOGLE_TOOL,
        urlContext=_GOOGLE_TOOL,
        googleMaps=_GOOGLE_TOOL,
        fileSearch=_GOOGLE_TOOL,
        computerUse=_GOOGLE_TOOL,
        retrieval=_GOOGLE_TOOL,
        enterpriseWebSearch=_GOOGLE_TOOL,
        parallelAiSearch=_GOOGLE_TOOL,
        exaAiSearch=_GOOGLE_TOOL,
        mcpServers=_GOOGLE_TOOL,
    ),
    *field_rules(
        g.GeminiFunctionDeclaration,
        name=_SAME,
        description=_SAME,
        parameters=Mapped("parameters: types in lower case, nullable as a type, without propertyOrdering"),
        parametersJsonSchema=Mapped("parameters, byte for byte; rejected beside parameters"),
        response=Rejected("Chat Completions has no such field; describe the result in the description"),
        responseJsonSchema=Rejected("Chat Completions has no such field; describe the result in the description"),
        behavior=Rejected("Chat Completions has no such field; leave it out", accepted=("BLOCKING", "UNSPECIFIED")),
    ),
    *field_rules(
        g.GeminiToolConfig,
        functionCallingConfig=Mapped("tool_choice"),
        retrievalConfig=_ONLY_GEMINI,
        includeServerSideToolInvocations=_ONLY_GEMINI,
    ),
    *field_rules(
        g.GeminiFunctionCallingConfig,
        mode=MappedIfSupported(
            "tool_choice: AUTO is auto, ANY is required, NONE is none; VALIDATED is auto", "tool_choice"
        ),
        allowedFunctionNames=Mapped(
            "one name is a function, several are allowed_tools, which only OpenAI supports; only with ANY"
        ),
        streamFunctionCallArguments=Ignored("it affects only streaming, and batches do not stream"),
    ),
)

_TURNS: Final = (
    *field_rules(
        g.GeminiContent,
        role=Mapped("role: user, or assistant for model"),
        parts=Mapped("content and tool_calls; functionResponse parts become messages with the role tool"),
    ),
    *field_rules(
        g.GeminiPart,
        text=Mapped("a text part; an empty one is left out"),
        thought=Ignored("thoughts are left out: only Gemini can verify them"),
        thoughtSignature=MappedIfSupported(
            "extra_content.google.thought_signature of a tool call; otherwise left out", "thought_signatures"
        ),
        inlineData=Mapped("see GeminiBlob"),
        fileData=Rejected("only Gemini can read the file; send its content as inlineData"),
        functionCall=Mapped("tool_calls"),
        functionResponse=Mapped("a message with the role tool"),
        executableCode=_GOOGLE_PART,
        codeExecutionResult=_GOOGLE_PART,
        toolCall=_GOOGLE_PART,
        toolResponse=_GOOGLE_PART,
        videoMetadata=_ONLY_GEMINI,
        mediaResolution=_ONLY_GEMINI,
        mediaProcessing=_ONLY_GEMINI,
        partMetadata=_ONLY_GEMINI,
        audioMetadata=_ONLY_GEMINI,
        audioTranscription=_ONLY_GEMINI,
        documentMetadata=_ONLY_GEMINI,
        speechMetadata=_ONLY_GEMINI,
        spreadsheetMetadata=_ONLY_GEMINI,
    ),
    *field_rules(
        g.GeminiBlob,
        mimeType=Mapped("an image, application/pdf as a file, or audio/wav and audio/mp3; others are rejected"),
        data=Mapped("base64 in the standard alphabet"),
        displayName=Mapped("filename of a PDF; left out otherwise"),
    ),
    *field_rules(
        g.GeminiFunctionCall,
        id=Mapped("id; one is made of the position if there is none"),
        name=Mapped("function.name"),
        args=Mapped("function.arguments, as text"),
        partialArgs=_ONLY_GEMINI,
        willContinue=_ONLY_GEMINI,
    ),
    *field_rules(
        g.GeminiFunctionResponse,
        id=Mapped("tool_call_id; without one, that of the first call of the name that has no result yet"),
        name=Mapped("the call of that name"),
        response=Mapped("content: the text under output, Error: and the text under error, or else the object as JSON"),
        parts=Rejected("Chat Completions has only text in results; leave it out"),
        willContinue=_ONLY_GEMINI,
        scheduling=_ONLY_GEMINI,
    ),
)

GEMINI_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_TURNS)
"""Every field of every model of a request of generateContent and its translation to Chat Completions."""

REJECTED: Final = RejectedFields(GEMINI_TO_CHAT)
"""The fields that `GEMINI_TO_CHAT` rejects; the translation checks every part with it."""
