"""Reads the urls of lines: the endpoint of their batch, in which Gemini and Bedrock have a place for the model."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from batchgate.engine.model.batch_endpoint import KINDS, BatchEndpoint
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.own_urls import own_endpoint_of
from batchgate.engine.model.provider_call import OWN_KINDS
from batchgate.providers.dialects.row_model import resolve_model

_PLACE: Final = "{model}"
_NEVER: Final = re.compile(r"(?!)")


class EndpointUrl:
    """The url of lines for one endpoint; Gemini's may name any version of its API."""

    def __init__(self, endpoint: BatchEndpoint) -> None:
        self.endpoint: Final = endpoint
        self.is_own: Final = KINDS[endpoint] in OWN_KINDS
        """Whether it is a provider's own, so that each line keeps its url."""
        self._pattern: Final = _pattern(endpoint)

    def matches(self, url: str) -> bool:
        """Return whether a url is that of the endpoint."""
        if self.is_own:
            return own_endpoint_of(url) == self.endpoint
        return url == self.endpoint or self.model_in(url) is not None

    def model_in(self, url: str) -> str | None:
        """Return the model that stands in a url; None if the body names it."""
        found = None if url == self.endpoint else self._pattern.fullmatch(url)
        return unquote(found[1]) if found else None

    def body_with_model(self, url: str, body: bytes) -> tuple[bytes, str | None]:
        """Return the body with the model that stands in the url, and the model if the body names another one."""
        model = self.model_in(url)
        if model is None:
            return body, None
        try:
            complete, named = resolve_model(body, model)
        except RequestError:
            return body, None  # the check of the body reports it
        return complete, None if named.removeprefix("models/") == model else named


def _pattern(endpoint: str) -> re.Pattern[str]:
    before, place, after = endpoint.partition(_PLACE)
    if not place:
        return _NEVER
    versions = re.escape(before).replace("v1beta", "v1(?:beta|alpha)?")
    return re.compile(f"{versions}(.+){re.escape(after)}")
