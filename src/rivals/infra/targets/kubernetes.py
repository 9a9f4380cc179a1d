"""Kubernetes: the router before one workload a variant, each scaled on its own signal; overlays for three clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.infra.manifests import (
    CONTROL,
    DIGEST,
    HTTP,
    SECURE,
    VARIANT,
    Manifest,
    about,
    chosen,
    file,
    labels,
    lasting,
    manifest,
    piece_name,
    pod,
    probes,
    router_name,
    slug,
)
from rivals.infra.overlays import overlays
from rivals.infra.reading import found, one, quantity
from rivals.placement import Deployment, Piece, Scale, Signal

STATEFUL = (
    "The router is a StatefulSet with a volume: feedback is acknowledged once it is in the journal on that volume,",
    "so that a pod which moves loses none of it.",
)
SPLIT = "The router splits by unit: one unit always meets one variant. A gateway would split request by request."


class Kubernetes:
    """Plain manifests for ``kubectl apply --server-side -k``, in ``base`` and in an overlay for each of ``clouds``.

    ``gateway`` is the Gateway that the HTTPRoute hangs under; ``prometheus`` is whom KEDA asks.
    """

    def __init__(
        self,
        clouds: Sequence[str] = ("eks", "gke", "aks"),
        gateway: str = "edge",
        prometheus: str = "http://prometheus-operated.monitoring:9090",
        monitor: bool = True,
    ) -> None:
        self.clouds, self.gateway, self.prometheus, self.monitor = tuple(clouds), gateway, prometheus, monitor

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` where a cloud is not known."""
        files = {"base/router.yaml": file(self._router(deployment), (*STATEFUL, SPLIT))}
        for piece in deployment.pieces:
            files[f"base/{slug(piece.variant)}.yaml"] = file(self._variant(deployment, piece))
        files["base/network.yaml"] = file(self._network(deployment))
        files["base/route.yaml"] = file([self._route(deployment)])
        files["base/jobs.yaml"] = file(_jobs(deployment), ("Suspended: give each its arguments, then resume it.",))
        if self.monitor:
            files["base/monitor.yaml"] = file([_monitor(deployment)])
        resources = sorted(path.removeprefix("base/") for path in files)
        files["base/kustomization.yaml"] = file(
            [{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}]
        )
        return files | overlays(deployment, self.clouds)

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """The deployment that such files describe. Raises ``SpecError`` where there is no router among them."""
        router = one(documents, "StatefulSet", "the router of rivals")
        container = router["spec"]["template"]["spec"]["containers"][0]
        notes = router["metadata"]["annotations"]
        weights = _shares(notes["rivals/weights"])
        mirrored = _shares(notes["rivals/shadows"])
        pieces = [_read_piece(documents, work, weights, mirrored) for work in found(documents, "Deployment")]
        place = {name: i for i, name in enumerate([*weights, *(name for name in mirrored if name not in weights)])}
        route = found(documents, "HTTPRoute")
        hosts = route[0]["spec"].get("hostnames", [""]) if route else [""]
        secret = [env["valueFrom"]["secretKeyRef"]["name"] for env in container["env"] if env["name"] == "RIVALS_STORE"]
        return Deployment(
            notes["rivals/endpoint"],
            notes["rivals/champion"],
            tuple(sorted(pieces, key=lambda piece: place[piece.variant])),
            Piece(
                notes["rivals/endpoint"],
                image=container["image"],
                scale=Scale(router["spec"]["replicas"], router["spec"]["replicas"]),
                **_size(container),
            ),
            namespace=router["metadata"]["namespace"],
            host=hosts[0],
            store=secret[0] if secret else "",
        )

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Server-side, so that two who apply see their conflict instead of undoing one another."""
        return [["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-k", str(folder / "base")]]

    def _router(self, deployment: Deployment) -> list[Manifest]:
        name, piece = router_name(deployment), deployment.router
        marks = labels(deployment, name, "router")
        replicas = piece.scale.least if deployment.store else 1
        places = [
            f"{one.variant}=http://{piece_name(deployment, one)}:{HTTP}/{slug(one.variant)}"
            for one in deployment.pieces
        ]
        secrets = [_secret("RIVALS_TOKEN", slug(deployment.name, "token"), "token")]
        secrets += [_secret("RIVALS_STORE", deployment.store, "url")] if deployment.store else []
        container = {
            "args": ["serve", "--host", "0.0.0.0", "--port", str(HTTP), "--control-port", str(CONTROL)]  # noqa: S104 -- in a pod, behind a token
            + [word for place in places for word in ("--place", place)],
            "env": secrets,
            "ports": [{"name": "http", "containerPort": HTTP}, {"name": "control", "containerPort": CONTROL}],
            **probes(),
            "volumeMounts": [{"name": "state", "mountPath": "/project/.rivals"}],
        }
        template = {
            "metadata": {"labels": marks},
            "spec": pod(name, container, piece, initContainers=[_seed(piece)], **lasting(name)),
        }
        volume = {
            "metadata": {"name": "state"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        }
        notes = {
            "rivals/endpoint": deployment.name,
            "rivals/champion": deployment.champion,
            "rivals/weights": _told({piece.variant: piece.weight for piece in deployment.arms}),
            "rivals/shadows": _told({piece.variant: piece.mirrored for piece in deployment.shadows}),
        }
        spec = {
            "serviceName": name,
            "replicas": replicas,
            "selector": {"matchLabels": chosen(name)},
            "template": template,
            "volumeClaimTemplates": [volume],
        }
        ports = [_port("http", HTTP), _port("control", CONTROL)]
        made = [
            _account(deployment, name, marks),
            manifest("apps/v1", "StatefulSet", name, deployment, labels=marks, annotations=notes, spec=spec),
            _service(deployment, name, marks, ports),
        ]
        return made + _budget(deployment, name, marks, replicas)

    def _variant(self, deployment: Deployment, piece: Piece) -> list[Manifest]:
        name = piece_name(deployment, piece)
        marks, notes = labels(deployment, name, "variant"), about(piece)
        bundle = f"/bundle/{piece.digest or 'DIGEST'}"
        container = {
            "args": ["serve-bundle", bundle, "--name", slug(piece.variant), "--host", "0.0.0.0", "--port", str(HTTP)],  # noqa: S104 -- as above
            "env": [_secret("RIVALS_TOKEN", slug(deployment.name, "token"), "token")],
            "ports": [{"name": "http", "containerPort": HTTP}],
            **probes(),
        }
        template = {
            "metadata": {"labels": marks, "annotations": notes},
            "spec": pod(name, container, piece, **lasting(name)),
        }
        spec: Manifest = {"selector": {"matchLabels": chosen(name)}, "template": template}
        if not piece.scale.moves:  # else an autoscaler owns the number
            spec = {"replicas": piece.scale.least} | spec
        made = [
            _account(deployment, name, marks),
            manifest("apps/v1", "Deployment", name, deployment, labels=marks, annotations=notes, spec=spec),
            _service(deployment, name, marks, [_port("http", HTTP)]),
        ]
        if piece.scale.moves:
            made.append(self._scaler(deployment, name, marks, piece))
        return made + _budget(deployment, name, marks, piece.scale.least)

    def _scaler(self, deployment: Deployment, name: str, marks: Mapping[str, str], piece: Piece) -> Manifest:
        """One for each workload, never two: an autoscaler on processors, or KEDA on what the router measures."""
        scale = piece.scale
        calm = {"scaleDown": {"stabilizationWindowSeconds": 300}}
        if scale.signal == "cpu":
            metric = {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": round(scale.target)},
                },
            }
            spec = {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": scale.least,
                "maxReplicas": scale.most,
                "metrics": [metric],
                "behavior": calm,
            }
            return manifest(
                "autoscaling/v2", "HorizontalPodAutoscaler", name, deployment, labels=dict(marks), spec=spec
            )
        metadata = {
            "serverAddress": self.prometheus,
            "query": _query(deployment, piece),
            "threshold": f"{scale.target:g}",
            "ignoreNullValues": "false",  # a lost Prometheus must not read as no load
        }
        trigger: Manifest = {"type": "prometheus", "metadata": metadata}
        if scale.signal == "p99_ms":  # a time is the same over all replicas, requests under way are shared by them
            trigger["metricType"] = "Value"
        spec = {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": scale.least,
            "maxReplicaCount": scale.most,
            "fallback": {"failureThreshold": 3, "replicas": scale.most},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": calm}},
            "triggers": [trigger],
        }
        return manifest("keda.sh/v1alpha1", "ScaledObject", name, deployment, labels=dict(marks), spec=spec)

    def _network(self, deployment: Deployment) -> list[Manifest]:
        """Nobody speaks to anybody, but: clients to the router, the router to its variants, all to the name service."""
        part = {"app.kubernetes.io/part-of": slug(deployment.name)}
        router = chosen(router_name(deployment))
        variants = part | {"app.kubernetes.io/component": "variant"}
        names = {
            "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
        }
        inside = [{"protocol": "TCP", "port": HTTP}]
        doors = [*inside, {"protocol": "TCP", "port": CONTROL}]
        to_variants = {"to": [{"podSelector": {"matchLabels": variants}}], "ports": inside}
        out = [names, to_variants]
        if deployment.store:
            out.append({"ports": [{"protocol": "TCP", "port": 5432}]})
        from_router = {"from": [{"podSelector": {"matchLabels": router}}], "ports": inside}
        policies: dict[str, tuple[dict[str, str], Manifest]] = {
            "closed": (part, {"policyTypes": ["Ingress", "Egress"]}),
            "router": (router, {"policyTypes": ["Ingress", "Egress"], "ingress": [{"ports": doors}], "egress": out}),
            "variants": (variants, {"policyTypes": ["Ingress"], "ingress": [from_router]}),
        }
        return [
            manifest(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                slug(deployment.name, name),
                deployment,
                spec={"podSelector": {"matchLabels": pods}, **rest},
            )
            for name, (pods, rest) in policies.items()
        ]

    def _route(self, deployment: Deployment) -> Manifest:
        spec: Manifest = {"parentRefs": [{"name": self.gateway}]}
        if deployment.host:
            spec["hostnames"] = [deployment.host]
        spec["rules"] = [{"backendRefs": [{"name": router_name(deployment), "port": HTTP}]}]
        return manifest("gateway.networking.k8s.io/v1", "HTTPRoute", slug(deployment.name), deployment, spec=spec)


def _secret(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "port": number, "targetPort": name}


def _account(deployment: Deployment, name: str, marks: Mapping[str, str]) -> Manifest:
    made = manifest("v1", "ServiceAccount", name, deployment, labels=dict(marks))
    return made | {"automountServiceAccountToken": False}


def _service(deployment: Deployment, name: str, marks: Mapping[str, str], ports: list[Manifest]) -> Manifest:
    return manifest(
        "v1", "Service", name, deployment, labels=dict(marks), spec={"selector": chosen(name), "ports": ports}
    )


def _budget(deployment: Deployment, name: str, marks: Mapping[str, str], replicas: int) -> list[Manifest]:
    """One pod at a time may be taken; of a single one, a budget would only block the draining of its node."""
    if replicas < 2:  # noqa: PLR2004 -- see above
        return []
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": chosen(name)}}
    return [manifest("policy/v1", "PodDisruptionBudget", name, deployment, labels=dict(marks), spec=spec)]


def _seed(router: Piece) -> Manifest:
    """The volume lies over what the router's image holds: what it lacks is laid there, and nothing is replaced."""
    return {
        "name": "seed",
        "image": router.image,
        "command": ["cp", "-an", "/project/.rivals/.", "/state/"],
        "securityContext": SECURE,
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }


