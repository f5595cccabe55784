"""The public URL comes from the settings, from a trusted proxy's headers, or from the request's Host header."""

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from batchgate.api.context import MOUNT
from batchgate.api.public_url import PublicUrl
from batchgate.engine.model.errors import RefusedError

PROXY = "10.1.2.3"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PATH = "/v1/messages/batches/x/results"


def request_from(peer: str, *headers: tuple[str, str], host: str = "inside:8080", mount: str = "") -> web.Request:
    """Make a request from a peer address."""
    all_headers = CIMultiDict([("Host", host), *headers])
    request = make_mocked_request("GET", PATH, headers=all_headers).clone(remote=peer)
    request[MOUNT] = mount
    return request


def url(request: web.Request, configured: str | None = None) -> str:
    """Return the public URL of the path, without the path."""
    return PublicUrl(configured, TRUSTED).absolute(request, PATH).removesuffix(PATH)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], "http://inside:8080", id="nothing"),
        pytest.param([("X-Forwarded-Proto", "https")], "https://inside:8080", id="scheme"),
        pytest.param([("X-Forwarded-Host", "api.example")], "http://api.example", id="host"),
        pytest.param([("X-Forwarded-Host", "api.example:8443")], "http://api.example:8443", id="host and port"),
        pytest.param([("X-Forwarded-Host", "a.example, b.example")], "http://a.example", id="two proxies"),
        pytest.param([("X-Forwarded-Host", "[2001:db8::1]:8443")], "http://[2001:db8::1]:8443", id="IPv6"),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/llm/")],
            "https://api.example/llm",
            id="prefix",
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Prefix", "/")], "http://api.example", id="no prefix"
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Port", "8443"), ("X-Forwarded-Proto", "https")],
            "https://api.example:8443",
            id="port",
        ),
        pytest.param(
            [("X-Forwarded-Host", "[2001:db8::1]"), ("X-Forwarded-Port", "8443")],
            "http://[2001:db8::1]:8443",
            id="port of an IPv6 address",
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example:9000"), ("X-Forwarded-Port", "8443")],
            "http://api.example:9000",
            id="port in the host wins",
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Port", "443"), ("X-Forwarded-Proto", "https")],
            "https://api.example",
            id="port of the scheme",
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Port", "80")], "http://api.example", id="port of http"
        ),
        pytest.param(
            [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Port", "eighty")], "http://api.example", id="no port"
        ),
        pytest.param([("X-Forwarded-Port", "443")], "http://inside:8080", id="port alone"),
        pytest.param([("Forwarded", "for=1.2.3.4;host=api.example;proto=https")], "https://api.example", id="standard"),
        pytest.param(
            [("Forwarded", 'Host="api.example:8443";Proto=https')], "https://api.example:8443", id="standard, quoted"
        ),
        pytest.param(
            [("Forwarded", "host=a.example;proto=https, host=b.example")], "https://a.example", id="standard, two"
        ),
        pytest.param(
            [("Forwarded", "host=a.example"), ("X-Forwarded-Host", "b.example"), ("X-Forwarded-Proto", "https")],
            "https://a.example",
            id="standard first, the older for the rest",
        ),
        pytest.param([("Forwarded", "nonsense;;==")], "http://inside:8080", id="standard, malformed"),
    ],
)
@pytest.mark.parametrize("peer", [PROXY, "fd00::1"])
def test_forwarded_headers_of_a_trusted_proxy_determine_the_url(
    headers: list[tuple[str, str]], expected: str, peer: str
) -> None:
    assert url(request_from(peer, *headers)) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "11.0.0.1", "2001:db8::1", "", "unix:"])
@pytest.mark.parametrize("header", [("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example")])
def test_forwarded_headers_of_untrusted_peers_are_ignored(peer: str, header: tuple[str, str]) -> None:
    request = request_from(peer, header, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/evil"))
    assert url(request) == "http://inside:8080"


@pytest.mark.parametrize(
    "header",
    [
        ("X-Forwarded-Host", "user@evil.example"),
        ("X-Forwarded-Host", "a.example/path"),
        ("X-Forwarded-Host", 'a.example"'),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "a.example:port"),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Prefix", "relative"),
        ("X-Forwarded-Prefix", "/{id}"),
        ("X-Forwarded-Prefix", "/a/../b"),
        ("X-Forwarded-Prefix", "/."),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/a?b"),
        ("Forwarded", 'host="a.example#"'),
    ],
    ids=" ".join,
)
def test_invalid_forwarded_values_of_a_trusted_proxy_are_ignored(header: tuple[str, str]) -> None:
    assert url(request_from(PROXY, header)) == "http://inside:8080"


@pytest.mark.parametrize(
    "host",
    ["inside", "inside:1", "my_container:8080", "10.0.0.1:8080", "[::1]:8080", "[2001:db8::1]", "a.b-c.example."],
)
def test_the_url_keeps_the_host_and_port_of_the_request(host: str) -> None:
    assert url(request_from("192.0.2.1", host=host)) == f"http://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a/b",
        "user@host",
        "a.example:",
        "a.example:x",
        "a,b",
        "{id}",
        "a?b",
        "a#b",
        "[::1",
        "%61",
        "a\\b",
        "ä",
        "'",
    ],
)
def test_an_invalid_host_is_refused(host: str) -> None:
    with pytest.raises(RefusedError, match=r"^Host: it must be a name or an address") as refused:
        url(request_from("192.0.2.1", host=host))
    assert refused.value.kind == "invalid_request_error"


@pytest.mark.parametrize("configured", ["https://api.example", "https://api.example/", "https://api.example:8443/llm/"])
@pytest.mark.parametrize("host", ["inside:8080", "no host/"])
def test_a_configured_url_overrides_the_request(configured: str, host: str) -> None:
    request = request_from(PROXY, ("X-Forwarded-Host", "other.example"), host=host)
    assert url(request, configured) == configured.rstrip("/")


@pytest.mark.parametrize("mount", ["", "/anthropic", "/v1", "/anthropic/v1"])
@pytest.mark.parametrize("configured", [None, "https://api.example/llm"])
def test_the_url_keeps_the_mount_of_the_request(mount: str, configured: str | None) -> None:
    forwarded = [("X-Forwarded-Host", "api.example"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/llm")]
    assert url(request_from(PROXY, *forwarded, mount=mount), configured) == f"https://api.example/llm{mount}"
