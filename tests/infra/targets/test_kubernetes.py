"""Manifests as a cluster's API server would take them, and as they hang together."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from rivals.errors import SpecError
from rivals.infra.targets.kubernetes import Kubernetes
from tests.infra.targets.deployments import FLIGHTS, documents

FILES = Kubernetes().render(FLIGHTS)
ALL = documents({name: text for name, text in FILES.items() if name.startswith("base/")})
WORKLOADS = [one for one in ALL if one["kind"] in {"Deployment", "StatefulSet"}]
CORE = {"apps/v1", "v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"}
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])

# What an API server checks of custom resources, from their published types: required, and nothing else but these.
CUSTOM: Mapping[str, tuple[set[str], set[str]]] = {
    "HTTPRoute": ({"parentRefs", "rules"}, {"hostnames"}),
    "ScaledObject": (
        {"scaleTargetRef", "triggers"},
        {"minReplicaCount", "maxReplicaCount", "fallback", "advanced", "pollingInterval", "cooldownPeriod"},
    ),
    "ServiceMonitor": ({"selector", "endpoints"}, {"namespaceSelector", "jobLabel"}),
}


def pod(work: Mapping[str, Any]) -> Mapping[str, Any]:
    return work["spec"]["template"]["spec"]


@pytest.mark.parametrize("minor", range(29, NEWEST + 1))
def test_every_schema_from_1_29_takes_them(minor: int) -> None:
    for one in ALL:
        if one["apiVersion"] in CORE:
            kubernetes_validate.validate(one, f"1.{minor}", strict=True)


def test_custom_resources_have_what_their_types_require_and_nothing_else() -> None:
    seen = set()
    for one in ALL:
        if one["apiVersion"] not in CORE:
            required, more = CUSTOM[one["kind"]]
            assert required <= one["spec"].keys() <= required | more, one["kind"]
            seen.add(one["kind"])
    assert seen == CUSTOM.keys()


def test_every_selector_finds_the_pods_of_one_workload() -> None:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in WORKLOADS}
    for one in ALL:
        if one["kind"] in {"Service", "PodDisruptionBudget", "Deployment", "StatefulSet"}:
            wanted = one["spec"]["selector"] if one["kind"] == "Service" else one["spec"]["selector"]["matchLabels"]
            hit = [name for name, marks in pods.items() if wanted.items() <= marks.items()]
            assert hit == [one["metadata"]["name"]], one["kind"]


def test_every_port_that_is_named_is_there() -> None:
    services = {one["metadata"]["name"]: one for one in ALL if one["kind"] == "Service"}
    for work in WORKLOADS:
        ports = {port["name"]: port["containerPort"] for port in pod(work)["containers"][0]["ports"]}
        for port in services[work["metadata"]["name"]]["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert pod(work)["containers"][0][probe]["httpGet"]["port"] in ports
    route = next(one for one in ALL if one["kind"] == "HTTPRoute")
    for ref in route["spec"]["rules"][0]["backendRefs"]:
        assert ref["port"] in [port["port"] for port in services[ref["name"]]["spec"]["ports"]]
    router = next(one for one in WORKLOADS if one["kind"] == "StatefulSet")
    words = pod(router)["containers"][0]["args"]
    places = [words[i + 1] for i, word in enumerate(words) if word == "--place"]
    assert [place.partition("=")[0] for place in places] == ["blend", "Big_Net", "old"]
    for place in places:
        host, _, rest = place.partition("http://")[2].partition(":")
        port, _, model = rest.partition("/")
        assert int(port) in [one["port"] for one in services[host]["spec"]["ports"]]
        served = pod(next(one for one in WORKLOADS if one["metadata"]["name"] == host))["containers"][0]["args"]
        assert served[0] == "serve-bundle"
        assert served[served.index("--name") + 1] == model
        assert served[served.index("--port") + 1] == port
        assert re.fullmatch(r"/bundle/[abc]{64}", served[1])


def test_there_is_one_autoscaler_a_workload_and_it_owns_the_number() -> None:
    scalers = [one for one in ALL if one["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}]
    targets = Counter(one["spec"]["scaleTargetRef"]["name"] for one in scalers)
    assert set(targets.values()) == {1}
    for work in WORKLOADS:
        assert ("replicas" in work["spec"]) != (work["metadata"]["name"] in targets)
    assert {one["kind"] for one in scalers} == {"HorizontalPodAutoscaler", "ScaledObject"}


def test_every_pod_passes_the_restricted_standard() -> None:
    templates = [pod(one) for one in WORKLOADS]
    templates += [one["spec"]["template"]["spec"] for one in ALL if one["kind"] == "Job"]
    templates += [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in ALL if one["kind"] == "CronJob"]
    assert len(templates) == len(WORKLOADS) + 2
    for spec in templates:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        assert all(set(volume) <= {"name", "emptyDir"} for volume in spec["volumes"])
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        for container in spec["containers"]:
            assert {"requests", "limits"} == container["resources"].keys()


def test_nobody_is_let_in_or_out_who_was_not_named() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in ALL if one["kind"] == "NetworkPolicy"}
    closed = policies["flights-closed"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed
    assert "egress" not in closed
    assert policies["flights-variants"]["ingress"][0]["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "flights-router"}}}
    ]


def test_a_new_image_brings_its_bundles_to_the_volume_and_replaces_nothing_there(tmp_path: Path) -> None:
    router = pod(next(one for one in WORKLOADS if one["kind"] == "StatefulSet"))
    (seed,) = router["initContainers"]
    assert seed["image"] == router["containers"][0]["image"]
    image, volume = tmp_path / "image", tmp_path / "volume"
    for folder, store, bundle in ((image, "of the image", "new"), (volume, "of the volume", "old")):
        (folder / "bundles" / bundle).mkdir(parents=True)
        (folder / "store.db").write_text(store)
    words = [word.replace("/project/.rivals", str(image)).replace("/state", str(volume)) for word in seed["command"]]
    for _ in range(2):  # a pod starts more than once
        subprocess.run(words, check=True)
    assert (volume / "store.db").read_text() == "of the volume"
    assert {one.name for one in (volume / "bundles").iterdir()} == {"new", "old"}


def test_the_router_keeps_its_journal_on_a_volume_and_is_several_only_with_a_store() -> None:
    router = next(one for one in WORKLOADS if one["kind"] == "StatefulSet")
    assert router["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    assert router["spec"]["replicas"] == 2
    from dataclasses import replace

    alone = documents(Kubernetes().render(replace(FLIGHTS, store="")))
    assert next(one for one in alone if one["kind"] == "StatefulSet")["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("cloud", "disk", "where"),
    [
        ("eks", "gp3", "s3://BUCKET/flights"),
        ("gke", "premium-rwo", "gs://BUCKET/flights"),
        ("aks", "managed-csi-premium", "abfs://BUCKET/flights"),
    ],
)
def test_an_overlay_brings_disk_identity_store_and_nodes(cloud: str, disk: str, where: str) -> None:
    text = FILES[f"overlays/{cloud}/kustomization.yaml"]
    for word in (disk, where, "nodeSelector", "POOL", "IDENTITY", "../../base"):
        assert word in text


def test_a_cloud_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="no overlay for 'ibm'; there are eks, gke, aks"):
        Kubernetes(clouds=["ibm"]).render(FLIGHTS)
