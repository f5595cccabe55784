"""Access tokens for service accounts: how they are signed, asked for, kept, renewed, and never shown."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from urllib.parse import parse_qs

import google.auth.crypt
import google.auth.jwt
import pytest

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import ConfigurationError, NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.google.access_tokens import MARGIN, AccessTokens
from batchgate.providers.google.service_accounts import SCOPE, read_service_account, signed_assertion
from batchgate.providers.handlers.vertex import VertexHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from tests.support.service_accounts import EMAIL, private_key, public_key, service_account
from tests.unit.providers.calls import account, response

URI = "https://oauth2.googleapis.com/token"
SETTING = "accounts.vertex.api_key"
NOW = 1_795_000_000.0


class TokenEndpoint:
    """The token endpoint: it gives tokens with numbers, or what a test wants."""

    def __init__(self, *answers: UpstreamResponse | Exception) -> None:
        self.requests: list[UpstreamRequest] = []
        self._answers = [*answers]

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Answer a call."""
        self.requests.append(request)
        if not self._answers:
            return response({"access_token": f"token-{len(self.requests)}", "expires_in": 3599, "token_type": "Bearer"})
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    """A clock that the test sets, in Unix seconds."""

    time = NOW

    def now(self) -> float:
        """Return the time."""
        return self.time


def tokens(
    endpoint: TokenEndpoint, keys: Sequence[str] = (), clock: Clock | None = None, own_host: str = ""
) -> AccessTokens:
    """Make the tokens of an account whose key is read anew each time; the last of ``keys`` stays."""
    left = [*(keys or [service_account(URI)])]

    async def read() -> str:
        return left.pop(0) if len(left) > 1 else left[0]

    return AccessTokens(read, endpoint, setting=SETTING, own_host=own_host, now=(clock or Clock()).now)


def assertion_of(request: UpstreamRequest) -> str:
    (assertion,) = parse_qs(request.body.decode())["assertion"]
    return assertion


# ---------------------------------------------------------------- signatures


def test_an_assertion_is_signed_and_says_what_google_auth_expects() -> None:
    now = time.time()
    account = read_service_account(service_account(URI), SETTING)
    assert account is not None
    signed = signed_assertion(account, SETTING, now)

    claims = google.auth.jwt.decode(signed, certs=public_key(), audience=URI)

    expected = {"iss": EMAIL, "scope": SCOPE, "aud": URI, "iat": int(now), "exp": int(now) + 3600}
    assert claims == expected
    signer = google.auth.crypt.RSASigner.from_string(private_key(), "id-of-one")
    theirs = google.auth.jwt.encode(signer, expected)
    assert google.auth.jwt.decode_header(signed) == google.auth.jwt.decode_header(theirs)
    text, _, signature = signed.rpartition(".")
    assert urlsafe_b64decode(signature + "==") == signer.sign(text)


