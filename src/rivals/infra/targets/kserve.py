"""KServe: one InferenceService whose canaries are the challengers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import Manifest, about, file, manifest, slug
from rivals.infra.reading import found, get, need, one, quantity
from rivals.placement import Deployment, Piece, Scale, Signal, whole

STANDARD = {"serving.kserve.io/deploymentMode": "Standard"}
METRICS: Mapping[Signal, str] = {"cpu": "cpu", "in_flight": "concurrency"}
SPLIT = (
    "KServe splits request by request: a client meets now one variant, now another.",
    "Put the router of rivals in front (deploy kubernetes) where a unit must always meet one variant.",
)


class KServe:
    """An InferenceService in Standard mode; ``format`` is what its serving runtime loads a bundle as."""

    def __init__(self, format: str = "mlflow") -> None:  # noqa: A002 -- the name of the option, as KServe has it
        self.format = format

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` for what KServe has no words for."""
        if deployment.shadows:
            raise SpecError(f"KServe has no shadows, and {deployment.shadows[0].variant!r} is one; remove it.")
        stable = deployment.piece(deployment.champion)
        others = [piece for piece in deployment.pieces if piece is not stable]
        percent = whole([piece.weight for piece in (stable, *others)])
        if stable.weight and not percent[0]:
            raise SpecError("The champion's share is below one in a hundred, which KServe cannot say.")
        spec: Manifest = {"predictor": self._predictor(stable)}
        if others:
            spec["canary"] = [
                {"predictor": {"name": slug(piece.variant), **self._model(piece)}, "trafficPercent": share}
                for piece, share in zip(others, percent[1:], strict=True)
            ]
        notes = STANDARD | about(stable) | {"rivals/endpoint": deployment.name}
        notes |= {f"rivals/{slug(piece.variant)}": piece.variant for piece in others}
        name = slug(deployment.name)
        made = manifest("serving.kserve.io/v1beta1", "InferenceService", name, deployment, annotations=notes, spec=spec)
        return {"inferenceservice.yaml": file([made], SPLIT)}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What an InferenceService, or a splitting InferenceGraph, describes. Raises ``SpecError``."""
        if graphs := found(documents, "InferenceGraph"):
            return _graph(graphs[0])
        service = one(documents, "InferenceService", "an endpoint")
        notes = get(service, "metadata", "annotations", default={})
        name = notes.get("rivals/endpoint", need(service, "metadata", "name"))
        predictor = need(service, "spec", "predictor")
        if get(service, "spec", "transformer"):
            raise SpecError("This InferenceService has a transformer; make it steps of the variant's features instead.")
        if (percent := get(predictor, "canaryTrafficPercent")) is not None:
            raise SpecError(
                f"canaryTrafficPercent: {percent} splits between this revision and the one before it, which is not in "
                "the file; name both models as variants, with their weights."
            )
        canaries = get(service, "spec", "canary", default=[])
        rest = 100 - sum(need(canary, "trafficPercent") for canary in canaries)
        if rest < 0:
            raise SpecError(f"The canaries take {100 - rest} % of the traffic; there are 100.")
        stable = _piece(predictor, notes.get("rivals/variant", get(predictor, "name", default=name)), rest / 100)
        stable = replace(stable, digest=notes.get("rivals/digest", ""))
        pieces = [stable]
        for canary in canaries:
            inner = need(canary, "predictor")
            named = need(inner, "name")
            pieces.append(_piece(inner, notes.get(f"rivals/{named}", named), canary["trafficPercent"] / 100))
        namespace = get(service, "metadata", "namespace", default="default")
        return Deployment(name, stable.variant, tuple(pieces), Piece(name), namespace=namespace)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """One object."""
        file_ = str(folder / "inferenceservice.yaml")
        return [["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", file_]]

    def _predictor(self, piece: Piece) -> Manifest:
        scale = piece.scale
        made: Manifest = {"name": slug(piece.variant), "minReplicas": scale.least, "maxReplicas": scale.most}
        if scale.moves:
            if scale.signal not in METRICS:
                raise SpecError(f"{piece.variant!r} scales on {scale.signal}; KServe knows {', '.join(METRICS)}.")
            made |= {"scaleMetric": METRICS[scale.signal], "scaleTarget": round(scale.target)}
        return made | self._model(piece)

    def _model(self, piece: Piece) -> Manifest:
        if not piece.uri:
            raise SpecError(f"{piece.variant!r} lies nowhere that KServe could load it from; say deploy.bundles.")
        resources = {
            "requests": {"cpu": f"{round(piece.cpu * 1000)}m", "memory": f"{piece.memory_mb}Mi"},
            "limits": {"memory": f"{piece.memory_mb}Mi"},
        }
        return {
            "model": {
                "modelFormat": {"name": self.format},
                "protocolVersion": "v2",
                "storageUri": piece.uri,
                "resources": resources,
            }
        }


def _piece(predictor: Mapping[str, Any], variant: str, weight: float) -> Piece:
    model = get(predictor, "model", default={})
    asked = get(model, "resources", "requests", default={})
    least = get(predictor, "minReplicas", default=1)
    signal = {"concurrency": "in_flight"}.get(get(predictor, "scaleMetric", default="cpu"), "cpu")
    target = float(get(predictor, "scaleTarget", default=70))
    return Piece(
        variant,
        weight,
        uri=get(model, "storageUri", default=""),
        format=get(model, "modelFormat", "name", default="rivals"),
        cpu=quantity(asked.get("cpu", "250m")),
        memory_mb=round(quantity(asked.get("memory", "512Mi")) / 2**20),
        scale=Scale(least, get(predictor, "maxReplicas", default=least), signal, target),  # type: ignore[arg-type]  # one of two, looked up above
    )


def _graph(graph: Mapping[str, Any]) -> Deployment:
    root = need(graph, "spec", "nodes", "root")
    kind, name = need(root, "routerType"), need(graph, "metadata", "name")
    if kind != "Splitter":
        told = {"Switch": "the endpoint's policy `match`", "Ensemble": "an ensemble variant"}.get(kind, "one variant")
        raise SpecError(f"InferenceGraph {name}: its root is a {kind}; in a project that is {told}.")
    pieces = []
    for step in need(root, "steps"):
        variant = step.get("serviceName") or step.get("nodeName") or step.get("name")
        if not variant:
            raise SpecError(f"InferenceGraph {name}: a step names no service.")
        pieces.append(Piece(str(variant), need(step, "weight") / 100, uri=step.get("serviceUrl", "")))
    if (total := round(sum(piece.weight for piece in pieces) * 100)) != 100:  # noqa: PLR2004 -- per cent
        raise SpecError(f"InferenceGraph {name}: the weights add up to {total}, not to 100.")
    champion = max(pieces, key=lambda piece: piece.weight).variant
    return Deployment(name, champion, tuple(pieces), Piece(name))
