"""KubeRay: a RayService of the variants, and a RayCluster with a RayJob to train on; the router stands in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from rivals.errors import SpecError
from rivals.infra.manifests import Manifest, about, file, labels, manifest, pod, slug
from rivals.infra.reading import need, one
from rivals.infra.targets.ray_serve import HTTP, RayServe, read_config
from rivals.placement import Deployment, Piece

FOLDER = "/bundles"  # in a pod: where the claim is mounted
PROJECT = "/project"
PORTS = [
    {"name": "gcs", "containerPort": 6379},
    {"name": "dashboard", "containerPort": 8265},
    {"name": "client", "containerPort": 10001},
    {"name": "http", "containerPort": HTTP},
]


class KubeRay:
    """``image`` has Ray and `rivals[ray]`; the claims ``bundles`` and ``project`` can be mounted on several nodes.

    ``ray`` is the version of Ray in the image, ``workers`` the most that a training gets.
    """

    def __init__(
        self,
        image: str = "localhost/rivals-ray:2.60.0",
        ray: str = "2.60.0",
        bundles: str = "rivals-bundles",
        project: str = "rivals-project",
        workers: int = 4,
    ) -> None:
        self.image, self.ray, self.claims, self.workers = image, ray, (bundles, project), workers

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError``."""
        service = slug(deployment.name, "ray")
        serve = RayServe(bundles=FOLDER, host="0.0.0.0")  # noqa: S104 -- in a pod, behind a NetworkPolicy
        config = file([serve.config(deployment)])
        most = sum(piece.scale.most for piece in deployment.pieces)
        worker = max(deployment.pieces, key=lambda piece: piece.cpu)
        worker = replace(worker, memory_mb=max(piece.memory_mb for piece in deployment.pieces) + 1024)
        cluster = self._cluster(deployment, service, worker, most)
        placed = RayServe(host=f"{service}-serve-svc.{deployment.namespace}.svc").head(deployment)
        notes = {"rivals/endpoint": deployment.name}
        spec = {
            "serviceUnhealthySecondThreshold": 300,
            "deploymentUnhealthySecondThreshold": 300,
            "serveConfigV2": config,
            "rayClusterConfig": cluster,
        }
        made = manifest("ray.io/v1", "RayService", service, deployment, annotations=notes, spec=spec)
        name = slug(deployment.name, "train")
        training = self._cluster(deployment, name, Piece(name, cpu=1.0, memory_mb=4096), self.workers)
        job = {
            "entrypoint": f"rivals train --backend ray -f {PROJECT}/rivals.yaml",
            "clusterSelector": {"ray.io/cluster": name},
            "submissionMode": "HTTPMode",
            "backoffLimit": 2,
        }
        return {
            "service.yaml": file([made], placed),
            "cluster.yaml": file([manifest("ray.io/v1", "RayCluster", name, deployment, spec=training)]),
            "train.yaml": file([manifest("ray.io/v1", "RayJob", name, deployment, spec=job)]),
        }

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What a RayService of ours describes. Raises ``SpecError``."""
        service = one(documents, "RayService", "an endpoint")
        raw = need(service, "spec", "serveConfigV2")
        if not isinstance(raw, str):
            raise SpecError("serveConfigV2 is a string of YAML, not a mapping; write it as a block: |")
        return read_config(yaml.safe_load(raw), need(service, "metadata").get("namespace", "default"))

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """The cluster before the job that runs on it."""
        return [
            ["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", str(folder / name)]
            for name in ("service.yaml", "cluster.yaml", "train.yaml")
        ]

    def _cluster(self, deployment: Deployment, name: str, worker: Piece, most: int) -> Manifest:
        head = Piece(name, image=self.image, cpu=1.0, memory_mb=2048)
        return {
            "rayVersion": self.ray,
            "enableInTreeAutoscaling": True,
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104 -- in a pod
                "template": self._template(deployment, name, head, {"ports": PORTS}),
            },
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": 1,
                    "minReplicas": 1,
                    "maxReplicas": most,
                    "rayStartParams": {},
                    "template": self._template(deployment, name, replace(worker, image=self.image), {}),
                }
            ],
        }

    def _template(self, deployment: Deployment, name: str, piece: Piece, container: Manifest) -> Manifest:
        """Pods that KubeRay fills in; they see the bundles and the project's folder."""
        mounts = [{"name": "bundles", "mountPath": FOLDER}, {"name": "project", "mountPath": PROJECT}]
        made = pod(name, {**container, "volumeMounts": mounts}, piece)
        made.pop("serviceAccountName")  # KubeRay makes one for the autoscaler
        made.pop("automountServiceAccountToken")
        made["volumes"] += [
            {"name": mount["name"], "persistentVolumeClaim": {"claimName": claim}}
            for mount, claim in zip(mounts, self.claims, strict=True)
        ]
        notes = about(piece) if piece.digest else {}
        return {"metadata": {"labels": labels(deployment, name, "ray"), "annotations": notes}, "spec": made}
