"""The handler for ElevenLabs: requests to its own urls, and OpenAI's /v1/audio/speech, which is translated.

The audio of an answer becomes a file. Answers with timestamps are JSON, and stay as they are.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.dialects.speech_via_elevenlabs import speech_to_elevenlabs
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.own_requests import json_request, own_request, refuse_kind
from batchgate.providers.responses.provider_errors import upstream_error

SPEECH: Final = "/v1/audio/speech"
_JSON_ANSWERS: Final = "/with-timestamps"
"""The end of the paths whose answers are JSON."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class ElevenLabsHandler:
    """Calls the paths of `KINDS` below the ``base_url`` of an account."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names what cannot be said."""
        headers = {"xi-api-key": account.api_key} if account.api_key else {}
        if row.kind == "elevenlabs":
            path = (row.url or "").partition("?")[0]
            return own_request(account, row, headers, makes_file=not path.endswith(_JSON_ANSWERS))
        if row.kind != "speech":
            raise refuse_kind("elevenlabs", row.kind, SPEECH)
        path, body = speech_to_elevenlabs(row.params, row.model)
        return json_request(account, path, headers, body, makes_file=True)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return an answer that is JSON, unchanged; raises `UpstreamError` for an error, and where audio is missing."""
        if not 200 <= response.status < 300:
            raise upstream_error(response)
        if not (row.url or "").partition("?")[0].endswith(_JSON_ANSWERS):
            raise unusable_answer("it has no audio")
        try:
            _OBJECT.decode(response.body)
        except DECODING_ERRORS as error:
            raise unusable_answer("it is no JSON object") from error
        return to_single_line(response.body)
