"""An installation of gateway and worker processes on one PostgreSQL server, in which processes can be killed."""

from __future__ import annotations

import random
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchControls, BatchProgress
from tests.support.gateway_process import GatewayProcess, WorkerProcess
from tests.support.postgres_server import PostgresServer, dedicated_server

BATCHES: Final = "/anthropic/v1/messages/batches"
CALL_TIMEOUT: Final = 60.0  # seconds within which a gateway must respond to a call
RETRY_INTERVAL: Final = 0.1


class Fleet:
    """Runs while the context is entered. A call goes to any gateway that responds, as behind a load balancer."""

    def __init__(
        self, folder: Path, settings: str, chance: random.Random, *, gateways: int = 2, workers: int = 3
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._random = chance
        self._process_counts = (gateways, workers)
        self._cleanup = ExitStack()
        self.database: PostgresServer
        self.gateways: list[GatewayProcess] = []
        self.workers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        """Start the database, then the gateways, then the workers."""
        try:
            self.database = self._cleanup.enter_context(dedicated_server())
            gateways, workers = self._process_counts
            self.gateways = [self._start_gateway() for _ in range(gateways)]
            self.workers = [self._start_worker() for _ in range(workers)]
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all processes."""
        self._cleanup.__exit__(kind, error, trace)

    def kill_worker(self) -> None:
        """Kill a random worker, as a crash does, and start another in its place."""
        index = self._random.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index] = self._start_worker()

    def kill_gateway(self) -> None:
        """Kill a random gateway, and start another in its place."""
        index = self._random.randrange(len(self.gateways))
        self.gateways[index].kill()
        self.gateways[index] = self._start_gateway()

    def kill_database(self) -> None:
        """Kill the database server with all its processes, and start it again."""
        self.database.kill()
        self.database.start()

    def create(self, requests: list[dict[str, object]], key: str) -> MessageBatch:
        """Create a batch, as an SDK does that retries with the same key until it receives a response."""
        body = msgspec.json.encode({"requests": requests})
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return msgspec.json.decode(self._call(BATCHES, body, headers), type=MessageBatch)

    def retrieve(self, batch_id: str) -> MessageBatch:
        """Read a batch."""
        return msgspec.json.decode(self._call(f"{BATCHES}/{batch_id}"), type=MessageBatch)

    def progress(self, batch_id: str) -> BatchProgress:
        """Read the progress of a batch."""
        return msgspec.json.decode(self._call(f"/api/batches/{batch_id}/progress"), type=BatchProgress)

    def control(self, action: str, batch_id: str) -> BatchControls:
        """Pause or resume a batch."""
        return msgspec.json.decode(self._call(f"/api/batches/{batch_id}/{action}", b""), type=BatchControls)

    def results(self, batch_id: str) -> list[bytes]:
        """Download the result lines of a batch."""
        return self._call(f"{BATCHES}/{batch_id}/results").splitlines()

    def ended(self, batch_id: str, within: float) -> MessageBatch:
        """Poll a batch until it has ended."""
        deadline = time.monotonic() + within
        while (batch := self.retrieve(batch_id)).processing_status != "ended":
            assert time.monotonic() < deadline, (batch, self.progress(batch_id))
            time.sleep(RETRY_INTERVAL)
        return batch

    def _call(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        """Call random gateways until one responds; raise a client error (4xx) at once."""
        deadline = time.monotonic() + CALL_TIMEOUT
        while True:
            url = self._random.choice(self.gateways).url
            try:
                request = urllib.request.Request(url + path, data=body, headers=headers or {})
                with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as response:
                    return bytes(response.read())
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > deadline:
                    error.add_note(error.read().decode(errors="replace"))
                    raise
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_INTERVAL)

    def _start_gateway(self) -> GatewayProcess:
        settings, options = self._settings_with_database(), ("--no-worker",)
        process = GatewayProcess(data_dir=self._folder / "shared", settings=settings, options=options)
        return self._cleanup.enter_context(process)

    def _start_worker(self) -> WorkerProcess:
        process = WorkerProcess(data_dir=self._folder / "shared", settings=self._settings_with_database())
        return self._cleanup.enter_context(process)

    def _settings_with_database(self) -> str:
        blobs = (self._folder / "blobs").as_uri()
        return f'database_url = "{self.database.url()}"\nblob_url = "{blobs}"\n{self._settings}'
