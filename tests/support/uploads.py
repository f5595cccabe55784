"""Uploads of files, as good clients send them and as bad ones do."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from tests.support.running_app import RunningApp

OPENAI = "/openai/v1/files"
UNIFIED = "/v1/files"
BOUNDARY = "b-o-u-n-d-a-r-y"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
CLOSING = f"--{BOUNDARY}--\r\n".encode()
LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}\n'


def part(name: str, content: bytes | str = b"", *, filename: str | None = None, headers: Iterable[str] = ()) -> bytes:
    """Write one part of a form."""
    file = "" if filename is None else f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{file}', *headers, "", ""]
    data = content.encode() if isinstance(content, str) else content
    return "\r\n".join(lines).encode() + data + b"\r\n"


def file_part(content: bytes = LINE, filename: str = "a.jsonl") -> bytes:
    """Write the part that is the file."""
    return part("file", content, filename=filename, headers=["Content-Type: application/octet-stream"])


def form(*parts: bytes) -> bytes:
    """Write a whole form."""
    return b"".join(parts) + CLOSING


def good_form(purpose: str = "batch", **fields: str) -> bytes:
    """Write a form that is accepted."""
    return form(part("purpose", purpose), *(part(name, value) for name, value in fields.items()), file_part())


async def upload(
    app: RunningApp, *parts: bytes, path: str = OPENAI, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Upload a form of these parts, or a small input of a batch, and return the file."""
    body = form(*parts) if parts else good_form()
    status, file = await app.call("POST", path, data=BytesIO(body), headers=MULTIPART | (headers or {}))
    assert status == 200, file
    assert isinstance(file, dict)
    return file
