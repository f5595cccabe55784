"""Sign-in with an API key: the cookie works for pages of the gateway, and for nothing else."""

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

ADMIN = "sk-admin; with=odd characters é"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {"admin": ApiKeySettings(key=ADMIN, scopes=SCOPES)}
    async with running_app(tmp_path, api_keys=keys) as running:
        yield running


async def sign_in(app: RunningApp, key: str, **headers: str) -> tuple[int, SimpleCookie]:
    async with app.client.post(f"{app.url}/api/session", json={"api_key": key}, headers=headers) as response:
        await response.read()
        return response.status, SimpleCookie(response.headers.get("Set-Cookie", ""))


async def cookie_of(app: RunningApp, key: str) -> dict[str, str]:
    """Sign in, and return the header that a browser sends from then on."""
    status, cookies = await sign_in(app, key)
    assert status == 200
    (cookie,) = cookies.values()
    return {"Cookie": f"{cookie.key}={cookie.value}"}


async def test_a_person_who_has_signed_in_reads_and_writes_from_pages_of_the_gateway(app: RunningApp) -> None:
    cookie = await cookie_of(app, ADMIN)
    _, session = await app.call("GET", "/api/session", headers=cookie)
    assert session["caller"] == {"key": "admin", "workspace": "default", "scopes": ["read", "submit", "admin"]}
    assert session["version"]
    status, batch = await app.call("POST", BATCHES, json=create_body("a"), headers=cookie | OWN_PAGE)
    assert status == 200
    assert (await app.call("GET", f"/api/batches/{batch['id']}/progress", headers=cookie))[0] == 200


async def test_the_cookie_is_hidden_from_scripts_and_other_sites_and_ends_with_the_browser(app: RunningApp) -> None:
    _, cookies = await sign_in(app, ADMIN)
    cookie = cookies["batchgate"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert (cookie["domain"], cookie["max-age"], cookie["expires"], cookie["secure"]) == ("", "", "", "")


async def test_over_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    keys = {"admin": ApiKeySettings(key=ADMIN, scopes=SCOPES)}
    async with running_app(tmp_path, api_keys=keys, public_url="https://llm.example/gateway") as app:
        _, cookies = await sign_in(app, ADMIN)
        assert cookies["__Host-batchgate"]["secure"]
        cookie = {"Cookie": f"__Host-batchgate={cookies['__Host-batchgate'].value}"}
        assert (await app.call("GET", "/api/batches", headers=cookie))[0] == 200
        own = cookie | {"Origin": "https://llm.example"}
        assert (await app.call("POST", BATCHES, json=create_body("a"), headers=own))[0] == 200
        plain = {"Cookie": cookie["Cookie"].removeprefix("__Host-")}
        assert (await app.call("GET", "/api/batches", headers=plain))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_a_page_that_is_not_the_gateways_cannot_change_anything_with_the_cookie(
    app: RunningApp, headers: dict[str, str]
) -> None:
    cookie = await cookie_of(app, ADMIN)
    own = {"Origin": app.url}
    _, batch = await app.call("POST", BATCHES, json=create_body("a"), headers=cookie | own)
    for method, path in (("POST", f"/api/batches/{batch['id']}/cancel"), ("DELETE", f"/api/batches/{batch['id']}")):
        status, error = await app.call(method, path, headers=cookie | headers)
        assert (status, error["error"]["type"]) == (403, "permission_error")
    status, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress", headers={"x-api-key": ADMIN})
    assert (status, progress["canceled"]) == (200, 0)


@pytest.mark.parametrize("site", ["same-site", "cross-site", "something-new"])
async def test_a_page_on_another_port_of_the_host_reads_nothing_with_the_cookie(app: RunningApp, site: str) -> None:
    cookie = await cookie_of(app, ADMIN)
    assert (await app.call("GET", "/api/batches", headers=cookie | {"Sec-Fetch-Site": site}))[0] == 403
    assert (await app.call("GET", "/api/session", headers=cookie | {"Sec-Fetch-Site": site}))[0] == 403


async def test_no_other_page_signs_a_person_in_or_out(app: RunningApp) -> None:
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        status, cookies = await sign_in(app, ADMIN, **headers)
        assert (status, dict(cookies)) == (403, {})
        assert (await app.call("DELETE", "/api/session", headers=headers))[0] == 403


async def test_a_key_in_a_header_takes_precedence_from_any_origin(app: RunningApp) -> None:
    cookie = {"Cookie": "batchgate=c3RyYW5nZXI", "Origin": "https://elsewhere.example"}
    assert (await app.call("GET", "/api/batches", headers=cookie | {"x-api-key": ADMIN}))[0] == 200


@pytest.mark.parametrize("value", ["c3RyYW5nZXI", "not*base64", "a", "", "c2stYWRtaW4"])
async def test_a_wrong_cookie_is_no_key(app: RunningApp, value: str) -> None:
    status, error = await app.call("GET", "/api/batches", headers={"Cookie": f"batchgate={value}"})
    assert (status, error["error"]["type"]) == (401, "authentication_error")


async def test_a_wrong_key_signs_nobody_in(app: RunningApp) -> None:
    status, cookies = await sign_in(app, "sk-wrong")
    assert (status, dict(cookies)) == (401, {})
    _, stranger = await app.call("GET", "/api/session")
    assert stranger == {"needs_key": True, "caller": None, "version": None}


async def test_the_session_of_a_revoked_key_ends_within_a_second(app: RunningApp) -> None:
    admin = {"x-api-key": ADMIN}
    _, created = await app.call("POST", "/api/workspaces/default/keys", json={"name": "guest"}, headers=admin)
    cookie = await cookie_of(app, created["key"])
    assert (await app.call("GET", "/api/batches", headers=cookie))[0] == 200
    await app.call("DELETE", f"/api/keys/{created['id']}", headers=admin)
    app.clock.move(1)
    assert (await app.call("GET", "/api/batches", headers=cookie))[0] == 401
    assert (await app.call("GET", "/api/session", headers=cookie))[0] == 401


async def test_signing_out_removes_the_cookie(app: RunningApp) -> None:
    async with app.client.delete(f"{app.url}/api/session", headers=OWN_PAGE) as response:
        removed: Any = SimpleCookie(response.headers["Set-Cookie"])["batchgate"]
        assert await response.json() == {"needs_key": True, "caller": None, "version": None}
    assert (removed.value, removed["max-age"], removed["path"], removed["httponly"]) == ("", "0", "/", True)


async def test_a_gateway_without_keys_needs_no_session(gateway: RunningApp) -> None:
    status, cookies = await sign_in(gateway, "anything")
    assert (status, dict(cookies)) == (200, {})
    _, session = await gateway.call("GET", "/api/session")
    assert not session["needs_key"]
    assert session["caller"] == {"key": None, "workspace": "default", "scopes": ["read", "submit", "admin"]}
