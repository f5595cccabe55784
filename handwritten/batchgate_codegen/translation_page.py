"""Renders docs/translation.md: tables of the translation rules and of the server capabilities.

Run as ``python -m batchgate_codegen.translation_page <root>`` with that root's handwritten/ and generated/ on the path.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from batchgate.providers.dialects.chat_via_converse.answer_rules import CONVERSE_TO_COMPLETION
from batchgate.providers.dialects.chat_via_converse.request_rules import CHAT_TO_CONVERSE
from batchgate.providers.dialects.chat_via_gemini.answer_rules import GEMINI_TO_COMPLETION
from batchgate.providers.dialects.chat_via_gemini.request_rules import CHAT_TO_GEMINI
from batchgate.providers.dialects.chat_via_messages.answer_rules import MESSAGE_TO_CHAT
from batchgate.providers.dialects.chat_via_messages.request_rules import CHAT_TO_MESSAGES
from batchgate.providers.dialects.chat_via_responses.answer_rules import RESPONSE_TO_CHAT
from batchgate.providers.dialects.chat_via_responses.request_rules import CHAT_TO_RESPONSES
from batchgate.providers.dialects.cohere_embeddings import EMBEDDINGS_TO_COHERE
from batchgate.providers.dialects.converse_via_chat.answer_rules import COMPLETION_TO_CONVERSE
from batchgate.providers.dialects.converse_via_chat.request_rules import CONVERSE_TO_CHAT
from batchgate.providers.dialects.gemini_embeddings.rules import (
    EMBEDDINGS_TO_GEMINI,
    GEMINI_EMBEDDINGS_TO_OPENAI,
    GEMINI_TO_EMBEDDINGS,
    OPENAI_EMBEDDINGS_TO_GEMINI,
)
from batchgate.providers.dialects.gemini_via_chat.answer_rules import CHAT_TO_GEMINI_ANSWER
from batchgate.providers.dialects.gemini_via_chat.request_rules import GEMINI_TO_CHAT
from batchgate.providers.dialects.messages_via_chat.answer_rules import CHAT_TO_MESSAGE
from batchgate.providers.dialects.messages_via_chat.request_rules import MESSAGES_TO_CHAT
from batchgate.providers.dialects.responses_via_chat.answer_rules import CHAT_TO_RESPONSE
from batchgate.providers.dialects.responses_via_chat.request_rules import RESPONSES_TO_CHAT
from batchgate.providers.dialects.rules import Action, Ignored, Mapped, MappedIfSupported, Rejected, Rule, wire_name
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry import known_servers
from batchgate_codegen.schema_text import table

PAGE_PATH = Path("handwritten", "docs", "translation.md")

INTRODUCTION = """\
<!-- Made by batchgate_codegen from the rules in handwritten/batchgate/providers/dialects/; run `nox -s generate`. -->

# Translation

Batchgate runs a request at any provider. If the provider does not support the dialect of the request, Batchgate
translates the request into a dialect of the provider, and translates the answer back. A request in a dialect that the
provider supports is sent byte for byte; only the account's prefix is removed from the model.

| request | to Anthropic | to an OpenAI-compatible server | to Gemini | to Bedrock |
| --- | --- | --- | --- | --- |
| Messages | unchanged | as Chat Completions | as generateContent | Claude: by InvokeModel, else as Converse |
| Chat Completions | as Messages | unchanged | as generateContent | as Converse |
| Responses | as Messages | unchanged if supported, else as Chat Completions | as generateContent | as Converse |
| generateContent | as Messages | as Chat Completions | unchanged | as Converse |
| Converse | as Messages | as Chat Completions | as generateContent | unchanged |
| embeddings | rejected | unchanged if supported, else rejected | as batchEmbedContents | rejected |
| embedContent | rejected | as embeddings if supported, else rejected | unchanged | rejected |
| completions | rejected | unchanged if supported, else rejected | rejected | rejected |
| InvokeModel | rejected | rejected | rejected | unchanged |
| Cohere's chat and embed | rejected | rejected | rejected | rejected |

Chat Completions is between any two other conversations.

InvokeModel takes the Messages of Claude without `model` and `stream`, and with an `anthropic_version` of its own; other
models have formats of their own.

