"""The pages of the docs on HTTP operations: one page a tag, made from spec/ and its examples.

Run as ``python -m batchgate_codegen.http_pages <root>`` to write them all.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from batchgate_codegen.schema_text import Schemas, fields_table, object_link, sentence, table
from batchgate_codegen.spec import Document, Json, Operation, load

FOLDER: Final = Path("handwritten", "docs", "http", "operations")
INDEX: Final = "index.md"
HEADER: Final = "<!-- Made by batchgate_codegen from spec/ and spec/examples/; run `nox -s generate`. -->\n\n"
GATEWAY: Final = "http://127.0.0.1:8080"
STREAMED_EXAMPLES: Final = {
    "retrieveMessageBatchResults": "MessageBatchIndividualResponse/succeeded.json",
    "getBatchResults": "MessageBatchIndividualResponse/succeeded.json",
    "retrieveUnifiedBatchResults": "BatchOutputLine/answered.json",
    "downloadFile": "BatchInputLine/chat_completion.json",
    "downloadUnifiedFile": "BatchInputLine/chat_completion.json",
}
"""Operation to the example that stands for one line of what it streams."""

_INTRODUCTION: Final = """\
# Operations

Every operation of the gateway, from the OpenAPI documents in `spec/`. The gateway publishes the same document at
`/openapi.json`. [HTTP API](../index.md) explains what all operations have in common: base URLs, API keys, errors and
paging.

The scope is what an API key needs; `-` means that no key is needed.

"""

_BACK: Final = "[All operations](index.md), [what they have in common](../index.md).\n"


def pages(spec: Path) -> dict[str, str]:
    """Render every page of `FOLDER`, by file name. Raises `SpecError` for a fault of the spec."""
    documents = load(spec)
    schemas = Schemas(document.schemas for document in documents)
    rendered = {INDEX: HEADER + _INTRODUCTION + _index(documents)}
    for document in documents:
        for tag in document.content.get("tags", ()):
            page = _Page(document, tag, schemas, spec / "examples")
            rendered[_file_name(tag["name"])] = HEADER + page.render()
    return rendered


def write_pages(root: Path) -> None:
    """Write the pages into a checkout and remove those that are no longer rendered."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    rendered = pages(root / "spec")
    for stale in folder.glob("*.md"):
        if stale.name not in rendered:
            stale.unlink()
    for name, text in rendered.items():
        (folder / name).write_text(text)


