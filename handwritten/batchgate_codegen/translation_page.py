"""The page of the docs on translations: tables made from the rules that the code obeys.

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

A request runs at any provider, whatever its dialect: Batchgate says it in the words of the provider, and the answer in
those of the request. What the provider speaks itself passes byte for byte, apart from an account's prefix of the model.

| row | Anthropic | a server that is compatible with OpenAI |
| --- | --- | --- |
| Messages | as it is | as Chat Completions |
| Chat Completions | as Messages | as it is |
| Responses | by way of Chat Completions, as Messages | as it is where the server has it, else as Chat Completions |
| embeddings, completions | refused: no form in Messages | as they are where the server has them, else refused |

Nothing is dropped in silence. A field is

- **said**, in the words of the other dialect;
- **by target**: said where the server has the named capability of [the table of servers](#servers), refused elsewhere;
- **left out**, where it changes nothing about the answer;
- **refused** by its path, unless it says nothing (absent, null, false, empty, or its default): the request has an error
  as its result, which names the field and what would be right. A field of a request that is not in these tables is
  refused too.

What is marked *all of it* is treated alike in each of its fields. A result that the other dialect cannot hold, such as
a block of a tool of the provider's own, becomes an errored line that says so.

## Lines of batches

| Anthropic | OpenAI |
| --- | --- |
| `custom_id`, `params` | `custom_id`, `method` POST, `url` of the endpoint, `body` |
| `succeeded` | `response` with `status_code` 200 and the translated `body` |
| `errored` | `response` with the status of the class of the error, and `body.error` |
| `expired` | `error.code` `batch_expired` |
| `canceled` | `error.code` `batch_cancelled` |
| `errored`, `timeout_error` | `error.code` `request_timeout`, read only |
| `errored`, what cannot be said | `error.code` `untranslatable`, written only |
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
    """Write the whole page."""
    sections = [f"## {title}\n\n{_rules_table(rules)}" for title, rules in DIRECTIONS]
    return "\n".join([INTRODUCTION, *sections, f"## Servers\n\n{_servers_table(_known_servers())}"])


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _rules_table(rules: tuple[Rule, ...]) -> str:
    rows = ([_field_cell(rule), *_action_cells(rule.action)] for rule in rules)
    return _table(["field", "is", "as, or why"], rows)


def _field_cell(rule: Rule) -> str:
    name = rule.model.__name__
    return f"`{name}.{wire_name(rule.field)}`" if rule.field else f"`{name}`, all of it"


def _action_cells(action: Action) -> tuple[str, str]:
    match action:
        case Mapped(to=to):
            return "said", to
        case MappedIfSupported(to=to, capability=capability):
            return "by target", f"{to} (`{capability}`)"
        case Ignored(reason=reason):
            return "left out", reason
        case Rejected(reason=reason, accepted=accepted):
            passed = ", ".join(str(value) for value in accepted)
            return "refused", f"{reason} ({passed} passes)" if accepted else reason


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
