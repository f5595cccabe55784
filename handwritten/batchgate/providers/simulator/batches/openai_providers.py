"""The providers with OpenAI's files and batches, and how their APIs differ (native-lanes 2.1, 2.2, 2.8, 2.14, 2.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from batchgate.providers.simulator.batches.wire import JobRules

DAY: Final = 86_400.0
MEGABYTE: Final = 1_000_000

CHAT: Final = "/v1/chat/completions"
ALL_ENDPOINTS: Final = frozenset({CHAT, "/v1/responses", "/v1/embeddings", "/v1/completions"})


class OpenAIProvider(Struct, frozen=True, kw_only=True):
    """How a provider's files and batches differ from OpenAI's, whose behaviour is the default (native-lanes 2.1)."""

    name: str
    bases: tuple[str, ...] = ("/v1",)
    """What comes before ``/files`` and ``/batches`` in paths."""
    rules: JobRules = JobRules()
    endpoints: frozenset[str] = ALL_ENDPOINTS
    windows: frozenset[str] | None = frozenset({"24h"})
    """The accepted completion windows; None for any number of hours or days from 24h to 7d."""
    window_required: bool = True
    max_rows: int = 50_000
    max_bytes: int = 200 * MEGABYTE
    file_life: float | None = 30 * DAY
    """For how many seconds files are kept; None if they do not expire by themselves."""
    max_files_without_expiry: int | None = None

    file_id: str = "file-{token}"
    job_id: str = "batch_{token}"
    file_ids_from_job: bool = False
    """Whether result files have the ids ``<job>_output`` and ``<job>_error``."""
    uuid_job_ids: bool = False
    endpoint_without_v1: bool = False
    """Whether endpoints are echoed without their ``/v1``."""
    files_pending_first: bool = False
    """Whether an upload is ``pending`` for some seconds."""
    api_version: bool = False
    """Whether paths that do not end with ``/v1`` need the parameter ``api-version``."""
    envelope: Literal["openai", "detail"] = "openai"
    """The form of errors: OpenAI's, or FastAPI's ``detail``."""
    plain_401: bool = False
    idempotency_key: bool = False
    output_expires_after: bool = True
    pages_by_cursor: bool = False
    """Whether lists page by ``cursor`` and fetch batches by ``id``."""
    content_redirects: bool = False
    """Whether the content of a file is a redirect to another server."""
    content_type: str = "application/octet-stream"
    missing_file: Literal["job_fails", "not_found"] = "job_fails"
    """What a create with an unknown input file does."""
    deletes_unknown_files: bool = False
    cancel_of_ended: Literal[200, 400] = 200
    job_delete_status: int = 404
    max_jobs: int | None = None
    """Maximum number of jobs of a key that have not ended."""

    codes: Mapping[str, str] = {}
    """The provider's codes of validation faults, where they differ from OpenAI's."""
    first_fault_only: bool = True
    first_line: Literal[0, 1] = 1
    checks_url: bool = True
    checks_stream: bool = True
    """Whether ``stream`` is a fault of the file; if not, it is an error of its row, with the code 500."""
    one_model: bool = True
    faults_of_rows: bool = False
    """Whether lines with faults become error rows, and the rest runs."""
    fails_later: frozenset[str] = frozenset()
    """Endpoints that a create accepts and the validation refuses."""
    late_counts: bool = False
    """Whether ``request_counts``, ``model`` and ``usage`` are null until the job is validated."""
    shows_expiry: bool = True
    refused_rows: Literal["response", "error"] = "response"
    """Whether the error row of a refused request has its answer, or only code and message."""


OPENAI: Final = OpenAIProvider(name="openai")
"""native-lanes 2.1."""

AZURE: Final = OpenAIProvider(
    name="azure",
    bases=("/openai", "/openai/v1"),
    rules=JobRules(expires=False, error_file_always=True),
    max_rows=100_000,
    file_life=None,
    max_files_without_expiry=500,
    uuid_job_ids=True,
    endpoint_without_v1=True,
    files_pending_first=True,
    api_version=True,
)
"""native-lanes 2.2."""

GROQ: Final = OpenAIProvider(
    name="groq",
    bases=("/openai/v1",),
    endpoints=frozenset({CHAT}),
    windows=None,
    max_bytes=100 * MEGABYTE,
    file_id="file_01{token}",
    job_id="batch_01{token}",
    pages_by_cursor=True,
    one_model=False,
    faults_of_rows=True,
)
"""native-lanes 2.8. ``errors`` as a plain array is the fault ``plain_errors``: groq's SDK knows only the object."""

CEREBRAS: Final = OpenAIProvider(name="cerebras", endpoints=frozenset({CHAT}))
"""native-lanes 2.15."""

PARASAIL: Final = OpenAIProvider(
    name="parasail",
    rules=JobRules(cancelled_results=False),
    fails_later=frozenset({"/v1/responses", "/v1/completions"}),
    max_bytes=1000 * MEGABYTE,
    plain_401=True,
    content_redirects=True,
    deletes_unknown_files=True,
    job_delete_status=403,
    first_fault_only=False,
    shows_expiry=False,
)
"""native-lanes 2.15, 10.3, 10.6."""

NEBIUS: Final = OpenAIProvider(name="nebius")
"""native-lanes 2.15."""

PERPLEXITY: Final = OpenAIProvider(
    name="perplexity",
    endpoints=frozenset({"/v1/responses"}),
    idempotency_key=True,
    output_expires_after=False,
    window_required=False,
)
"""native-lanes 2.14."""

DEEPINFRA: Final = OpenAIProvider(
    name="deepinfra",
    bases=("/v1", "/v1/openai"),
    rules=JobRules(reordered=True, error_file_always=True, cancelled_results=False, cancel_completes=True),
    endpoints=frozenset({CHAT, "/v1/completions", "/v1/embeddings"}),
    file_id="file_{token}",
    file_ids_from_job=True,
    envelope="detail",
    content_type="binary/octet-stream",
    missing_file="not_found",
    cancel_of_ended=400,
    job_delete_status=405,
    max_jobs=100,
    codes={
        "invalid_json_line": "invalid_json",
        "missing_required_parameter": "invalid_line",
        "mismatched_model": "model_mismatch",
        "model_not_found": "unknown_model",
        "invalid_request": "invalid_line",
    },
    first_fault_only=False,
    first_line=0,
    checks_url=False,
    checks_stream=False,
    late_counts=True,
    refused_rows="error",
)
"""native-lanes 2.15, 10.2 to 10.4."""

OPENAI_PROVIDERS: Final = (OPENAI, AZURE, GROQ, CEREBRAS, PARASAIL, NEBIUS, PERPLEXITY, DEEPINFRA)
