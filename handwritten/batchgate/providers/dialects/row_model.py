"""Reads the model of a request, and adds the default model to a request without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import (
    DECODING_ERRORS,
    FIELD_REQUIRED,
    DocumentFault,
    describe_decoding_error,
)
from batchgate.engine.model.errors import RequestError


class _Peek(Struct):
    model: str | UnsetType = UNSET


_PEEK: Final = msgspec.json.Decoder(_Peek)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def resolve_model(params: bytes, default_model: str | None, *, path: str = "") -> tuple[bytes, str]:
    """Return params and their model; params without a model get the default as their first field.

    The rest stays byte for byte. Raises `RequestError` with the path of the field; ``path`` is the path of the params.
    """
    try:
        model = _PEEK.decode(params).model
    except DECODING_ERRORS as error:
        raise _invalid(describe_decoding_error(error), path) from error
    if model is not UNSET:
        return params, model
    if default_model is None:
        raise _invalid(DocumentFault("model", FIELD_REQUIRED), path)
    return _insert_model(params, default_model), default_model


def change_model(line: bytes, params: bytes, change: Callable[[str], str]) -> bytes:
    """Return a stored input line, which ends with ``params``, with the model that ``change`` returns for theirs.

    The other fields stay byte for byte. A model that is no text counts as empty; params that cannot be read, or name no
    model, stay as they are.
    """
    try:
        fields = _FIELDS.decode(params)
        if "model" not in fields:
            return line
        named = msgspec.json.decode(fields["model"])
    except DECODING_ERRORS:
        return line
    model = named if isinstance(named, str) else ""
    changed = change(model)
    if changed == model:
        return line
    fields["model"] = Raw(msgspec.json.encode(changed))
    return b"%s%s}\n" % (line[: -len(params) - len(b"}\n")], msgspec.json.encode(fields))


def _insert_model(params: bytes, model: str) -> bytes:
    rest = params[params.index(b"{") + 1 :]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'{"model":%s%s%s' % (msgspec.json.encode(model), comma, rest)


def _invalid(problem: DocumentFault, path: str) -> RequestError:
    return RequestError("invalid_request_error", str(problem.with_prefix(path) if path else problem))
