"""Translates storage errors to `BlobError`, without local paths, URLs, or other text that a store's response quotes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import BaseError

from batchgate.engine.model.errors import BlobError, blob_read_error

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3}(?: [A-Za-z-]+)*)")
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_URL: Final = re.compile(r"\w+://\S+")
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_METADATA_SERVERS: Final = ("/latest/api/token", "/latest/meta-data/", "169.254.", "/computeMetadata/", "token request")
"""Marks of requests for credentials, which obstore sends to metadata servers if the environment has none."""


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise errors of obstore and of the operating system as a `BlobError` about a blob."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise BlobError(f"{name}: {describe_error(error)}") from error


@contextmanager
def translate_read_errors(name: str) -> Iterator[None]:
    """Raise errors of reading a blob as `translate_errors` does; for a missing or unreadable one, as `DamagedBlob`."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError) and not _is_bucket_missing(str(error))
        number = errno.ENOENT if missing else _error_number(error)
        raise blob_read_error(f"{name}: {describe_error(error)}", number) from error


def describe_error(error: BaseException) -> str:
    """Return a short description of a storage error: the operating system's text, or the meaning of the response."""
    text = str(error)
    if any(mark in text for mark in _METADATA_SERVERS):
        return "there are no credentials for the store: neither in the environment nor from a metadata server"
    if _is_bucket_missing(text):
        return "there is no such bucket or container"
    if isinstance(error, FileNotFoundError):
        return os.strerror(errno.ENOENT)
    if isinstance(error, TimeoutError):
        return "the store did not answer in time"
    number = _error_number(error)
    return os.strerror(number) if number else _describe_response(text)


def _is_bucket_missing(text: str) -> bool:
    return any(mark in text for mark in _NO_BUCKET)


def _error_number(error: BaseException) -> int | None:
    number = getattr(error, "errno", None) or next(iter(_OS_ERROR.findall(str(error))), None)
    return int(number) if number else None


def _describe_response(text: str) -> str:
    """Describe the response of a store, or why there was none."""
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        response = f"{status[1]} ({code[1]})" if code else status[1]
        denied = "access denied: " if status[1][:3] in {"401", "403"} else ""
        return f"{denied}the store answered {response}"
    if "kind: Timeout" in text or "TimedOut" in text:
        return "the store did not answer in time"
    if "kind: Connect" in text:
        return "the store cannot be reached"
    if "HTTP error" in text:  # for writers, obstore reports no more
        return "the store cannot be reached, or did not answer in time"
    return _URL.sub("the store", text.partition("\n")[0])
