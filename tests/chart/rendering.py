"""Renders the Helm chart, and reads the manifests in handwritten/deploy/kubernetes/ that it must agree with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeAlias

import helm_python
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "handwritten" / "deploy"
CHART: Final = DEPLOY / "helm" / "batchgate"
Manifest: TypeAlias = dict[str, Any]

EVERYTHING: Final[Manifest] = {
    "image": {"repository": "registry.example.com/batchgate", "tag": "1", "pullSecrets": [{"name": "registry"}]},
    "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "serviceAccount": {"create": True, "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/batchgate"}},
    "gateway": {
        "autoscaling": {"enabled": False},
        "podAnnotations": {"example.com/team": "models"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
        "tls": [{"hosts": ["batchgate.example.com"], "secretName": "tls"}],
    },
    "networkPolicy": {"egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 8000}]}]},
    "monitoring": {name: {"enabled": True} for name in ("podMonitor", "rules", "dashboard")},
}
"""Values that switch on all that is off by default."""
SINGLE: Final[Manifest] = yaml.safe_load((CHART / "values-single.yaml").read_text())


def render(values: Manifest, release: str = "batchgate") -> list[Manifest]:
    """Return the manifests of a release; raises `helm_python.HelmError` for values that the schema refuses."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=release, namespace="batchgate")
    return [
        document
        for path, text in texts.items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the manifest of a kind with a name."""
    (found,) = (each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def plain_manifests() -> list[Manifest]:
    """Read the manifests for kubectl."""
    folder = DEPLOY / "kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((folder / name).read_text())]


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """Return the templates of all pods."""
    return [each["spec"]["template"] for each in manifests if each["kind"] in {"Deployment", "StatefulSet"}]
