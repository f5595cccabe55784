"""The urls of a provider's own endpoints, and the models of requests to them."""

from typing import Final

import pytest

from batchgate.engine.model.batch_endpoint import KINDS, own_endpoints
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.own_urls import own_endpoint_of, own_values
from batchgate.engine.model.provider_call import OWN_KINDS
from batchgate.providers.dialects.own_models import own_model

PREDICT: Final = "/v1/models/{owner}/{name}/predictions"
SPEAK: Final = "/v1/text-to-speech/{voice_id}"


def test_each_own_endpoint_accepts_the_urls_that_are_made_of_it_and_no_others() -> None:
    for kind in OWN_KINDS:
        for endpoint in own_endpoints(kind):
            url = endpoint.format(owner="some-owner", name="a.model_2", voice_id="21m00Tcm")
            assert own_endpoint_of(url) == endpoint
            assert own_endpoint_of(f"{url}/more") is None
            assert own_endpoint_of(f"/more{url}") is None
            assert own_endpoint_of(f"https://other.example{url}") is None
            assert own_endpoint_of(f"{url}?webhook=x") is None
            assert (own_endpoint_of(endpoint) is None) == ("{" in endpoint)
    assert [kind for kind in KINDS.values() if own_endpoint_of(f"/v1/{kind}")] == []


def test_only_elevenlabs_has_a_query_of_known_names() -> None:
    assert own_endpoint_of("/v1/music?output_format=mp3_44100_128&enable_logging=false") == "/v1/music"
    assert own_endpoint_of("/v1/text_to_video?output_format=mp3_44100_128") is None
    assert own_endpoint_of("/v1/music?output_format=mp3%0a") is None


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/b", "a%2Fb", "", "a b", "ä", "a\n", "x" * 129])
def test_a_value_in_a_url_is_a_plain_name(name: str) -> None:
    assert own_endpoint_of(f"/v1/text-to-speech/{name}") is None
    assert own_endpoint_of(f"/v1/models/owner/{name}/predictions") is None


@pytest.mark.parametrize(
    ("url", "body", "model"),
    [
        ("/v1/models/meta/llama/predictions", b'{"input":{}}', "meta/llama"),
        ("/v1/deployments/acme/fast/predictions", b'{"input":{}}', "acme/fast"),
        ("/v1/predictions", b'{"version":"abc","input":{}}', "abc"),
        ("/v1/text_to_video", b'{"model":"gen4_turbo"}', "gen4_turbo"),
        ("/v1/voice_isolation", b"{}", "voice_isolation"),
        ("/v1/text-to-speech/v?output_format=pcm_8000", b'{"model_id":"eleven_v3"}', "eleven_v3"),
        ("/v1/text-to-speech/v", b'{"model_id":null}', "text-to-speech"),
        ("/v1/text-to-speech/v/with-timestamps", b"{}", "with-timestamps"),
    ],
)
def test_the_model_is_that_of_the_url_or_of_the_body(url: str, body: bytes, model: str) -> None:
    assert own_model(url, body) == model


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        ("/v1/predictions", b'{"input":{}}', "body.version: Field required"),
        ("/v1/text_to_video", b'{"model":5}', "body.model: "),
        ("/v1/text_to_video", b"[]", "body: "),
        ("/v1/nothing", b"{}", "url: '/v1/nothing' is no url of a provider"),
    ],
)
def test_a_request_without_a_readable_model_is_refused(url: str, body: bytes, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        own_model(url, body)
    assert refused.value.message.startswith(message)


def test_the_values_of_a_url_are_read_in_their_order() -> None:
    assert own_values(PREDICT, "/v1/models/meta/llama/predictions") == ("meta", "llama")
    assert own_values(SPEAK, "/v1/music") == ()
