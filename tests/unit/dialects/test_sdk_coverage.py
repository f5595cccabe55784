"""The row models know every field that the official Anthropic SDK knows, so that none of its users is refused."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from anthropic import types
from anthropic.types import beta, message_create_params
from anthropic.types.beta import message_create_params as beta_create_params
from msgspec import inspect
from pydantic import BaseModel

from batchgate_api import messages as m

# In the SDK's signatures, but sent as headers.
HEADERS = {"betas"}


def _keys(typed_dict: Any) -> set[str]:
    return set(typed_dict.__required_keys__ | typed_dict.__optional_keys__)


def _fields(model: type) -> set[str]:
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    tag = {info.tag_field} if info.tag_field else set()
    return {field.encode_name for field in info.fields} | tag


@pytest.mark.parametrize(
    ("typed_dict", "model"),
    [
        (message_create_params.MessageCreateParamsNonStreaming, m.MessageParams),
        (beta_create_params.MessageCreateParamsNonStreaming, m.MessageParams),
        (types.ToolParam, m.CustomTool),
        (beta.BetaToolParam, m.CustomTool),
        (types.OutputConfigParam, m.OutputConfig),
        (beta.BetaOutputConfigParam, m.OutputConfig),
        (types.MetadataParam, m.Metadata),
        (types.CacheControlEphemeralParam, m.CacheControl),
        (types.ThinkingConfigEnabledParam, m.ThinkingEnabled),
        (beta.BetaThinkingConfigEnabledParam, m.ThinkingEnabled),
        (beta.BetaThinkingConfigAdaptiveParam, m.ThinkingAdaptive),
        (types.UserMessageParam, m.UserMessageParam),
        (types.AssistantMessageParam, m.AssistantMessageParam),
        (beta.BetaSystemMessageParam, m.SystemMessageParam),
    ],
)
def test_a_model_has_every_field_of_the_sdk(typed_dict: Any, model: type) -> None:
    assert _keys(typed_dict) - HEADERS <= _fields(model)


def _tags(union: Any) -> dict[str, type]:
    """Give the members of a union of the SDK by their ``type``."""
    found: dict[str, type] = {}
    for member in get_args(union):
        if get_origin(member) is Annotated:
            found = _tags(get_args(member)[0]) | found
        elif isinstance(member, type):
            found |= dict.fromkeys(get_args(_type_hint(member)), member)
    return found


def _type_hint(member: type) -> Any:
    if issubclass(member, BaseModel):
        return member.model_fields["type"].annotation
    return get_type_hints(member)["type"]


def _known_tags(union: Any) -> dict[str, type]:
    info = inspect.type_info(union)
    if isinstance(info, inspect.Metadata):
        info = info.type
    assert isinstance(info, inspect.UnionType)
    return {str(t.tag): t.cls for t in info.types if isinstance(t, inspect.StructType)}


@pytest.mark.parametrize("tag", _tags(beta.BetaContentBlockParam))
def test_a_block_of_a_turn_has_every_field_of_the_sdk(tag: str) -> None:
    member = _tags(beta.BetaContentBlockParam)[tag]
    if hasattr(member, "__required_keys__"):
        assert _keys(member) <= _fields(_known_tags(m.ContentBlockParam)[tag])


@pytest.mark.parametrize("tag", _tags(get_args(beta.BetaContentBlock)[0]))
def test_a_block_of_an_answer_is_known(tag: str) -> None:
    assert tag in _known_tags(m.ContentBlock)
    assert tag in _known_tags(m.ContentBlockParam), "an answer can be sent back as a turn"
