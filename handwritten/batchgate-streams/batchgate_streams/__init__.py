"""Adds to the generated client of Batchgate: streamed bodies and events, waiting, and runs over rows; sync and async.

::

    from batchgate_client import AuthenticatedClient
    from batchgate_streams import stream_results, upload_file, wait

    with AuthenticatedClient(base_url="http://127.0.0.1:8080", token="any") as client:
        file = upload_file(client, Path("requests.jsonl"), provider="openai")

Call every other operation with the generated client. The functions here take the same client object;
`batchgate_streams.aio` has them for async code. `batchgate_streams.errors` shows the tree of errors.
`batchgate_streams.batching` sends the single calls of the SDKs of OpenAI and Anthropic as batches.
"""

from batchgate_streams.display import failure_lines, on_terminal, progress_line
from batchgate_streams.errors import (
    ConnectionFailed,
    CutShort,
    GatewayRefused,
    Refusal,
    SourceChanged,
    StreamsError,
    UnusableAnswer,
    UnusableRow,
    WaitTimedOut,
)
from batchgate_streams.event_stream import ActionEvent, BatchEvent, ProgressEvent, StatusEvent
from batchgate_streams.rows import Row
from batchgate_streams.sync import (
    download_file,
    download_results,
    run,
    stream_events,
    stream_results,
    upload_file,
    wait,
)

__all__ = [
    "ActionEvent",
    "BatchEvent",
    "ConnectionFailed",
    "CutShort",
    "GatewayRefused",
    "ProgressEvent",
    "Refusal",
    "Row",
    "SourceChanged",
    "StatusEvent",
    "StreamsError",
    "UnusableAnswer",
    "UnusableRow",
    "WaitTimedOut",
    "download_file",
    "download_results",
    "failure_lines",
    "on_terminal",
    "progress_line",
    "run",
    "stream_events",
    "stream_results",
    "upload_file",
    "wait",
]
