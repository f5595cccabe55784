"""The contract of `SecretStore`, on every database."""

import asyncio

from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore


async def test_a_secret_is_found_and_listed_as_it_was_stored(store: SqliteStore | PostgresStore) -> None:
    stored = await store.secrets.put_secret("openai", b"\x00cipher\xff", 5)
    assert (stored.name, stored.ciphertext, stored.created_at, stored.updated_at) == ("openai", b"\x00cipher\xff", 5, 5)
    assert await store.secrets.find_secret("openai") == stored
    assert await store.secrets.find_secret("another") is None
    other = await store.secrets.put_secret("anthropic", b"c", 6)
    assert list(await store.secrets.list_secrets()) == [other, stored]


async def test_a_secret_that_is_replaced_keeps_the_time_of_its_creation(store: SqliteStore | PostgresStore) -> None:
    await store.secrets.put_secret("openai", b"old", 5)
    replaced = await store.secrets.put_secret("openai", b"new", 9)
    assert (replaced.ciphertext, replaced.created_at, replaced.updated_at) == (b"new", 5, 9)
    assert list(await store.secrets.list_secrets()) == [replaced]


async def test_a_secret_is_deleted_once(store: SqliteStore | PostgresStore) -> None:
    await store.secrets.put_secret("openai", b"c", 5)
    deleted = await asyncio.gather(*(store.secrets.delete_secret("openai") for _ in range(3)))
    assert sorted(deleted) == [False, False, True]
    assert await store.secrets.find_secret("openai") is None


async def test_a_secret_that_was_replaced_meanwhile_is_not_reencrypted(store: SqliteStore | PostgresStore) -> None:
    await store.secrets.put_secret("openai", b"old", 5)
    assert await store.secrets.reencrypt_secret("openai", b"old", b"old again")
    again = await store.secrets.find_secret("openai")
    assert again is not None
    assert (again.ciphertext, again.updated_at) == (b"old again", 5)
    await store.secrets.put_secret("openai", b"new", 9)
    assert not await store.secrets.reencrypt_secret("openai", b"old again", b"lost")
    assert not await store.secrets.reencrypt_secret("another", b"c", b"d")
    kept = await store.secrets.find_secret("openai")
    assert kept is not None
    assert kept.ciphertext == b"new"
