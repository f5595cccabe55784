"""A transport for the SDKs of OpenAI and Anthropic that sends their single calls as batches.

::

    from batchgate_streams.batching import BatchTransport

    transport = BatchTransport("http://127.0.0.1:8080", api_key="any")
    client = AsyncOpenAI(api_key="unused", http_client=httpx2.AsyncClient(transport=transport))

Inside: `single_calls` reads what the SDK sends, `gathering` makes batches of it, `batch_run` creates one and follows
it, `replies` makes the SDK's response of a result, and `loop_thread` is where all of this runs.
"""

from batchgate_streams.batching.transport import BatchTransport

__all__ = ["BatchTransport"]