class _Page:
    """One page: the operations of a tag, then the objects that they take and return."""

    def __init__(self, document: Document, tag: Json, schemas: Schemas, examples: Path) -> None:
        self._document = document
        self._tag = tag
        self._schemas = schemas
        self._examples = examples
        self._operations = _in_order(operation for operation in document.operations if operation.tag == tag["name"])

    def render(self) -> str:
        sections = [f"# Operations: {self._tag['name']}\n\n{self._tag['description']}\n\n{_BACK}"]
        sections += [self._operation(operation) for operation in self._operations]
        return "\n".join([*sections, *self._objects()])

    def _operation(self, operation: Operation) -> str:
        raw = self._raw(operation)
        parts = [f"## {operation.id}\n", _call(operation), _prose(operation)]
        if operation.parameters:
            parts.append(self._parameters(operation))
        if operation.body_schema:
            parts.append(f"Body (`{operation.media_type}`): {object_link(operation.body_schema)}\n")
        parts += [f"```sh\n{self._curl(operation, raw)}\n```\n", self._answer(operation, raw), self._statuses(raw)]
        return "\n".join(parts)

    def _raw(self, operation: Operation) -> Json:
        path = operation.paths[0].removeprefix(self._document.mounts[0])
        raw: Json = self._document.content["paths"][path][operation.method.lower()]
        return raw

    def _parameters(self, operation: Operation) -> str:
        rows = (
            [
                f"`{parameter['name']}`",
                f"{parameter['in']}, required" if parameter.get("required") else parameter["in"],
                self._schemas.describe(parameter["schema"]),
                sentence(parameter.get("description", "")),
            ]
            for parameter in operation.parameters
        )
        return table(["parameter", "in", "type", "description"], rows)

    def _curl(self, operation: Operation, raw: Json) -> str:
        """Write the call as a command that can be pasted into a shell."""
        lines = [f"curl {_verb(operation)}{shlex.quote(_example_url(operation))}"]
        if operation.authenticated:
            lines.append('-H "x-api-key: $BATCHGATE_API_KEY"')
        if operation.media_type == "multipart/form-data":
            fields = self._schemas[str(operation.body_schema)]["required"]
            lines.append("-F purpose=batch -F file=@requests.jsonl" if "purpose" in fields else "-F file=@report.pdf")
        elif operation.body_schema:
            body = self._example(raw["requestBody"]["content"], operation.body_schema)
            lines += ['-H "content-type: application/json"', f"-d {shlex.quote(body)}"]
        return " \\\n  ".join(lines)

    def _answer(self, operation: Operation, raw: Json) -> str:
        answer = raw["responses"]["200"]
        lead = f"**200** {sentence(answer['description'])}"
        if operation.success is not None:
            name = operation.success
            example = self._example(answer["content"], name)
            return f"{lead} {object_link(name)}:\n\n```json\n{example}\n```\n"
        media = " or ".join(f"`{name}`" for name in answer["content"])
        if operation.id not in STREAMED_EXAMPLES:
            return f"{lead} Content type: {media}.\n"
        line = json.loads((self._examples / STREAMED_EXAMPLES[operation.id]).read_text())
        return f"{lead} Content type: {media}. One line:\n\n```json\n{json.dumps(line, ensure_ascii=False)}\n```\n"

    def _example(self, content: Json, schema: str) -> str:
        """Find the example of a body: the first that the spec names here, else the first of its schema."""
        for example in content["application/json"].get("examples", {}).values():
            return json.dumps(example["value"], indent=2, ensure_ascii=False)
        found = sorted((self._examples / schema).glob("*.json"))
        return found[0].read_text().strip() if found else "{}"

    def _statuses(self, raw: Json) -> str:
        known = self._document.content.get("components", {}).get("responses", {})
        rows = []
        for status, response in raw["responses"].items():
            if status != "200":
                named = known[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
                rows.append([status, sentence(named["description"])])
        return table(["status", "when"], rows) if rows else ""

    def _objects(self) -> Iterator[str]:
        names = [name for operation in self._operations for name in (operation.body_schema, operation.success) if name]
        reached = self._schemas.reached_from(names)
        if reached:
            yield "## Objects\n"
        for name in reached:
            schema = self._schemas[name]
            description = sentence(schema.get("description", ""))
            yield f"### {name} object\n\n{description}\n\n{fields_table(schema, self._schemas)}"


def _in_order(operations: Iterable[Operation]) -> list[Operation]:
    """Keep the order of the paths in the spec, and put the create of a path before its list."""
    listed = list(operations)
    paths = list(dict.fromkeys(operation.paths[0] for operation in listed))
    return sorted(listed, key=lambda operation: (paths.index(operation.paths[0]), operation.method != "POST"))


def _index(documents: Iterable[Document]) -> str:
    rows = (
        [
            f"[`{operation.id}`]({_file_name(operation.tag)}#{operation.id.lower()})",
            f"`{operation.method} {operation.paths[0]}`",
            ", ".join(operation.scopes) or "-",
            operation.summary,
        ]
        for document in documents
        for operation in _in_order(document.operations)
    )
    return table(["operation", "call", "scope", "summary"], rows)


def _file_name(tag: str) -> str:
    return f"{tag.lower().replace(' ', '-')}.md"


def _call(operation: Operation) -> str:
    scopes = " or ".join(f"`{scope}`" for scope in operation.scopes)
    needs = f" Scope: {scopes}." if scopes else " No API key is needed."
    aliases = ", ".join(f"`{path}`" for path in operation.paths[1:])
    also = f" Also at {aliases}." if aliases else ""
    return f"`{operation.method} {operation.paths[0]}`{needs}{also}\n"


def _prose(operation: Operation) -> str:
    return f"{operation.summary} {operation.description}".strip() + "\n"


def _verb(operation: Operation) -> str:
    usual = "POST" if operation.body_schema else "GET"
    return "" if operation.method == usual else f"-X {operation.method} "


def _example_url(operation: Operation) -> str:
    path, query = operation.paths[0], {}
    for parameter in operation.parameters:
        value = str(parameter.get("example") or parameter["schema"].get("enum", ["NAME"])[0])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(value))
        elif parameter["in"] == "query" and (parameter.get("required") or _chooses_provider(operation, parameter)):
            query[parameter["name"]] = value
    return GATEWAY + path + (f"?{urlencode(query)}" if query else "")


def _chooses_provider(operation: Operation, parameter: Json) -> bool:
    """Tell if a call needs this parameter because nothing else in the example names a provider."""
    return bool(operation.tag.startswith("Unified") and parameter["name"] == "provider")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
