"""Events are posted to public addresses and to allowed networks only, whatever a name resolves to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.webhooks.deliverer import AT_ONCE_IN_ALL
from batchgate.providers.transport.webhook_sender import HttpWebhookSender
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver

NAME = "receiver.example"
ONE_ADDRESS = [ip_network("127.0.0.1/32")]


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let the name resolve to other addresses each time: those of the first list, then those of the next one."""
    answers: list[list[str]] = []
    original = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return original(host, port, *args, **options)
        return [found for address in answers.pop(0) for found in original(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


async def post(sender: HttpWebhookSender, url: str) -> int:
    return await sender.post(url, {"webhook-id": "evt_1"}, b"{}")


@pytest.mark.parametrize(
    "url",
    [
        *("http://93.184.216.34/", "https://127.0.0.1/", "https://10.1.2.3/", "https://[::1]/", "https://[fd00::1]/"),
        *("https://127.1/", "https://2130706433/", "https://127\u30020\u30020\u30021/", "https://169.254.169.254/"),
        *("https://user:secret@example.com/", "ftp://example.com/", "https:///hook", "https://[/"),
        *(
            "https://a..example/",
            "https://.example/",
            "https://example../",
            "https://-a.example/",
            "https://a-.example/",
        ),
        *(f"https://{'a' * 64}.example/", f"https://{'ü' * 60}.example/", f"https://{'a.' * 127}aa/"),
        *("https://a%00b.example/", "https://a*b.example/", "https://a b.example/"),
    ],
)
async def test_a_url_that_leads_elsewhere_is_refused_before_a_connection(url: str) -> None:
    async with HttpWebhookSender() as sender:
        assert sender.refusal(url) is not None
        with pytest.raises(NoUpstreamAnswer, match="public address"):
            await post(sender, url)


async def test_a_url_whose_name_can_be_resolved_is_accepted() -> None:
    names = [
        "example.com",
        "example.com.",
        "a_b.example",
        "a--b.1.example",
        "bücher.example",
        "x",
        f"{'a' * 63}.c",
    ]
    async with HttpWebhookSender() as sender:
        assert [name for name in (*names, f"{'a.' * 126}a") if sender.refusal(f"https://{name}/")] == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["127.0.0.1", "192.168.0.1"]])
async def test_a_name_with_private_addresses_alone_is_not_connected_to(
    resolved: list[list[str]], addresses: list[str]
) -> None:
    resolved.append(addresses)
    async with HttpWebhookSender() as sender:
        assert sender.refusal(f"https://{NAME}/") is None
        with pytest.raises(NoUpstreamAnswer, match="has no public address"):
            await post(sender, f"https://{NAME}/")


async def test_a_name_that_changes_is_connected_to_at_the_address_that_was_checked(
    resolved: list[list[str]], receiver: WebhookReceiver
) -> None:
    reached: list[object] = []
    port = int(receiver.url.split(":")[2].split("/")[0])
    other = await asyncio.start_server(lambda *streams: reached.append(streams), "127.0.0.2", port)
    resolved += [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"]]
    async with other, HttpWebhookSender(ONE_ADDRESS) as sender:
        url = receiver.url.replace("127.0.0.1", NAME)
        assert await post(sender, url) == 200
        with pytest.raises(NoUpstreamAnswer, match="has no public address"):
            await post(sender, url)
        assert await post(sender, url) == 200
    assert not resolved
    assert not reached
    assert [event.event_id for event in receiver.events] == ["evt_1"] * 2


async def test_names_whose_servers_do_not_answer_delay_no_other_name(
    monkeypatch: pytest.MonkeyPatch, receiver: WebhookReceiver
) -> None:
    blocked, released, original = threading.Semaphore(0), threading.Event(), socket.getaddrinfo

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            blocked.release()
            released.wait()
        return original("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with HttpWebhookSender(ONE_ADDRESS) as sender:
        slow = [receiver.url.replace("127.0.0.1", f"slow{number}.example") for number in range(AT_ONCE_IN_ALL)]
        calls = [asyncio.create_task(post(sender, url)) for url in slow]
        try:
            async with asyncio.timeout(10):
                for _ in range(8):
                    await asyncio.to_thread(blocked.acquire)
                assert await post(sender, receiver.url.replace("127.0.0.1", NAME)) == 200
        finally:
            released.set()
        assert await asyncio.gather(*calls) == [200] * AT_ONCE_IN_ALL


async def test_an_allowed_network_is_reached_over_http_and_the_internet_is_not(receiver: WebhookReceiver) -> None:
    async with HttpWebhookSender(ONE_ADDRESS) as sender:
        assert await post(sender, receiver.url) == 200
        assert sender.refusal("http://93.184.216.34/") is not None
        assert sender.refusal("http://127.0.0.2/") is not None
