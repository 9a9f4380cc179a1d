"""What Kubernetes manifests have in common: names, labels, pods that pass the restricted standard, files of YAML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from rivals.placement import Deployment, Piece

Manifest = dict[str, Any]

VARIANT, DIGEST = "rivals/variant", "rivals/digest"  # annotations: names and digests do not fit into labels
HTTP, GRPC, CONTROL = 8080, 8081, 8090
USER = 10001
LABEL = 63  # characters of a label of DNS

SECURE = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD_SECURE = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def slug(*words: str) -> str:
    """A name for DNS: lower case, digits and hyphens, 63 characters at most; different words, different names."""
    plain = "-".join(words)
    made = re.sub(r"[^a-z0-9-]+", "-", plain.lower()).strip("-")
    if made == plain and len(made) <= LABEL:
        return made
    return f"{made[: LABEL - 7].strip('-')}-{hashlib.sha256(plain.encode()).hexdigest()[:6]}"


def router_name(deployment: Deployment) -> str:
    """Of the router's workload and Service."""
    return slug(deployment.name, "router")


def piece_name(deployment: Deployment, piece: Piece) -> str:
    """Of a variant's workload and Service."""
    return slug(deployment.name, piece.variant)


def labels(deployment: Deployment, name: str, component: str) -> dict[str, str]:
    """What everything of one workload is found by."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": slug(deployment.name),
        "app.kubernetes.io/component": component,
    }


def chosen(name: str) -> dict[str, str]:
    """The one label that selects a workload's pods."""
    return {"app.kubernetes.io/name": name}


def manifest(version: str, kind: str, name: str, deployment: Deployment, **rest: Any) -> Manifest:
    """The head of every object, then the rest."""
    meta: Manifest = {"name": name, "namespace": deployment.namespace}
    meta |= {key: rest.pop(key) for key in ("labels", "annotations") if rest.get(key)}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}


def about(piece: Piece) -> dict[str, str]:
    """Annotations that say which variant this is."""
    return {VARIANT: piece.variant} | ({DIGEST: piece.digest} if piece.digest else {})


def pod(name: str, container: Manifest, piece: Piece, **rest: Any) -> Manifest:
    """The spec of a pod that passes the restricted Pod Security Standard, around one container."""
    container = {
        "name": "main",
        "image": piece.image,
        **container,
        # No limit on processors: throttling is what hurts the slowest answers.
        "resources": {
            "requests": {"cpu": f"{round(piece.cpu * 1000)}m", "memory": f"{piece.memory_mb}Mi"},
            "limits": {"memory": f"{piece.memory_mb}Mi"},
        },
        "securityContext": SECURE,
    }
    container["volumeMounts"] = [{"name": "scratch", "mountPath": "/tmp"}, *container.get("volumeMounts", ())]  # noqa: S108 -- in a container of its own
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURE,
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}}],
        **rest,
    }


def lasting(name: str) -> Manifest:
    """What a pod that serves has beside its container: time to drain, and its replicas on several nodes."""
    return {
        "terminationGracePeriodSeconds": 45,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": chosen(name)},
            }
        ],
    }


def probes() -> Manifest:
    """Ready once every bundle has answered its probe; alive while it answers at all; off the list before it stops."""

    def ask(path: str, period: int, failures: int) -> Manifest:
        return {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": period,
            "failureThreshold": failures,
        }

    return {
        "startupProbe": ask("/v2/health/ready", 2, 150),
        "readinessProbe": ask("/v2/health/ready", 5, 3),
        "livenessProbe": ask("/v2/health/live", 10, 6),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},
    }


class _Plain(yaml.SafeDumper):
    """Writes what two objects share twice: not every reader of YAML follows an alias."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def file(documents: Iterable[Mapping[str, Any]], head: Sequence[str] = ()) -> str:
    """Documents as one YAML file, under lines of comment."""
    told = "".join(f"# {line}\n" if line else "#\n" for line in head)
    written = (yaml.dump(dict(one), Dumper=_Plain, sort_keys=False, width=10_000) for one in documents)
    return told + "---\n".join(written)
