"""A bucket that refuses, hangs, is overloaded, or gives other bytes than it was given: what is said, and what is left."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchgate.blobs import bucket, open_blobs
from batchgate.blobs.bucket import BucketBlobs
from batchgate.engine.errors import BlobError
from tests.support.bodies import Bodies
from tests.support.faulty_store import Fault, FaultyStore, cut, denied, hanging, only, overloaded, passed_on
from tests.support.leftovers import check_nothing_is_left
from tests.support.object_server import SECRET, ObjectServer
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app
from tests.support.uploads import OPENAI, PURPOSE_FIELD, file_part, upload

MB = 1024 * 1024
PARTS = [bytes([number]) * 5 * MB for number in range(8)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that hangs be given up after a moment instead of most of a minute."""
    monkeypatch.setattr(bucket, "CLIENT", bucket.CLIENT | {"timeout": "500ms"})
