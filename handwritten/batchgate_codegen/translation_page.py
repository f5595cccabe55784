"""Renders docs/translation.md: tables of the translation rules and of the server capabilities.

Run as ``python -m batchgate_codegen.translation_page <root>`` with that root's handwritten/ and generated/ on the path.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchgate.providers.dialects.chat_via_messages.answer_rules import MESSAGE_TO_CHAT
from batchgate.providers.dialects.chat_via_messages.request_rules import CHAT_TO_MESSAGES
from batchgate.providers.dialects.chat_via_responses.answer_rules import RESPONSE_TO_CHAT
from batchgate.providers.dialects.chat_via_responses.request_rules import CHAT_TO_RESPONSES
from batchgate.providers.dialects.messages_via_chat.answer_rules import CHAT_TO_MESSAGE
from batchgate.providers.dialects.messages_via_chat.request_rules import MESSAGES_TO_CHAT
from batchgate.providers.dialects.responses_via_chat.answer_rules import CHAT_TO_RESPONSE
from batchgate.providers.dialects.responses_via_chat.request_rules import RESPONSES_TO_CHAT
from batchgate.providers.dialects.rules import Action, Ignored, Mapped, MappedIfSupported, Rejected, Rule, wire_name
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry import known_servers

PAGE_PATH = Path("handwritten", "docs", "translation.md")

INTRODUCTION = """\
<!-- Made by batchgate_codegen from the rules in handwritten/batchgate/providers/dialects/; run `nox -s generate`. -->

# Translation

Batchgate runs a request at any provider. If the provider does not support the dialect of the request, Batchgate
translates the request into a dialect of the provider, and translates the answer back. A request in a dialect that the
provider supports is sent byte for byte; only the account's prefix is removed from the model.

| request | to Anthropic | to an OpenAI-compatible server |
| --- | --- | --- |
| Messages | unchanged | translated to Chat Completions |
| Chat Completions | translated to Messages | unchanged |
| Responses | translated to Messages via Chat Completions | unchanged if supported, else to Chat Completions |
| embeddings, completions | rejected: no equivalent in Messages | unchanged if supported, else rejected |

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
    ("Answers: Chat Completions to Messages", CHAT_TO_MESSAGE),
    ("Answers: Messages to Chat Completions", MESSAGE_TO_CHAT),
    ("Answers: Chat Completions to Responses", CHAT_TO_RESPONSE),
    ("Answers: Responses to Chat Completions", RESPONSE_TO_CHAT),
)


def render_page() -> str:
    """Return the page as Markdown."""
    sections = [f"## {title}\n\n{_rules_table(rules)}" for title, rules in DIRECTIONS]
    return "\n".join([INTRODUCTION, *sections, f"## Servers\n\n{_servers_table(_known_servers())}"])


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _rules_table(rules: tuple[Rule, ...]) -> str:
    rows = ([_field_cell(rule), *_action_cells(rule.action)] for rule in rules)
    return _table(["field", "action", "translation or reason"], rows)


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
    return _table(["capability", *(server.name for server in servers)], rows)


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