@pytest.mark.parametrize(
    "key",
    [
        '{"type":"authorized_user","refresh_token":"secret-1234"}',
        '{"type":"service_account","client_email":"secret-1234"}',
        '{"secret-1234',
    ],
)
async def test_a_key_that_is_no_service_account_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the JSON of a service account's key") as refused:
        await tokens(TokenEndpoint(), [key]).read()
    assert "secret-1234" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "content",
    ["secret-1234", "MBQCAQAwCgYIKwYBBQUHMAEEAwQBAA=="],  # the second is a key of a type that is not known
)
async def test_a_private_key_that_is_none_is_refused_without_being_quoted(content: str) -> None:
    key = service_account(URI, private_key=f"-----BEGIN PRIVATE KEY-----\n{content}\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigurationError, match="its private_key is no RSA key") as refused:
        await tokens(TokenEndpoint(), [key]).read()
    assert content not in str(refused.value)


async def test_without_the_package_cryptography_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith("cryptography"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'batchgate[secrets]'")):
        await tokens(TokenEndpoint()).read()


# ---------------------------------------------------------------- tokens


async def test_a_token_is_asked_for_with_a_form() -> None:
    endpoint = TokenEndpoint()
    assert await tokens(endpoint).read() == "token-1"
    (request,) = endpoint.requests
    assert request.url == URI
    assert request.headers == {"content-type": "application/x-www-form-urlencoded"}
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert len(form["assertion"]) == 1


async def test_a_key_that_is_no_json_is_an_access_token_itself() -> None:
    endpoint = TokenEndpoint()
    assert await tokens(endpoint, ["ya29.own"]).read() == "ya29.own"
    assert endpoint.requests == []


async def test_a_token_is_used_until_shortly_before_its_end() -> None:
    endpoint, clock = TokenEndpoint(), Clock()
    source = tokens(endpoint, clock=clock)
    assert await source.read() == "token-1"
    clock.time += 3599 - MARGIN - 1
    assert await source.read() == "token-1"
    clock.time += 1
    assert await source.read() == "token-2"


async def test_a_rejected_token_is_replaced_unless_it_is_new_or_was_replaced_already() -> None:
    endpoint, clock = TokenEndpoint(), Clock()
    source = tokens(endpoint, clock=clock)
    first = await source.read()
    source.reject(first)
    assert await source.read() == first
    clock.time += 60
    source.reject(first)
    assert await source.read() == "token-2"
    clock.time += 60
    source.reject(first)
    assert await source.read() == "token-2"


async def test_a_new_key_gets_a_token_of_its_own() -> None:
    endpoint = TokenEndpoint()
    source = tokens(endpoint, [service_account(URI), service_account(URI, "two")])
    assert [await source.read(), await source.read()] == ["token-1", "token-2"]


async def test_denied_calls_of_one_account_ask_for_one_token() -> None:
    clock = Clock()
    endpoint = TokenEndpoint()
    source = tokens(endpoint, clock=clock)
    one = AccountEndpoint(
        account=account(project="p"),
        handler=VertexHandler(),
        transport=endpoint,
        meter=UsageMeter(),
        read_key=source.read,
        reject_key=source.reject,
    )
    await one.read_key()
    clock.time += 100
    assert any(await asyncio.gather(*(one.refresh_key(rejected="token-1") for _ in range(50))))
    assert (one.account.api_key, len(endpoint.requests)) == ("token-2", 2)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/token",
        "http://oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com@evil.example/token",
        "https://oauth2.googleapis.com.evil.example/token",
        "file:///token",
    ],
)
async def test_an_assertion_goes_to_no_other_host(uri: str) -> None:
    endpoint = TokenEndpoint()
    with pytest.raises(ConfigurationError, match="a key whose token_uri is one of Google"):
        await tokens(endpoint, [service_account(uri)], own_host="other.example").read()
    assert endpoint.requests == []


async def test_the_account_s_own_host_may_give_tokens() -> None:
    endpoint = TokenEndpoint()
    source = tokens(endpoint, [service_account("http://127.0.0.1:9/token")], own_host="127.0.0.1:9")
    assert await source.read() == "token-1"


async def test_a_refusal_says_why_and_does_not_show_the_assertion() -> None:
    class Echo(TokenEndpoint):
        async def send(self, request: UpstreamRequest) -> UpstreamResponse:
            await super().send(request)
            said = f"Invalid JWT Signature: {assertion_of(request)}"
            return response({"error": "invalid_grant", "error_description": said}, status=400)

    endpoint = Echo()
    with pytest.raises(UpstreamError) as refused:
        await tokens(endpoint).read()
    assert (refused.value.kind, refused.value.status) == ("authentication_error", 400)
    assert "invalid_grant: Invalid JWT Signature: [key]" in refused.value.message
    assert assertion_of(endpoint.requests[0]).rpartition(".")[2] not in refused.value.message


@pytest.mark.parametrize("answer", [response({}, status=503), response(b"<html>"), response({"access_token": 7})])
async def test_an_answer_without_a_token_is_an_error(answer: UpstreamResponse) -> None:
    with pytest.raises(UpstreamError, match="gives no access token to the service account"):
        await tokens(TokenEndpoint(answer)).read()


async def test_a_token_endpoint_that_is_away_stops_no_start_and_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = NoUpstreamAnswer("api_error", "cannot connect to oauth2.googleapis.com", status=0, retry_safe=True)
    source = tokens(endpoint := TokenEndpoint(away))
    one = AccountEndpoint(
        account=account(project="p", api_key=None),
        handler=VertexHandler(),
        transport=endpoint,
        meter=UsageMeter(),
        read_key=source.read,
    )
    with caplog.at_level(logging.WARNING):
        await one.read_key()
    assert one.account.api_key is None
    assert "cannot connect to oauth2.googleapis.com" in caplog.text
    assert await one.refresh_key()
    assert one.account.api_key == "token-2"


async def test_nothing_that_is_logged_or_shown_has_a_key(caplog: pytest.LogCaptureFixture) -> None:
    key = service_account(URI)
    with caplog.at_level(logging.DEBUG):
        source = tokens(endpoint := TokenEndpoint(), [key])
        await source.read()
    shown = f"{caplog.text} {source!r} {vars(source)!r} {read_service_account(key, SETTING)!r} {endpoint.requests!r}"
    for secret in ("token-1", "id-of-one", assertion_of(endpoint.requests[0]), *private_key().splitlines()[1:-1]):
        assert secret not in shown
