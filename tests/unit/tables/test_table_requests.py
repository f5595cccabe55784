"""Rows become requests: templates, system prompts, images and schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batchgate.tables.answer_schema import read_schema
from batchgate.tables.chat_requests import ChatRequests, max_tokens_field
from batchgate.tables.errors import RowError, TableError
from batchgate.tables.images import MAX_IMAGE, image_url
from batchgate.tables.prompt_template import PromptTemplate
from batchgate.tables.table import Row

PNG = b"\x89PNG\r\n\x1a\nrest"


def request_of(requests: ChatRequests, **cells: object) -> dict[str, Any]:
    """Return the request of a row with these cells."""
    made: dict[str, Any] = json.loads(requests.line(Row(7, "line 8", cells)))
    return made


def test_an_unknown_column_of_a_template_is_refused_with_the_nearest_and_all_columns() -> None:
    with pytest.raises(TableError) as caught:
        PromptTemplate("{txet}", ["name", "text"])
    hint = "perhaps 'text'; the columns are name, text; write {{ and }} for braces, also in JSON"
    assert str(caught.value) == f"{{txet}}: there is no column 'txet'; {hint}"


@pytest.mark.parametrize(
    ("models", "field"),
    [
        (("o3", "openai/o4-mini", "gpt-5-mini", "openrouter/openai/gpt-5.1", "azure/gpt-10"), "max_completion_tokens"),
        (("ft:gpt-5-mini:acme::a1", "openai/ft:o4-mini-2025-04-16:acme::a1"), "max_completion_tokens"),
        (("gpt-4o", "openai/gpt-4.1", "vllm/openai/gpt-oss-120b", "ollama/olmo", "gemini-3"), "max_tokens"),
        (("azure/gpt-35-turbo", "gpt-35-turbo-16k", "ft:gpt-35-turbo", "ft:gpt-4o:acme::a1"), "max_tokens"),
    ],
)
def test_reasoning_models_of_openai_get_their_own_field_for_the_most_tokens(models: Sequence[str], field: str) -> None:
    assert {max_tokens_field(model) for model in models} == {field}


def test_a_request_has_the_row_in_its_messages(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    columns = ["text", "image", "key"]
    requests = ChatRequests(
        prompt=PromptTemplate("Describe {text}", columns),
        system=PromptTemplate("Of {key}", columns),
        images=["image"],
        folder=tmp_path,
        fields={"max_tokens": 5},
        id_column="key",
    )
    made = request_of(requests, text="it", image="a.png", key="k 1")
    assert made["custom_id"] == "k 1"
    assert made["body"]["max_tokens"] == 5
    system, user = made["body"]["messages"]
    assert system == {"role": "system", "content": "Of k 1"}
    image, text = user["content"]
    assert text == {"type": "text", "text": "Describe it"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert request_of(requests, text="it", image="", key="1")["body"]["messages"][1]["content"] == "Describe it"
    for cells, message in (
        ({"text": "it", "image": "", "key": ""}, "line 8: its column 'key', the id of the row, is empty"),
        ({"image": "", "key": "1"}, "line 8: it has no field 'text', which the prompt names"),
        ({"text": "it", "image": "gone.png", "key": "1"}, "cannot be read: No such file or directory"),
        ({"text": "\ud800", "image": "", "key": "1"}, "line 8: "),
    ):
        with pytest.raises(RowError) as caught:
            requests.line(Row(7, "line 8", cells))
        assert message in str(caught.value)


def test_an_image_is_a_url_a_file_or_bytes_and_nothing_else_is_sent(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("root:x:0:0")
    with (tmp_path / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MAX_IMAGE + 1)
    assert image_url("https://example.com/a.png", tmp_path) == "https://example.com/a.png"
    assert image_url(None, tmp_path) is None
    images: dict[str, object] = {"png": PNG, "jpeg": {"bytes": b"\xff\xd8\xff", "path": None}, "gif": b"GIF89a"}
    for media_type, image in images.items():
        assert (image_url(image, tmp_path) or "").startswith(f"data:image/{media_type};base64,")
    wrong = {"secret.png": "is no PNG, JPEG", "large.png": "more than 20 MiB", "gone\0.png": "cannot be read"}
    for value, message in wrong.items():
        with pytest.raises(RowError, match=message):
            image_url(value, tmp_path)
    with pytest.raises(RowError, match="neither a path nor a URL"):
        image_url(3, tmp_path)


def test_a_schema_asks_for_json_and_is_strict_if_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    content = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    path.write_text(json.dumps(content))
    schema = read_schema(path)
    assert schema.properties == ["city"]
    assert "strict" not in schema.response_format["json_schema"]  # type: ignore[operator]
    path.write_text(json.dumps(content | {"additionalProperties": False}))
    assert read_schema(path).response_format["json_schema"]["strict"] is True  # type: ignore[index]
    for wrong in ("[]", '{"type": "array"}', '{"type": "object", "properties": {}}', "{"):
        path.write_text(wrong)
        with pytest.raises(TableError, match="JSON schema"):
            read_schema(path)
