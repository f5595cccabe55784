"""An S3-compatible server in the process of the test, with the settings of a gateway that uses it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "AKIAPLANTEDKEY", "planted-secret-key"


@dataclass
class ObjectServer:
    """A running server with one bucket."""

    url: str
    client: Any
    bucket: str = field(default_factory=lambda: f"bodies-{uuid4().hex[:8]}")
    prefix: str = "gate"

    @property
    def blob_url(self) -> str:
        """The setting ``blob_url`` for the bucket."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def options(self) -> dict[str, str | bool]:
        """The setting ``storage_options`` for the bucket."""
        return {
            "endpoint": self.url,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SECRET_ACCESS_KEY,
        }

    @property
    def settings(self) -> str:
        """Both settings as lines of a settings file, to be placed before its first table."""
        options = ", ".join(f'{name} = "{value}"' for name, value in self.options.items())
        return f'blob_url = "{self.blob_url}"\nstorage_options = {{ {options} }}\n'

    def names(self) -> list[str]:
        """List the names of all blobs."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return sorted(o["Key"].removeprefix(f"{self.prefix}/") for page in pages for o in page.get("Contents", ()))

    def unfinished_uploads(self) -> list[str]:
        """List the names of blobs with an unfinished multipart upload."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return sorted(upload["Key"].removeprefix(f"{self.prefix}/") for upload in found)

    def read(self, name: str) -> bytes:
        """Read a blob directly, without the gateway."""
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        return body

    def write(self, name: str, data: bytes) -> None:
        """Write a blob directly, without the gateway."""
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)

    def remove(self, name: str) -> None:
        """Remove a blob directly, without the gateway."""
        self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")


@contextmanager
def running_s3_server(port: int = 0) -> Iterator[str]:
    """Run a server and yield its URL; its data stays in this process, also for the next server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def s3_client(url: str) -> Any:
    """Make a client that calls the server directly, without the gateway."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run a server with an empty bucket."""
    with running_s3_server() as url:
        server = ObjectServer(url, s3_client(url))
        server.client.create_bucket(Bucket=server.bucket)
        yield server


def closed_port() -> int:
    """Return a port of this machine on which no process listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
