"""Rules that translate embeddings between OpenAI's format and Gemini's, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    Ignored,
    Mapped,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
    model_rules,
)
from batchgate_api import gemini as g
from batchgate_api import openai_rows as o

_NO_FIELD: Final = Ignored("the other format has no such field")
_ONLY_GEMINI: Final = Rejected("only Gemini supports it; leave it out, or send the request to the provider gemini")
_TEXT_ONLY: Final = Rejected("embeddings of other servers are of one text; leave it out")

EMBEDDINGS_TO_GEMINI: Final[tuple[Rule, ...]] = field_rules(
    o.EmbeddingsRequest,
    model=Mapped("the model in the URL and of each request, without the account's prefix"),
    input=Mapped("one request of batchEmbedContents for each text; tokens are rejected"),
    dimensions=Mapped("outputDimensionality"),
    encoding_format=Mapped("left out; the translated answer has that format"),
    user=Ignored("it only labels the request"),
)
"""Every field of an OpenAI request for embeddings and its translation to Gemini."""

GEMINI_TO_EMBEDDINGS: Final[tuple[Rule, ...]] = (
    *field_rules(
        g.GeminiEmbedRequest,
        model=Mapped("model, without the account's prefix"),
        content=Mapped("input; it should have one part, a text"),
        taskType=_ONLY_GEMINI,
        title=_ONLY_GEMINI,
        outputDimensionality=Mapped("dimensions"),
    ),
    *field_rules(g.GeminiContent, role=Ignored("it does not affect embeddings"), parts=Mapped("input")),
    *field_rules(
        g.GeminiPart,
        text=Mapped("input"),
        thought=_TEXT_ONLY,
        thoughtSignature=_TEXT_ONLY,
        inlineData=_TEXT_ONLY,
        fileData=_TEXT_ONLY,
        functionCall=_TEXT_ONLY,
        functionResponse=_TEXT_ONLY,
        executableCode=_TEXT_ONLY,
        codeExecutionResult=_TEXT_ONLY,
        toolCall=_TEXT_ONLY,
        toolResponse=_TEXT_ONLY,
        videoMetadata=_TEXT_ONLY,
        mediaResolution=_TEXT_ONLY,
        mediaProcessing=_TEXT_ONLY,
        partMetadata=_TEXT_ONLY,
        audioMetadata=_TEXT_ONLY,
        audioTranscription=_TEXT_ONLY,
        documentMetadata=_TEXT_ONLY,
        speechMetadata=_TEXT_ONLY,
        spreadsheetMetadata=_TEXT_ONLY,
    ),
    *model_rules(_TEXT_ONLY, g.GeminiBlob, g.GeminiFunctionCall, g.GeminiFunctionResponse),
)
"""Every field of every model of a request of embedContent and its translation to OpenAI's format."""

_USAGE: Final = field_rules(
    g.GeminiUsage,
    promptTokenCount=Mapped("usage.prompt_tokens"),
    cachedContentTokenCount=_NO_FIELD,
    candidatesTokenCount=_NO_FIELD,
    thoughtsTokenCount=_NO_FIELD,
    toolUsePromptTokenCount=_NO_FIELD,
    totalTokenCount=Mapped("usage.total_tokens"),
    promptTokensDetails=_NO_FIELD,
    candidatesTokensDetails=_NO_FIELD,
    cacheTokensDetails=_NO_FIELD,
    toolUsePromptTokensDetails=_NO_FIELD,
    trafficType=_NO_FIELD,
    serviceTier=_NO_FIELD,
)

GEMINI_EMBEDDINGS_TO_OPENAI: Final[tuple[Rule, ...]] = (
    *field_rules(
        g.GeminiEmbeddings,
        embeddings=Mapped("data, in order"),
        usageMetadata=Mapped("usage; zeros if the server sends none"),
    ),
    *field_rules(
        g.GeminiEmbedding,
        embedding=Mapped("the only item of data"),
        usageMetadata=Mapped("usage; zeros if the server sends none"),
    ),
    *field_rules(g.GeminiVector, values=Mapped("embedding, as numbers or base64, as the request asks for it")),
    *_USAGE,
)
"""Every field of every model of Gemini's embeddings and its translation to OpenAI's format."""

OPENAI_EMBEDDINGS_TO_GEMINI: Final[tuple[Rule, ...]] = field_rules(
    o.Embeddings,
    object=_NO_FIELD,
    model=_NO_FIELD,
    data=Mapped("embedding.values of the first item"),
    usage=Mapped("usageMetadata"),
)
"""Every field of OpenAI's embeddings and its translation to Gemini's format."""

REJECTED: Final = RejectedFields(GEMINI_TO_EMBEDDINGS)
"""The fields that `GEMINI_TO_EMBEDDINGS` rejects."""
