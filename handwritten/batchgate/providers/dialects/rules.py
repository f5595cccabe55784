"""Translation rules as data: what happens to each field of a row in another dialect.

The translations apply the rules, and docs/translation.md shows them. No field is dropped silently. A field is
translated (`Mapped`), translated if the server supports it (`MappedIfSupported`), left out because it does not affect
the answer (`Ignored`), or rejected with a reason (`Rejected`). A field without a rule fails a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate_api.structs import OpenStruct

T = TypeVar("T")

NO_STREAM: Final = "batches do not stream; leave it out or set it to false"
NO_ZERO_MAX_TOKENS: Final = "0 only warms the cache and returns no answer; it should be at least 1"
"""Reasons that apply to every provider, Anthropic included."""


class Mapped(Struct, frozen=True, tag="mapped"):
    """The field is translated to the field ``to`` of the other dialect."""

    to: str


class MappedIfSupported(Struct, frozen=True, tag="mapped_if_supported"):
    """The field is translated to ``to`` if the server has ``capability``, and rejected otherwise."""

    to: str
    capability: str


class Ignored(Struct, frozen=True, tag="ignored"):
    """The field is left out, because it does not affect the answer."""

    reason: str


class Rejected(Struct, frozen=True, tag="rejected"):
    """The field is rejected unless it is empty; ``reason`` also states how to fix the request."""

    reason: str
    accepted: tuple[object, ...] = ()
    """Values that mean the same as leaving the field out, such as a penalty of 0."""


Action: TypeAlias = Mapped | MappedIfSupported | Ignored | Rejected


class Rule(Struct, frozen=True):
    """The action for one field of a model, or for the whole model if ``field`` is None."""

    model: type[OpenStruct]
    field: str | None
    action: Action


def field_rules(model: type[OpenStruct], /, **actions: Action) -> tuple[Rule, ...]:
    """Make one rule for each of the named fields of a model."""
    return tuple(Rule(model, field, action) for field, action in actions.items())


def model_rules(action: Action, *models: type[OpenStruct]) -> tuple[Rule, ...]:
    """Make one rule for each model as a whole, such as rejected block types."""
    return tuple(Rule(model, None, action) for model in models)


class RejectedFields:
    """An index of the fields and models that some rules reject."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._fields: dict[type, list[tuple[str, Rejected]]] = {}
        self._models: dict[type, str] = {}
        for rule in rules:
            match rule:
                case Rule(model=model, field=None, action=Rejected(reason=reason)):
                    self._models[model] = reason
                case Rule(model=model, field=str() as field, action=Rejected() as rejected):
                    self._fields.setdefault(model, []).append((field, rejected))
                case _:
                    pass

    def check(self, part: OpenStruct, path: str) -> None:
        """Raise `Untranslatable` if ``part``, which is at ``path`` in the request, has a rejected field."""
        for field, rejected in self._fields.get(type(part), ()):
            value = getattr(part, field)
            if not is_empty(value) and value not in rejected.accepted:
                raise Untranslatable(join_path(path, wire_name(field)), rejected.reason)

    def reason(self, model: type[OpenStruct], field: str) -> str:
        """Return why a field of a model is rejected."""
        return next(rejected.reason for name, rejected in self._fields[model] if name == field)

    def error(self, part: OpenStruct, path: str) -> Untranslatable:
        """Make the error for a part whose model is rejected as a whole."""
        return Untranslatable(path, self._models[type(part)])


_EMPTY_JSON: Final = frozenset({b"null", b"false", b"[]", b"{}"})


def is_empty(value: object) -> bool:
    """Return whether a value means the same as leaving the field out: absent, null, false or empty."""
    if isinstance(value, Raw):
        return bytes(value) in _EMPTY_JSON
    return value is UNSET or value is None or value is False or value in ([], {})


def unset_if_null(value: T | UnsetType | None) -> T | UnsetType:
    """Return UNSET for null: in requests, null means the same as absent."""
    return UNSET if value is None else value


def wire_name(field: str) -> str:
    """Return a field's JSON name: the Python name without the underscore after a keyword."""
    return field.removesuffix("_")


def join_path(path: str, field: str | int) -> str:
    """Append a key or an index to a path."""
    return f"{path}.{field}" if path else str(field)


def group_by_model(rules: Iterable[Rule]) -> Mapping[type[OpenStruct], Mapping[str | None, Action]]:
    """Return actions by model and field; the test of completeness uses them."""
    table: dict[type[OpenStruct], dict[str | None, Action]] = {}
    for rule in rules:
        table.setdefault(rule.model, {})[rule.field] = rule.action
    return table
