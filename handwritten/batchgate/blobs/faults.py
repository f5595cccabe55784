"""Says what is wrong with storage, without the folders of this machine, URLs, or what else a store's answer quotes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import BaseError

from batchgate.engine.model.errors import BlobError

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3}(?: [A-Za-z-]+)*)")
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_URL: Final = re.compile(r"\w+://\S+")
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_METADATA_SERVERS: Final = ("/latest/api/token", "/latest/meta-data/", "169.254.", "/computeMetadata/", "token request")
"""What is asked for credentials when the environment has none."""


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise what obstore and the operating system raise as a `BlobError` about a blob."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise BlobError(f"{name}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Say what is wrong as the operating system does, or as the store's answer means."""
    text = str(error)
    if any(mark in text for mark in _METADATA_SERVERS):
        return "there are no credentials for the store: none in the environment, and no metadata server gave any"
    if any(mark in text for mark in _NO_BUCKET):
        return "there is no such bucket or container"
    if isinstance(error, FileNotFoundError):
        return os.strerror(errno.ENOENT)
    if isinstance(error, TimeoutError):
        return "the store did not answer in time"
    number = getattr(error, "errno", None) or next(iter(_OS_ERROR.findall(text)), None)
    return os.strerror(int(number)) if number else _of_a_store(text)


def _of_a_store(text: str) -> str:
    """Say what a store has answered, if it has."""
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        said = f"{status[1]} ({code[1]})" if code else status[1]
        refused = "access denied: " if status[1][:3] in {"401", "403"} else ""
        return f"{refused}the store answered {said}"
    if "kind: Timeout" in text or "TimedOut" in text:
        return "the store did not answer in time"
    if "kind: Connect" in text:
        return "the store cannot be reached"
    if "HTTP error" in text:  # of a writer, no more is told
        return "the store cannot be reached, or did not answer in time"
    return _URL.sub("the store", text.partition("\n")[0])
