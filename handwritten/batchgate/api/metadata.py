"""The metadata of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw, Struct, UnsetType

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, DocumentFault, describe_validation_error
from batchgate.engine.model.errors import RefusedError
from batchgate_api.openai import BatchMetadata, BatchMetadataAdditionalProperty

MAX_KEY: Final = 64
"""Maximum characters of a key."""
_ANY_KEY: Final = "metadata.*"
"""The path of a wrong value in the errors of msgspec, which do not name the key."""


class _Metadata(Struct):
    metadata: dict[str, Raw]


_METADATA: Final = msgspec.json.Decoder(_Metadata)
_VALUE: Final[msgspec.json.Decoder[str]] = msgspec.json.Decoder(BatchMetadataAdditionalProperty)


def metadata_view(batch: Batch) -> dict[str, str] | None:
    """Return the metadata of a batch; None if the caller gave none."""
    return None if batch.options.metadata is None else dict(batch.options.metadata)


def checked_metadata(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Check the length of the keys, which the generated models do not."""
    for key in metadata or ():
        if len(key) > MAX_KEY:
            message = f"metadata: a key may have at most {MAX_KEY} characters, and {key!r} has {len(key)}"
            raise RefusedError("invalid_request_error", message, param="metadata")
    return metadata


def metadata_of_form(name: str, form: str | UnsetType) -> Mapping[str, str] | None:
    """Return the pairs of a parameter that is a URL-encoded form; None if it is not given. Raises `RefusedError`."""
    if isinstance(form, UnsetType):
        return None
    try:
        pairs = parse_qsl(form, keep_blank_values=True, strict_parsing=True, errors="strict")
        metadata = checked_metadata(msgspec.convert(dict(pairs), BatchMetadata))
    except ValueError as error:  # those of msgspec are among them
        message = f"{name}: it must be a URL-encoded form such as team=search&run=7 ({error})"
        raise RefusedError("invalid_request_error", message, param=name) from error
    if len(pairs) > len(metadata or ()):
        raise RefusedError("invalid_request_error", f"{name}: a key may be given only once", param=name)
    if any("\0" in text for pair in pairs for text in pair):
        raise RefusedError("invalid_request_error", f"{name}: it must not contain NUL characters", param=name)
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
