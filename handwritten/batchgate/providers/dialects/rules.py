"""What happens to each field when a row changes its dialect: rules as data, which the code obeys and the docs show.

Nothing is dropped in silence. A field is said in the other dialect (`Mapped`), said where the target has it and refused
elsewhere (`MappedIfSupported`), without any effect on the answer and therefore left out (`Ignored`), or refused with a reason
(`Rejected`). A field without a rule fails a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate_api.structs import OpenStruct

T = TypeVar("T")

NO_STREAM: Final = "a batch answers whole; leave it out or set it to false"
NO_ZERO_MAX_TOKENS: Final = "0 only fills a cache, and a batch has to answer; it should be at least 1"
"""Reasons that hold for every provider, Anthropic's own batches included."""


class Mapped(Struct, frozen=True, tag="mapped"):
    """The field is said in the other dialect, in ``to`` of it."""

    to: str


class MappedIfSupported(Struct, frozen=True, tag="by_target"):
    """The field is said where the target's table has ``capability``, and refused elsewhere."""

    to: str
    capability: str


class Ignored(Struct, frozen=True, tag="hint"):
    """The field changes nothing about what the model answers; it is left out because of ``reason``."""

    reason: str


class Rejected(Struct, frozen=True, tag="refused"):
    """The field is refused unless it says nothing; ``reason`` tells why and what would be right."""

    reason: str
    accepted: tuple[object, ...] = ()
    """Values that say no more than leaving the field out, such as a penalty of 0."""


Action: TypeAlias = Mapped | MappedIfSupported | Ignored | Rejected


class Rule(Struct, frozen=True):
    """The treatment of one field of one model, or of the model as a whole where ``field`` is None."""

    model: type[OpenStruct]
    field: str | None
    action: Action


def field_rules(model: type[OpenStruct], /, **actions: Action) -> tuple[Rule, ...]:
    """Write the rules of a model's fields."""
    return tuple(Rule(model, field, action) for field, action in actions.items())


def model_rules(action: Action, *models: type[OpenStruct]) -> tuple[Rule, ...]:
    """Write the rule of models that are treated as a whole, such as blocks that are refused."""
    return tuple(Rule(model, None, action) for model in models)


class RejectedFields:
    """The refusals among some rules, ready to be asked for every part of a row."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._fields: dict[type, list[tuple[str, Rejected]]] = {}
        self._models: dict[type, str] = {}
        for rule in rules:
            match rule:
                case Rule(model=model, field=None, action=Rejected(reason=reason)):
                    self._models[model] = reason
                case Rule(model=model, field=str() as field, action=Rejected() as refused):
                    self._fields.setdefault(model, []).append((field, refused))
                case _:
                    pass

    def check(self, part: OpenStruct, path: str) -> None:
        """Raise `Untranslatable` where ``part``, which stands at the path ``path``, holds what is refused."""
        for field, refused in self._fields.get(type(part), ()):
            value = getattr(part, field)
            if not is_empty(value) and value not in refused.accepted:
                raise Untranslatable(join_path(path, wire_name(field)), refused.reason)

    def refuse(self, part: OpenStruct, path: str) -> Untranslatable:
        """Make the error for a part that is refused as a whole."""
        return Untranslatable(path, self._models[type(part)])


_EMPTY_JSON: Final = frozenset({b"null", b"false", b"[]", b"{}"})


def is_empty(value: object) -> bool:
    """Tell if a field's value is the same as leaving the field out: absent, null, false or empty."""
    if isinstance(value, Raw):
        return bytes(value) in _EMPTY_JSON
    return value is UNSET or value is None or value is False or value in ([], {})


def unset_if_null(value: T | UnsetType | None) -> T | UnsetType:
    """Read a field of a request in which null is the same as absent."""
    return UNSET if value is None else value


def wire_name(field: str) -> str:
    """Give the name that a field has on the wire: that of Python, less the underscore after a keyword."""
    return field.removesuffix("_")


def join_path(path: str, field: str | int) -> str:
    """Extend a path by a key or an index."""
    return f"{path}.{field}" if path else str(field)


def group_by_model(rules: Iterable[Rule]) -> Mapping[type[OpenStruct], Mapping[str | None, Action]]:
    """Sort rules by model and field; the docs and the completeness test read them so."""
    table: dict[type[OpenStruct], dict[str | None, Action]] = {}
    for rule in rules:
        table.setdefault(rule.model, {})[rule.field] = rule.action
    return table
