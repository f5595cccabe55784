"""The Helm chart renders manifests that Kubernetes accepts, and that say the same as handwritten/deploy/kubernetes/."""

from __future__ import annotations

import json
from typing import Any, Final

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests.chart.rendering import CHART, DEPLOY, EVERYTHING, SINGLE, Manifest, named, plain_manifests, pods, render

VERSIONS: Final = ("1.30", kubernetes_validate.latest_version())
"""The oldest version of Kubernetes that the chart accepts, and the newest that there are schemas of."""
CUSTOM: Final = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, of which there are no schemas."""
VALUES: Final[dict[str, Manifest]] = {"default": {}, "single": SINGLE, "everything": EVERYTHING}


def test_helm_finds_nothing_to_complain_about() -> None:
    for values in VALUES.values():
        found = helm_python.lint(CHART, values, strict=True)
        assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_kubernetes_accepts_every_manifest(values: Manifest) -> None:
    manifests = render(values)
    assert len(manifests) >= 6
    for manifest in manifests:
        for version in VERSIONS if manifest["kind"] not in CUSTOM else ():
            kubernetes_validate.validate(manifest, version, strict=True)
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "batchgate"


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_what_a_manifest_refers_to_exists(values: Manifest) -> None:
    manifests = render(values)
    known = {(each["kind"], each["metadata"]["name"]) for each in manifests} | {("Secret", "batchgate")}
    for pod in pods(manifests):
        spec = pod["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert ("ConfigMap", volumes["config"]["configMap"]["name"]) in known
        assert ("Secret", volumes["secrets"]["secret"]["secretName"]) in known
        assert ("ServiceAccount", spec["serviceAccountName"]) in known
        claims = {"data"} if values is SINGLE else set()
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == volumes.keys() | claims
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector", {}))
        wanted = selector.get("matchLabels", selector).items()
        if manifest["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor", "Deployment"}:
            found = [pod for pod in pods(manifests) if wanted <= pod["metadata"]["labels"].items()]
            everywhere = manifest["kind"] == "PodMonitor" or "Egress" in spec.get("policyTypes", ())
            assert len(found) == (len(pods(manifests)) if everywhere else 1), manifest["metadata"]["name"]


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_a_pod_is_the_one_of_the_plain_manifests(component: str) -> None:
    plain = named(plain_manifests(), "Deployment", component)["spec"]
    chart = named(render({}), "Deployment", f"batchgate-{component}")["spec"]
    assert chart.get("strategy") == plain["strategy"]
    assert component == "gateway" or chart["replicas"] == plain["replicas"]
    ours, theirs = chart["template"]["spec"], plain["template"]["spec"]
    (container,), (other,) = ours["containers"], theirs["containers"]
    same = other.keys() - {"image", "env"}
    assert {key: container[key] for key in same} == {key: other[key] for key in same}
    own = {"name": "BATCHGATE_SHUTDOWN_TIMEOUT", "value": "120"}
    assert sorted(container["env"], key=str) == sorted([*other["env"], own], key=str)
    for key in theirs.keys() - {"containers", "topologySpreadConstraints"}:
        assert ours[key] == theirs[key], key
    (spread,), (wanted,) = ours["topologySpreadConstraints"], theirs["topologySpreadConstraints"]
    assert without(spread, "labelSelector") == without(wanted, "labelSelector")
    annotations = chart["template"]["metadata"]["annotations"]
    assert annotations.items() >= plain["template"]["metadata"]["annotations"].items()


def test_networks_budgets_and_autoscaling_are_those_of_the_plain_manifests() -> None:
    chart, plain = render({}), plain_manifests()
    for name in ("batchgate", "gateway"):
        ours = named(chart, "NetworkPolicy", "batchgate" if name == "batchgate" else "batchgate-gateway")["spec"]
        theirs = named(plain, "NetworkPolicy", name)["spec"]
        assert without(ours, "podSelector") == without(theirs, "podSelector")
    for name in ("gateway", "worker"):
        ours = named(chart, "PodDisruptionBudget", f"batchgate-{name}")["spec"]
        assert without(ours, "selector") == without(named(plain, "PodDisruptionBudget", name)["spec"], "selector")
    scaler = named(chart, "HorizontalPodAutoscaler", "batchgate-gateway")["spec"]
    theirs = named(plain, "HorizontalPodAutoscaler", "gateway")["spec"]
    assert without(scaler, "scaleTargetRef") == without(theirs, "scaleTargetRef")
    assert scaler["scaleTargetRef"]["name"] == "batchgate-gateway"
    assert "replicas" not in named(chart, "Deployment", "batchgate-gateway")["spec"]  # the autoscaler sets them


def without(spec: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name != key}


def test_a_single_process_has_a_volume_and_no_database() -> None:
    manifests = render(SINGLE)
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds == {"StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy"}
    spec = named(manifests, "StatefulSet", "batchgate")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    (data,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "data")
    assert str(variables["BATCHGATE_DATA_DIR"]).startswith(f"{data}/")
    assert "BATCHGATE_DATABASE_URL_FILE" not in variables
    assert (spec["replicas"], container["args"]) == (1, ["serve"])
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert "5432" not in json.dumps([each for each in manifests if each["kind"] == "NetworkPolicy"])


def test_monitoring_has_the_rules_the_dashboard_and_the_key_of_the_operator() -> None:
    manifests = render(EVERYTHING)
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    assert named(manifests, "PrometheusRule", "batchgate")["spec"] == rules
    dashboard = named(manifests, "ConfigMap", "batchgate-dashboard")
    shown = json.loads(dashboard["data"]["batchgate.json"])
    assert shown == json.loads((DEPLOY / "grafana" / "batchgate.json").read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (endpoint,) = named(manifests, "PodMonitor", "batchgate")["spec"]["podMetricsEndpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "batchgate", "key": "operator-key"}
    assert all("prometheus.io/scrape" not in pod["metadata"]["annotations"] for pod in pods(manifests))


def test_changed_settings_restart_the_pods_and_a_longer_timeout_gives_them_longer() -> None:
    before, after = pods(render({}))[0], pods(render({"settings": "live_counts = true\n", "shutdownTimeout": 600}))[0]
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]
    assert after["spec"]["terminationGracePeriodSeconds"] == 630
    assert {"name": "BATCHGATE_SHUTDOWN_TIMEOUT", "value": "600"} in after["spec"]["containers"][0]["env"]


def test_two_releases_in_a_namespace_share_no_name_and_no_pod() -> None:
    one, other = render({}, "one"), render({}, "a-release-with-the-longest-name-that-helm-accepts-abc")
    names = [{(each["kind"], each["metadata"]["name"]) for each in manifests} for manifests in (one, other)]
    assert not names[0] & names[1]
    assert all(len(name) <= 63 for _, name in names[1])
    service = next(each for each in one if each["kind"] == "Service")
    assert not any(service["spec"]["selector"].items() <= pod["metadata"]["labels"].items() for pod in pods(other))


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"mode": "both"}, "mode"),
        ({"worker": {"replicas": -1}}, "replicas"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"gatway": {"replicas": 3}}, "gatway"),
        ({"gateway": {"disruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}}, "disruptionBudget"),
        ({"networkPolicy": {"callers": []}}, "callers"),
    ],
)
def test_wrong_values_are_refused_with_their_place(values: Manifest, place: str) -> None:
    with pytest.raises(helm_python.HelmError, match=place):
        render(values)
