"""Seldon Core 2: a Model a variant, and an Experiment that splits between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import VARIANT, Manifest, about, file, manifest, piece_name, slug
from rivals.infra.reading import found, get, need, quantity, shares
from rivals.placement import Deployment, Piece, Scale, whole

API = "mlops.seldon.io/v1alpha1"
TOTAL = 10_000
SPLIT = (
    "Seldon splits request by request; a client stays with its variant only if it sends x-seldon-route back.",
    "Put the router of rivals in front (deploy kubernetes) where a unit must always meet one variant.",
)


class Seldon:
    """Models, and an Experiment that takes over the champion's name; ``requirements`` are the server's abilities."""

    def __init__(self, requirements: Sequence[str] = ("mlserver",)) -> None:
        self.requirements = list(requirements)

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` where a bundle lies nowhere, or two variants are mirrored."""
        if len(deployment.shadows) > 1:
            names = ", ".join(piece.variant for piece in deployment.shadows)
            raise SpecError(f"An Experiment of Seldon has one mirror; {names} are shadows. Keep one of them.")
        models = [self._model(deployment, piece) for piece in deployment.pieces]
        return {
            "models.yaml": file(models),
            "experiment.yaml": file([self._experiment(deployment)], SPLIT),
        }

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What an Experiment and its Models describe; Models alone are one answering variant. Raises ``SpecError``."""
        if pipelines := found(documents, "Pipeline"):
            raise SpecError(
                f"Pipeline {need(pipelines[0], 'metadata', 'name')}: a pipeline runs over Kafka, step by step; "
                "write it as an ensemble variant of the project, with members and a combiner."
            )
        models = {need(one, "metadata", "name"): one for one in found(documents, "Model")}
        experiments = found(documents, "Experiment")
        if len(experiments) != 1:
            raise SpecError(f"There are {len(experiments)} Experiments here; an endpoint is one of them.")
        experiment = experiments[0]
        if get(experiment, "spec", "resourceType", default="model") != "model":
            raise SpecError("This Experiment splits between pipelines; rivals splits between models.")
        candidates = {need(one, "name"): need(one, "weight") for one in need(experiment, "spec", "candidates")}
        weights = shares(candidates, f"Experiment {need(experiment, 'metadata', 'name')}")
        mirror = get(experiment, "spec", "mirror", default={})
        mirrored = {need(mirror, "name"): need(mirror, "percent") / 100} if mirror else {}
        champion = get(experiment, "spec", "default") or max(weights, key=lambda name: weights[name])
        names = [*weights, *(name for name in mirrored if name not in weights)]
        pieces = [_piece(name, models.get(name, {}), weights.get(name, 0.0), mirrored.get(name, 0.0)) for name in names]
        told = {name: piece.variant for name, piece in zip(names, pieces, strict=True)}
        if champion not in told:
            raise SpecError(f"The default {champion!r} is no candidate; name one of {', '.join(told)}.")
        name = get(experiment, "metadata", "annotations", "rivals/endpoint") or need(experiment, "metadata", "name")
        namespace = get(experiment, "metadata", "namespace", default="default")
        return Deployment(name, told[champion], tuple(pieces), Piece(name), namespace=namespace)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Models first: an Experiment over models that are not there is refused."""
        return [
            ["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", str(folder / name)]
            for name in ("models.yaml", "experiment.yaml")
        ]

    def _model(self, deployment: Deployment, piece: Piece) -> Manifest:
        if not piece.uri:
            raise SpecError(f"{piece.variant!r} lies nowhere that Seldon could load it from; say deploy.bundles.")
        spec: Manifest = {
            "storageUri": piece.uri,
            "requirements": self.requirements,
            "memory": f"{piece.memory_mb}Mi",
            "replicas": piece.scale.least,
        }
        if piece.scale.moves:
            spec |= {"minReplicas": piece.scale.least, "maxReplicas": piece.scale.most}
        return manifest(API, "Model", piece_name(deployment, piece), deployment, annotations=about(piece), spec=spec)

    def _experiment(self, deployment: Deployment) -> Manifest:
        weights = whole([piece.weight for piece in deployment.arms], TOTAL)
        spec: Manifest = {
            "default": piece_name(deployment, deployment.piece(deployment.champion)),
            "candidates": [
                {"name": piece_name(deployment, piece), "weight": weight}
                for piece, weight in zip(deployment.arms, weights, strict=True)
            ],
        }
        for piece in deployment.shadows:
            spec["mirror"] = {"name": piece_name(deployment, piece), "percent": round(piece.mirrored * 100)}
        notes = {"rivals/endpoint": deployment.name}
        return manifest(API, "Experiment", slug(deployment.name), deployment, annotations=notes, spec=spec)


def _piece(name: str, model: Mapping[str, Any], weight: float, mirrored: float) -> Piece:
    notes = get(model, "metadata", "annotations", default={})
    replicas = get(model, "spec", "replicas", default=1)
    least = get(model, "spec", "minReplicas", default=replicas)
    return Piece(
        notes.get(VARIANT, name),
        weight,
        mirrored,
        notes.get("rivals/digest", ""),
        uri=get(model, "spec", "storageUri", default=""),
        memory_mb=round(quantity(get(model, "spec", "memory", default="512Mi")) / 2**20),
        scale=Scale(least, get(model, "spec", "maxReplicas", default=least)),
    )
