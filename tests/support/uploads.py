"""File uploads: multipart forms, valid and invalid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from tests.support.error_responses import check_openai_error, check_unified_error
from tests.support.running_app import RunningApp
from tests.support.storage_leaks import check_no_storage_leaks

OPENAI = "/openai/v1/files"
UNIFIED = "/v1/files"
BOUNDARY = "b-o-u-n-d-a-r-y"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
CLOSING_BOUNDARY = f"--{BOUNDARY}--\r\n".encode()
BATCH_LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}\n'
INVALID = "invalid_request_error"


def part(name: str, content: bytes | str = b"", *, filename: str | None = None, headers: Iterable[str] = ()) -> bytes:
    """Return one part of a form."""
    file = "" if filename is None else f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{file}', *headers, "", ""]
    data = content.encode() if isinstance(content, str) else content
    return "\r\n".join(lines).encode() + data + b"\r\n"


def file_part(content: bytes = BATCH_LINE, filename: str = "a.jsonl") -> bytes:
    """Return the part that contains the file."""
    return part("file", content, filename=filename, headers=["Content-Type: application/octet-stream"])


def form(*parts: bytes) -> bytes:
    """Return a complete form."""
    return b"".join(parts) + CLOSING_BOUNDARY


def valid_form(purpose: str = "batch", **fields: str) -> bytes:
    """Return a form that the gateway accepts."""
    return form(part("purpose", purpose), *(part(name, value) for name, value in fields.items()), file_part())


async def upload(
    app: RunningApp, *parts: bytes, path: str = OPENAI, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Upload a form of these parts (by default a small batch input) and return the file."""
    body = form(*parts) if parts else valid_form()
    status, file = await app.call("POST", path, data=BytesIO(body), headers=MULTIPART | (headers or {}))
    assert status == 200, file
    assert isinstance(file, dict)
    return file


async def expect_error(
    app: RunningApp,
    method: str,
    path: str,
    *,
    status: int = 400,
    kind: str = INVALID,
    param: str | None = None,
    code: str | None = None,
    **options: Any,
) -> str:
    """Make a call that must be refused in the envelope of its surface, and return the message."""
    async with app.client.request(method, app.url + path, **options) as response:
        check = check_openai_error if path.startswith("/openai") else check_unified_error
        return check(
            response.status,
            response.headers,
            await response.read(),
            expected=(status, kind),
            param=param,
            code=code,
        )


async def check_nothing_stored(app: RunningApp) -> None:
    """Check that within a short time no blob is stored, not even a part of one."""
    await asyncio.to_thread(check_no_storage_leaks, app.data_dir, app.database_url)
    assert [path for path in (app.data_dir / "blobs").rglob("*") if path.is_file()] == []
