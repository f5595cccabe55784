"""Makes the schema of a tool's input from the parameters of a function in Chat Completions."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError

_NO_PARAMETERS: Final = Raw(b'{"type":"object","properties":{}}')
"""The schema of a function without parameters; providers with an input schema require one."""
_OBJECT: Final = {"type": Raw(b'"object"')}
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def object_schema(parameters: Raw | UnsetType, path: str) -> Raw:
    """Return the schema with a type: Anthropic rejects one without, which other servers read as that of an object."""
    if isinstance(parameters, UnsetType) or bytes(parameters) == b"null":
        return _NO_PARAMETERS
    try:
        fields = _FIELDS.decode(parameters)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error
    return parameters if "type" in fields else Raw(msgspec.json.encode(_OBJECT | fields))