def _query(deployment: Deployment, piece: Piece) -> str:
    """What is measured: by Little's law, seconds of answering per second are requests under way."""
    of = f'{{endpoint="{deployment.name}",variant="{piece.variant}"}}'
    if piece.scale.signal == "in_flight":
        return f"sum(rate(rivals_request_duration_seconds_sum{of}[1m]))"
    return f"1000 * histogram_quantile(0.99, sum by (le) (rate(rivals_request_duration_seconds_bucket{of}[1m])))"


def _monitor(deployment: Deployment) -> Manifest:
    name = router_name(deployment)
    token = {"type": "Bearer", "credentials": {"name": slug(deployment.name, "token"), "key": "token"}}
    spec = {
        "selector": {"matchLabels": chosen(name)},
        "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s", "authorization": token}],
    }
    return manifest("monitoring.coreos.com/v1", "ServiceMonitor", name, deployment, spec=spec)


def _jobs(deployment: Deployment) -> list[Manifest]:
    """Batch scoring on a schedule, and training: the router's image with other words."""
    made: list[Manifest] = []
    for words, kind in ((["batch", "IN", "OUT"], "CronJob"), (["train"], "Job")):
        name = slug(deployment.name, words[0])
        marks = labels(deployment, name, words[0])
        template = {
            "metadata": {"labels": marks},
            "spec": pod(name, {"args": words}, deployment.router, restartPolicy="OnFailure"),
        }
        job: Manifest = {"backoffLimit": 2, "ttlSecondsAfterFinished": 86_400, "template": template}
        spec: Manifest = {"suspend": True} | job
        if kind == "CronJob":
            spec = {
                "schedule": "15 2 * * *",
                "concurrencyPolicy": "Forbid",
                "suspend": True,
                "jobTemplate": {"spec": job},
            }
        made += [
            _account(deployment, name, marks),
            manifest("batch/v1", kind, name, deployment, labels=marks, spec=spec),
        ]
    return made


