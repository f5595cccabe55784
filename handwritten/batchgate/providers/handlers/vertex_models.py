"""The models of Vertex AI, each of which has a publisher: google, anthropic, meta, ..."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.claude_models import is_claude

_NAMES: Final = "MODEL, PUBLISHER/MODEL or publishers/PUBLISHER/models/MODEL"


class VertexModel(Struct, frozen=True):
    """A model of the model garden."""

    publisher: str
    name: str
    """Its name with the version, such as ``claude-opus-4-5@20251101``."""

    @property
    def resource(self) -> str:
        """The name of the resource."""
        return f"publishers/{self.publisher}/models/{self.name}"

    @property
    def path(self) -> str:
        """The name of the resource as it stands in a URL, in which an ``@`` stays as it is."""
        return quote(self.resource, safe="/@")


def vertex_model(model: str) -> VertexModel:
    """Return the model that a request names; without a publisher it is Anthropic's or Google's.

    Raises `Untranslatable` for a name of another form, such as that of an endpoint.
    """
    match model.split("/"):
        case [name] if name:
            return VertexModel("anthropic" if is_claude(name) else "google", name)
        case [publisher, name] | ["publishers", publisher, "models", name] if publisher and name:
            return VertexModel(publisher, name)
    raise Untranslatable("model", f"should be {_NAMES}, not {model!r}")
