"""The operator chooses every server that the gateway connects to, but for the URLs of webhooks, which callers give.

A module that opens connections and is not listed here fails this test. One that follows a caller's URL has to refuse
redirects, and private, loopback, link-local and metadata addresses, when the connection is made.
"""

import re
from pathlib import Path

import batchgate

PACKAGE = Path(batchgate.__file__).parent
CONNECTING = re.compile(
    r"ClientSession|start_connection|create_connection|open_connection|urlopen|import socket\b|http\.client"
    r"|obstore\.store\.from_url|OTLPSpanExporter"
)
CHECKED_ADDRESSES = {"providers/transport/public_addresses.py"}
"""The module that connects to the URLs of callers, and only to public addresses."""
CHOSEN_BY_THE_OPERATOR = {
    "blobs/location.py": "blob_url",
    "cli/gateway_client.py": "the command line's --url",
    "providers/batches/http_exchange.py": "an account's base_url, and what it redirects a download to",
    "providers/batches/job_bucket.py": "an account's batch_url",
    "providers/transport/http_client.py": "an account's base_url",
    "providers/transport/proxy_transport.py": "an account's base_url",
    "telemetry/spans.py": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""The modules that open connections, and the setting that names the server."""


def test_only_modules_whose_server_is_chosen_by_the_operator_or_checked_open_connections() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if CONNECTING.search(path.read_text())}
    assert found == CHOSEN_BY_THE_OPERATOR.keys() | CHECKED_ADDRESSES
