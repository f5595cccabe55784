"""Where the gateway goes by itself is chosen by its operator: nothing in a request makes it fetch a URL.

So there is no list of addresses that a URL of a caller may not have. Who adds something that follows one, such as a
webhook, meets this test, and has to refuse redirects, and private, loopback, link-local and metadata addresses as the
connection is made.
"""

import re
from pathlib import Path

import batchgate

PACKAGE = Path(batchgate.__file__).parent
WAYS = re.compile(
    r"ClientSession|start_connection|create_connection|open_connection|urlopen|import socket\b|http\.client"
    r"|obstore\.store\.from_url|OTLPSpanExporter"
)
CHOSEN_BY_THE_OPERATOR = {
    "blobs/location.py": "blob_url",
    "cli/gateway_client.py": "the command line's --url",
    "providers/transport/http_client.py": "an account's base_url",
    "providers/transport/proxy_transport.py": "an account's base_url",
    "telemetry/spans.py": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""The modules that open connections to URLs, and what says where to."""


def test_connections_are_opened_only_to_where_the_operator_says() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if WAYS.search(path.read_text())}
    assert found == CHOSEN_BY_THE_OPERATOR.keys()
