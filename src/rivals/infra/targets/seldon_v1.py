"""Seldon Core 1: one SeldonDeployment, a predictor a variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import Manifest, file, manifest, slug
from rivals.infra.reading import get, need, one, quantity, shares
from rivals.placement import Deployment, Piece, Scale, whole

SPLIT = ("Seldon Core 1 splits request by request, and throws a shadow's answers away.",)
SERVER = "MLFLOW_SERVER"  # every bundle is an MLflow model too


class SeldonV1:
    """A SeldonDeployment of the V2 protocol; a variant's bundle is loaded as the MLflow model that it is."""

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` where a bundle lies nowhere."""
        weights = dict(
            zip(
                (piece.variant for piece in deployment.arms),
                whole([piece.weight for piece in deployment.arms]),
                strict=True,
            )
        )
        predictors = [_predictor(piece, weights.get(piece.variant, 0)) for piece in deployment.pieces]
        notes = {"rivals/endpoint": deployment.name, "rivals/champion": deployment.champion}
        spec = {"name": slug(deployment.name), "protocol": "v2", "predictors": predictors}
        made = manifest(
            "machinelearning.seldon.io/v1",
            "SeldonDeployment",
            slug(deployment.name),
            deployment,
            annotations=notes,
            spec=spec,
        )
        return {"seldondeployment.yaml": file([made], SPLIT)}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What a SeldonDeployment describes. Raises ``SpecError``: a graph of several nodes is an ensemble."""
        whole_ = one(documents, "SeldonDeployment", "an endpoint")
        predictors = need(whole_, "spec", "predictors")
        for predictor in predictors:
            for node in _graph(need(predictor, "graph")):
                if node.get("type", "MODEL") != "MODEL" or node.get("children"):
                    raise SpecError(
                        f"Predictor {need(predictor, 'name')}: its graph has a {node.get('type', 'chain')}; write "
                        "routers as the endpoint's policy and combiners as an ensemble variant of the project."
                    )
        answering = [predictor for predictor in predictors if not get(predictor, "shadow", default=False)]
        if not answering:
            raise SpecError("All predictors are shadows, so nobody would answer.")
        even = 100 if len(answering) == 1 else None
        asked = {need(one, "name"): get(one, "traffic", default=even) for one in answering}
        if missing := [name for name, traffic in asked.items() if traffic is None]:
            raise SpecError(f"Predictor {missing[0]}: traffic is missing; with several predictors each needs its own.")
        weights = shares(asked, "SeldonDeployment")
        notes = get(whole_, "metadata", "annotations", default={})
        pieces = tuple(_piece(one, weights.get(need(one, "name"), 0.0)) for one in predictors)
        named = {piece.variant for piece in pieces}
        champion = notes.get("rivals/champion", max(weights, key=lambda name: weights[name]))
        if champion not in named:
            champion = max(pieces, key=lambda piece: piece.weight).variant
        name = notes.get("rivals/endpoint", need(whole_, "metadata", "name"))
        namespace = get(whole_, "metadata", "namespace", default="default")
        return Deployment(name, champion, pieces, Piece(name), namespace=namespace)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """One object."""
        file_ = str(folder / "seldondeployment.yaml")
        return [["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", file_]]


def _predictor(piece: Piece, traffic: int) -> Manifest:
    if not piece.uri:
        raise SpecError(f"{piece.variant!r} lies nowhere that Seldon could load it from; say deploy.bundles.")
    name = slug(piece.variant)
    resources = {
        "requests": {"cpu": f"{round(piece.cpu * 1000)}m", "memory": f"{piece.memory_mb}Mi"},
        "limits": {"memory": f"{piece.memory_mb}Mi"},
    }
    component: Manifest = {"spec": {"containers": [{"name": name, "resources": resources}]}}
    made: Manifest = {
        "name": name,
        "annotations": {"rivals/variant": piece.variant, "rivals/digest": piece.digest},
        "graph": {"name": name, "implementation": SERVER, "modelUri": piece.uri, "type": "MODEL"},
        "componentSpecs": [component],
    }
    if piece.mirrored:
        made |= {"shadow": True, "traffic": round(piece.mirrored * 100)}
    else:
        made["traffic"] = traffic
    if piece.scale.moves:
        metric = {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": round(piece.scale.target)},
            },
        }
        component["hpaSpec"] = {
            "minReplicas": piece.scale.least,
            "maxReplicas": piece.scale.most,
            "metricsv2": [metric],
        }
    else:
        made["replicas"] = piece.scale.least
    return made


def _piece(predictor: Mapping[str, Any], weight: float) -> Piece:
    notes = get(predictor, "annotations", default={})
    component = get(predictor, "componentSpecs", 0, default={})
    asked = get(component, "spec", "containers", 0, "resources", "requests", default={})
    replicas = get(predictor, "replicas", default=1)
    scaler = get(component, "hpaSpec", default={})
    least = scaler.get("minReplicas", 1) if scaler else replicas
    target = get(scaler, "metricsv2", 0, "resource", "target", "averageUtilization", default=70)
    shadow = get(predictor, "shadow", default=False)
    return Piece(
        notes.get("rivals/variant", need(predictor, "name")),
        weight,
        get(predictor, "traffic", default=100) / 100 if shadow else 0.0,
        notes.get("rivals/digest", ""),
        uri=get(predictor, "graph", "modelUri", default=""),
        cpu=quantity(asked.get("cpu", "250m")),
        memory_mb=round(quantity(asked.get("memory", "512Mi")) / 2**20),
        scale=Scale(least, scaler.get("maxReplicas", least) if scaler else least, "cpu", float(target)),
    )


def _graph(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("children") or ():
        yield from _graph(child)
