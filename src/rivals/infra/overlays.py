"""What differs between the clouds: the disk's class, whose identity a pod has, where bundles lie, which nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rivals.errors import SpecError
from rivals.infra.manifests import Manifest, file, router_name, slug
from rivals.placement import Deployment


@dataclass(frozen=True, slots=True)
class Cloud:
    """One of them. ``account`` annotates the router's ServiceAccount, ``pod`` labels its pods."""

    disk: str
    scheme: str
    nodes: str  # the node label that names a pool
    account: str
    pod: tuple[str, str] | None = None


CLOUDS: Mapping[str, Cloud] = {
    "eks": Cloud("gp3", "s3", "eks.amazonaws.com/nodegroup", "eks.amazonaws.com/role-arn"),
    "gke": Cloud("premium-rwo", "gs", "cloud.google.com/gke-nodepool", "iam.gke.io/gcp-service-account"),
    "aks": Cloud(
        "managed-csi-premium",
        "abfs",
        "kubernetes.azure.com/agentpool",
        "azure.workload.identity/client-id",
        ("azure.workload.identity/use", "true"),
    ),
}


def overlays(deployment: Deployment, clouds: Sequence[str]) -> dict[str, str]:
    """A Kustomize overlay for each cloud; what is yours to fill in is in capitals. Raises ``SpecError``."""
    if strange := [name for name in clouds if name not in CLOUDS]:
        raise SpecError(f"There is no overlay for {strange[0]!r}; there are {', '.join(CLOUDS)}.")
    return {f"overlays/{name}/kustomization.yaml": file([_overlay(deployment, CLOUDS[name])]) for name in clouds}


def _overlay(deployment: Deployment, cloud: Cloud) -> Manifest:
    name = router_name(deployment)
    state: Manifest = {
        "metadata": {"name": "state"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": cloud.disk,
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }
    where = f"{cloud.scheme}://BUCKET/{slug(deployment.name)}"
    template: Manifest = {
        "spec": {
            "nodeSelector": {cloud.nodes: "POOL"},
            "containers": [{"name": "main", "env": [{"name": "RIVALS_BUNDLES", "value": where}]}],
        }
    }
    if cloud.pod:
        template["metadata"] = {"labels": dict([cloud.pod])}
    patches = [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": name},
            "spec": {"volumeClaimTemplates": [state], "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "annotations": {cloud.account: "IDENTITY"}},
        },
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base"],
        "patches": [{"patch": file([patch])} for patch in patches],
    }
