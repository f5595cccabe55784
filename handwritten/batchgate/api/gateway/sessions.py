"""Sign-in with an API key, for the pages of the gateway."""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from batchgate.api.authentication import Authenticator
from batchgate.api.session_cookie import SessionCookies
from batchgate.engine.model.api_key import Caller
from batchgate_api import gateway, parameters


class SessionsHandler:
    """`SessionsHandlers` on the authenticator."""

    def __init__(self, authenticator: Authenticator, cookies: SessionCookies, version: str) -> None:
        self._authenticator = authenticator
        self._cookies = cookies
        self._version = version

    async def create_session(
        self,
        request: web.Request,
        parameters: parameters.CreateSessionParameters,  # noqa: ARG002
        body: gateway.CreateSession,
    ) -> web.StreamResponse:
        """Sign in."""
        self._cookies.check_page(request)
        if await self._authenticator.is_open():
            return _answer(await self._session(await self._authenticator.authenticate(request)))
        caller = await self._authenticator.caller_of(request, [body.api_key])
        response = _answer(await self._session(caller))
        self._cookies.set(request, response, body.api_key)
        return response

    async def get_session(
        self,
        request: web.Request,
        parameters: parameters.GetSessionParameters,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Return who calls."""
        return _answer(await self._session(await self._authenticator.find_caller(request)))

    async def delete_session(
        self,
        request: web.Request,
        parameters: parameters.DeleteSessionParameters,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Sign out."""
        self._cookies.check_page(request)
        response = _answer(await self._session(None))
        self._cookies.remove(request, response)
        return response

    async def _session(self, caller: Caller | None) -> gateway.Session:
        needs_key = not await self._authenticator.is_open()
        if caller is None:
            return gateway.Session(needs_key=needs_key, caller=None, version=None)
        shown = gateway.SessionCaller(key=caller.name or None, workspace=caller.workspace, scopes=list(caller.scopes))
        return gateway.Session(needs_key=needs_key, caller=shown, version=self._version)


def _answer(session: gateway.Session) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(body=msgspec.json.encode(session), content_type="application/json", headers=headers)
