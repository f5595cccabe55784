"""The metadata of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, DocumentFault, describe_validation_error
from batchgate.engine.model.errors import RefusedError
from batchgate_api.openai import BatchMetadataAdditionalProperty

MAX_KEY: Final = 64
"""Maximum characters of a key."""
_ANY_KEY: Final = "metadata.*"
"""The path of a wrong value in the errors of msgspec, which do not name the key."""


class _Metadata(Struct):
    metadata: dict[str, Raw]


_METADATA: Final = msgspec.json.Decoder(_Metadata)
_VALUE: Final[msgspec.json.Decoder[str]] = msgspec.json.Decoder(BatchMetadataAdditionalProperty)


def checked_metadata(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Check the length of the keys, which the generated models do not."""
    for key in metadata or ():
        if len(key) > MAX_KEY:
            message = f"metadata: a key may have at most {MAX_KEY} characters, and {key!r} has {len(key)}"
            raise RefusedError("invalid_request_error", message, param="metadata")
    return metadata


def with_metadata_key(problem: DocumentFault, body: bytes) -> DocumentFault:
    """Return a fault of a body with the key of the metadata that it concerns; other faults are returned unchanged.

    So is that of a body that is invalid JSON after the metadata: the fault was found before its end was read.
    """
    if problem.path != _ANY_KEY:
        return problem
    try:
        metadata = _METADATA.decode(body).metadata
    except DECODING_ERRORS:
        return problem
    for key, value in metadata.items():
        try:
            _VALUE.decode(value)
        except msgspec.ValidationError as error:
            shown = key if len(key) <= MAX_KEY else f"{key[:MAX_KEY]}…"
            return describe_validation_error(error).with_prefix(f"metadata.{shown}")
    return problem
