"""Links in answers are fetched over HTTPS from public addresses only, without redirects."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.providers.transport.public_addresses import is_public
from batchgate.providers.transport.public_downloads import PublicDownloads
from tests.support.certificates import CertificateAuthority
from tests.support.secure_files import secure_server


def get(url: str) -> UpstreamRequest:
    return UpstreamRequest(url=url, headers={}, body=b"", timeout=5.0, method="GET")


async def unwanted(_data: bytes) -> None:
    pytest.fail("content arrived")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "ff02::1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::7f00:1", "::7f00:1", "fec0::1"),
        *("127.1", "2130706433", "localhost", ""),
    ],
)
def test_all_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/video",
        "https://127.0.0.1/video",
        "https://127.1/video",
        "https://2130706433/video",
        "https://[::1]/video",
        "https://[::ffff:127.0.0.1]/video",
        "https://127\u30020\u30020\u30021/video",  # ideographic full stops
        "https://\u246b7.0.0.1/video",  # a circled twelve
        "https://user:secret@93.184.216.34/video",
        "https:///video",
        "https://[/video",
        "file:///etc/passwd",
    ],
)
async def test_a_link_to_anything_else_is_refused_before_a_connection(url: str) -> None:
    async with PublicDownloads() as downloads:
        with pytest.raises(NoUpstreamAnswer, match="not an https URL of a public address"):
            await downloads.receive(get(url), unwanted)


@pytest.mark.parametrize("name", ["localhost", "0x7f000001"])
async def test_a_name_of_this_machine_is_not_connected_to(tmp_path: Path, name: str) -> None:
    async with secure_server(CertificateAuthority(tmp_path).server_context()) as url, PublicDownloads() as downloads:
        with pytest.raises(NoUpstreamAnswer):
            await downloads.receive(get(url.replace("127.0.0.1", name)), unwanted)


async def test_content_is_passed_on_in_pieces_and_no_redirect_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    pieces: list[bytes] = []

    async def keep(data: bytes) -> None:
        pieces.append(data)

    open_downloads = PublicDownloads(is_allowed=lambda _: True)
    async with secure_server(authority.server_context()) as url, open_downloads as downloads:
        response = await downloads.receive(get(f"{url}/video"), keep)
        assert (response.status, response.headers["content-type"], response.body) == (200, "video/mp4", b"")
        assert b"".join(pieces) == b"v" * 200_000
        moved = await downloads.receive(get(f"{url}/moved"), unwanted)
        assert moved.status == 302
