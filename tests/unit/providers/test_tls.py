"""All clients of providers always verify their certificates, and no setting turns that off."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

import batchgate
from batchgate.blobs import open_blobs
from batchgate.engine.model.errors import ConfigurationError, UpstreamUnreachable
from batchgate.engine.model.provider_call import Account
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from tests.support.certificates import CertificateAuthority, self_signed_context
from tests.unit.providers.transports import KEY, Kind, Opened, call, failure


@asynccontextmanager
async def secure_provider(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve over TLS; gives the host and the keys that came."""
    keys: list[str] = []

    async def serve(request: web.BaseRequest) -> web.Response:
        keys.append(request.headers["x-api-key"])
        return web.Response(text="trusted")

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}", keys
    finally:
        await runner.cleanup()


def unknown(folder: Path) -> ssl.SSLContext:
    return CertificateAuthority(folder).server_context()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(self_signed_context, "self-signed certificate", id="self-signed"),
        pytest.param(unknown, "unable to get local issuer certificate", id="unknown authority"),
    ],
)
async def test_a_server_that_nobody_vouches_for_is_refused_before_the_key_is_sent(
    tmp_path: Path, transport: Opened, made: Callable[[Path], ssl.SSLContext], words: str
) -> None:
    async with secure_provider(made(tmp_path)) as (host, keys):
        error = await failure(transport, call(f"https://{host}/v1"))
    assert isinstance(error, UpstreamUnreachable)
    trusts = "set SSL_CERT_FILE to trust a private CA"
    assert error.message == f"cannot connect to {host}: its certificate is not trusted ({words}); {trusts}"
    assert not keys


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertificateAuthority:
    """Make an authority that is trusted, as a company's own may be."""
    made = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate_file))
    return made


async def test_an_authority_of_ones_own_is_trusted_by_the_environment(
    authority: CertificateAuthority, kind: Kind
) -> None:
    async with secure_provider(authority.server_context()) as (host, keys), kind() as transport:
        answer = await transport.send(call(f"https://{host}/v1"))
    assert (answer.body, keys) == (b"trusted", [KEY])


async def test_the_client_of_batch_apis_trusts_the_same_authorities(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    account = Account(name="acc", provider="openai", base_url="", api_key=KEY, timeout=20.0)

    def call_of(host: str) -> HttpCall:
        return HttpCall(url=f"https://{host}/v1", headers={"x-api-key": KEY})

    async with HttpExchange() as exchange:
        async with secure_provider(authority.server_context()) as (host, keys):
            assert (await exchange.send(account, call_of(host))).body == b"trusted"
        async with secure_provider(self_signed_context(tmp_path)) as (host, keys_of_other):
            with pytest.raises(UpstreamUnreachable, match="its certificate is not trusted"):
                await exchange.send(account, call_of(host))
    assert (keys, keys_of_other) == ([KEY], [])


async def test_a_certificate_that_has_expired_is_refused_though_its_authority_is_trusted(
    authority: CertificateAuthority, kind: Kind
) -> None:
    async with secure_provider(authority.server_context(expired=True)) as (host, keys), kind() as transport:
        error = await failure(transport, call(f"https://{host}/v1"))
    assert error.message.endswith("its certificate is not trusted (certificate has expired)")
    assert not keys


async def test_a_certificate_for_another_address_is_refused_though_its_authority_is_trusted(
    authority: CertificateAuthority, kind: Kind
) -> None:
    async with secure_provider(authority.server_context("192.0.2.1")) as (host, keys), kind() as transport:
        error = await failure(transport, call(f"https://{host}/v1"))
    assert "its certificate is not trusted (IP address mismatch" in error.message
    assert not keys


@pytest.mark.parametrize("name", ["allow_invalid_certificates", "aws_allow_invalid_certificates"])
def test_the_store_of_bodies_is_believed_by_its_certificate_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="certificate is always verified") as caught:
        open_blobs("s3://bucket", tmp_path, {name: True}, {})
    assert caught.value.setting == f"storage_options.{name}"


def test_nothing_in_the_code_turns_the_verification_off() -> None:
    ways = re.compile(r"CERT_NONE|CERT_OPTIONAL|check_hostname|_unverified|ssl=False|verify_ssl|fingerprint=ssl")
    package = Path(batchgate.__file__).parent
    assert not [str(path) for path in package.rglob("*.py") if ways.search(path.read_text())]
