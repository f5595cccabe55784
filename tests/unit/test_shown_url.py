"""URLs are shown without anything that looks like a credential, and otherwise as they are."""

from __future__ import annotations

import pytest

from batchgate.engine.model.shown_url import shown_url


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://[::1]:8080",
        "https://example.openai.azure.com/openai/deployments/gpt-4o-mini-2024-07-18",
        "https://api.fireworks.ai/inference/v1/accounts/my-team/",
        "https://us-central1-aiplatform.googleapis.com/v1/projects/project-42",
        "https://host/v1/internationalization-of-deployment-names/keys/monkey",
        "s3://bucket/prefix/of-batches",
        "file:///var/lib/batchgate/blobs",
    ],
)
def test_what_has_no_credential_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:p?a#s@host/v1?key=x#y", "http://host/v1"),
        ("http://host?key=a/b", "http://host"),
        ("http://user:pa/ss@host/v1", "http://.../.../v1"),
        ("https://host/sk-proj-abc/v1", "https://host/.../v1"),
        ("https://user:123/x@host/v1", "https://.../.../v1"),
        ("https://host/AIzaSyAbc-DEF_ghiJKL/v1", "https://host/.../v1"),
        ("https://host/apikey-abcdef123456/API_KEY:abcdef/v1", "https://host/.../.../v1"),
        ("https://host/%73k-abcdef/%2573k-abcdef/a%2Fsk-abcdef/v1", "https://host/.../.../.../v1"),
        ("https://host/key/abcd1234efgh/v1", "https://host/key/.../v1"),
        ("https://host/api-key/abcd/token/abcd", "https://host/api-key/.../token/..."),
        (f"https://host/{'aBcDeFgHiJ' * 4}/v1", "https://host/.../v1"),
        ("https://host/token=abc/v1", "https://host/.../v1"),
        ("https://host/a1B2c3D4e5F6g7H8/v1", "https://host/.../v1"),
        ("https://host/550e8400-e29b-41d4-a716-446655440000", "https://host/..."),
    ],
)
def test_what_looks_like_a_credential_is_left_out(url: str, shown: str) -> None:
    assert shown_url(url) == shown