def _told(shares: Mapping[str, float]) -> str:
    return ",".join(f"{name}={share!r}" for name, share in shares.items())


def _shares(told: str) -> dict[str, float]:
    return {name: float(share) for name, _, share in (part.partition("=") for part in told.split(",") if part)}


def _size(container: Mapping[str, Any]) -> dict[str, Any]:
    asked = container["resources"]["requests"]
    return {"cpu": quantity(asked["cpu"]), "memory_mb": round(quantity(asked["memory"]) / 2**20)}


def _read_piece(
    documents: Sequence[Mapping[str, Any]],
    work: Mapping[str, Any],
    weights: Mapping[str, float],
    mirrored: Mapping[str, float],
) -> Piece:
    name, notes = work["metadata"]["name"], work["metadata"]["annotations"]
    container = work["spec"]["template"]["spec"]["containers"][0]
    variant = notes[VARIANT]
    return Piece(
        variant,
        weights.get(variant, 0.0),
        mirrored.get(variant, 0.0),
        notes.get(DIGEST, ""),
        container["image"],
        scale=_read_scale(documents, name, work),
        **_size(container),
    )


def _read_scale(documents: Sequence[Mapping[str, Any]], name: str, work: Mapping[str, Any]) -> Scale:
    for scaler in found(documents, "HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        if spec["scaleTargetRef"]["name"] == name:
            target = spec["metrics"][0]["resource"]["target"]["averageUtilization"]
            return Scale(spec["minReplicas"], spec["maxReplicas"], "cpu", float(target))
    for scaler in found(documents, "ScaledObject"):
        spec = scaler["spec"]
        if spec["scaleTargetRef"]["name"] == name:
            trigger = spec["triggers"][0]
            signal: Signal = "p99_ms" if trigger.get("metricType") == "Value" else "in_flight"
            target = float(trigger["metadata"]["threshold"])
            return Scale(spec["minReplicaCount"], spec["maxReplicaCount"], signal, target)
    replicas = work["spec"].get("replicas", 1)
    return Scale(replicas, replicas)