Accounts of `cohere` run conversations by Cohere's OpenAI-compatible API, and embeddings by its own one, which wants to
know what texts are embedded for (the [setting](settings.md#accounts) `embedding_input_type`). Requests of Cohere's own
chat and embed pass unchanged there, and are rejected elsewhere.

Accounts of `gemini` use Gemini's own API; with `api = "openai"` they use its OpenAI-compatible one. A Messages answer
of Gemini has thought signatures in `redacted_thinking` blocks. Send them back with the conversation: Gemini 3 needs
them.

No field is dropped silently. Each field is one of:

- **translated**: it becomes the named field of the other dialect;
- **if supported**: it is translated if the server has the named capability in [the table of servers](#servers), and
  rejected otherwise;
- **ignored**: it does not affect the answer, so it is left out;
- **rejected**: the request gets an error as its result. The error names the path of the field and how to fix it. A
  field that is absent, null, false, empty or has its default value is not rejected.

A request field that is not in these tables is rejected too. A rule marked *all fields* applies to each field of that
model. An answer that the other dialect cannot represent, such as output of a provider's built-in tool, becomes an error
in the results.

## Lines of batches

The endpoints of batches of Cohere's requests are `/v2/chat` and `/v2/embed`, with the `model` in the body.

The endpoints of batches of Gemini's requests are `/v1beta/models/{model}:generateContent` and
`/v1beta/models/{model}:embedContent`. The `url` of a line is the endpoint itself, with the `model` in the body, or has
the model in place of `{model}`, also after `/v1` or `/v1alpha`. Names may be in camelCase or snake_case.

| Anthropic | OpenAI |
| --- | --- |
| `custom_id`, `params` | `custom_id`, `method` POST, `url` of the endpoint, `body` |
| `succeeded` | `response` with `status_code` 200 and the translated `body` |
| `errored` | `response` with the HTTP status of the error type, and `body.error` |
| `expired` | `error.code` `batch_expired` |
| `canceled` | `error.code` `batch_cancelled` |
| `errored`, `timeout_error` | `error.code` `request_timeout`, only translated from OpenAI to Anthropic |
| `errored`, the answer cannot be translated | `error.code` `untranslatable`, only translated from Anthropic to OpenAI |
"""

DIRECTIONS: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Requests: Messages to Chat Completions", MESSAGES_TO_CHAT),
    ("Requests: Chat Completions to Messages", CHAT_TO_MESSAGES),
    ("Requests: Responses to Chat Completions", RESPONSES_TO_CHAT),
    ("Requests: Chat Completions to Responses", CHAT_TO_RESPONSES),
    ("Requests: Chat Completions to Converse", CHAT_TO_CONVERSE),
    ("Requests: Converse to Chat Completions", CONVERSE_TO_CHAT),
    ("Requests: generateContent to Chat Completions", GEMINI_TO_CHAT),
    ("Requests: Chat Completions to generateContent", CHAT_TO_GEMINI),
    ("Requests: embeddings to Gemini", EMBEDDINGS_TO_GEMINI),
    ("Requests: embeddings to Cohere", EMBEDDINGS_TO_COHERE),
    ("Requests: embedContent to embeddings", GEMINI_TO_EMBEDDINGS),
    ("Answers: Chat Completions to Messages", CHAT_TO_MESSAGE),
    ("Answers: Messages to Chat Completions", MESSAGE_TO_CHAT),
    ("Answers: Chat Completions to Responses", CHAT_TO_RESPONSE),
    ("Answers: Responses to Chat Completions", RESPONSE_TO_CHAT),
    ("Answers: Converse to Chat Completions", CONVERSE_TO_COMPLETION),
    ("Answers: Chat Completions to Converse", COMPLETION_TO_CONVERSE),
    ("Answers: Chat Completions to generateContent", CHAT_TO_GEMINI_ANSWER),
    ("Answers: generateContent to Chat Completions", GEMINI_TO_COMPLETION),
    ("Answers: Gemini's embeddings to OpenAI's", GEMINI_EMBEDDINGS_TO_OPENAI),
    ("Answers: OpenAI's embeddings to Gemini's", OPENAI_EMBEDDINGS_TO_GEMINI),
)


def render_page() -> str:
    """Return the page as Markdown."""
    sections = [f"## {title}\n\n{_rules_table(rules)}" for title, rules in DIRECTIONS]
    return "\n".join([INTRODUCTION, *sections, f"## Servers\n\n{_servers_table(_known_servers())}"])


def _rules_table(rules: tuple[Rule, ...]) -> str:
    rows = ([_field_cell(rule), *_action_cells(rule.action)] for rule in rules)
    return table(["field", "action", "translation or reason"], rows)


def _field_cell(rule: Rule) -> str:
    name = rule.model.__name__
    return f"`{name}.{wire_name(rule.field)}`" if rule.field else f"`{name}`, all fields"


def _action_cells(action: Action) -> tuple[str, str]:
    match action:
        case Mapped(to=to):
            return "translated", to
        case MappedIfSupported(to=to, capability=capability):
            return "if supported", f"{to} (`{capability}`)"
        case Ignored(reason=reason):
            return "ignored", reason
        case Rejected(reason=reason, accepted=accepted):
            passed = ", ".join(str(value) for value in accepted)
            return "rejected", f"{reason} ({passed} is accepted)" if accepted else reason


def _known_servers() -> list[ServerCapabilities]:
    servers = [value for value in vars(known_servers).values() if isinstance(value, ServerCapabilities)]
    return sorted(servers, key=lambda target: target.name)


def _servers_table(servers: Sequence[ServerCapabilities]) -> str:
    capabilities = [name for name in ServerCapabilities.__struct_fields__ if name != "name"]
    rows = ([f"`{name}`", *(_format_value(getattr(server, name)) for server in servers)] for name in capabilities)
    return table(["capability", *(server.name for server in servers)], rows)


def _format_value(value: object) -> str:
    match value:
        case True:
            return "yes"
        case False | None:
            return "no"
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case _:
            return str(value)


if __name__ == "__main__":
    Path(sys.argv[1], PAGE_PATH).write_text(render_page())
