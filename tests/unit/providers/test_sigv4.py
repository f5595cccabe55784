"""Our signatures are those of botocore, character by character."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from batchgate.providers.aws.credentials import AwsCredentials
from batchgate.providers.aws.sigv4 import signature_headers

NOW = datetime(2026, 11, 29, 12, 34, 56, tzinfo=UTC)
JSON = {"content-type": "application/json"}
RUNTIME = "https://bedrock-runtime.us-east-1.amazonaws.com"

anywhere = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _botocores_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))


def botocores(method: str, url: str, headers: dict[str, str], body: bytes, token: str | None) -> dict[str, str]:
    """Sign a request with botocore; the URL is what the transport sends."""
    sent = AWSRequest(method=method, url=str(URL(url)), headers=dict(headers), data=body)
    botocore.auth.SigV4Auth(Credentials("AKIDEXAMPLE", "secret/+key", token), "bedrock", "us-east-1").add_auth(sent)
    return {name.lower(): value for name, value in sent.headers.items()}


def ours(method: str, url: str, headers: dict[str, str], body: bytes, token: str | None) -> dict[str, str]:
    signed = signature_headers(
        AwsCredentials("AKIDEXAMPLE", "secret/+key", token),
        method=method,
        url=URL(url),
        headers=headers,
        body=body,
        region="us-east-1",
        service="bedrock",
        now=NOW.timestamp(),
    )
    return headers | signed


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("POST", f"{RUNTIME}/model/amazon.nova-lite-v1:0/converse", JSON),
        ("POST", f"{RUNTIME}/model/amazon.nova-lite-v1%3A0/converse", JSON),
        (
            "POST",
            f"{RUNTIME}/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile%2Fus.anthropic.x-v1:0/invoke",
            JSON,
        ),
        ("POST", f"{RUNTIME}/model/with%20blank%2Bplus/converse", JSON),
        ("POST", f"{RUNTIME}/model/%C3%BCnicode/converse", JSON),
        ("POST", "http://127.0.0.1:4321/bedrock/model/x:0/converse", JSON),
        ("GET", "https://bedrock.us-east-1.amazonaws.com/model-invocation-jobs?nameContains=bg-1&maxResults=10", {}),
        ("GET", "https://bedrock.us-east-1.amazonaws.com/model-invocation-jobs?z=1&a=b%2Fc&nextToken=", {}),
        ("POST", f"{RUNTIME}/model/x/converse", JSON | {"x-amzn-bedrock-trace": "  much   space "}),
        ("GET", "https://bedrock.us-east-1.amazonaws.com/", {}),
    ],
)
@pytest.mark.parametrize("token", [None, "session+token/="])
@pytest.mark.parametrize("body", [b"", '{"text":"ü"}'.encode()])
def test_a_request_is_signed_as_botocore_signs_it(
    method: str, url: str, headers: dict[str, str], token: str | None, body: bytes
) -> None:
    assert ours(method, url, headers, body, token) == botocores(method, url, headers, body, token)


@anywhere
@given(st.text(st.characters(codec="utf-8", exclude_characters="/?#\\", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_name_of_a_model_is_signed_as_botocore_signs_it(model: str) -> None:
    url = str(URL(RUNTIME) / "model" / f"m{model}" / "converse")
    assert ours("POST", url, JSON, b"{}", None) == botocores("POST", url, JSON, b"{}", None)
