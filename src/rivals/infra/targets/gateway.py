"""The Gateway API alone: an HTTPRoute that splits and mirrors, with no router of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import HTTP, Manifest, file, manifest, piece_name, slug
from rivals.infra.reading import get, need, one, shares
from rivals.placement import Deployment, Piece, whole

TOTAL = 10_000
SPLIT = (
    "A gateway splits request by request, and throws mirrored answers away: units are not kept with one variant, and",
    "nothing is judged. With the router of rivals in front (deploy kubernetes) both are.",
)


class Gateway:
    """An HTTPRoute over the variants' Services; a request with X-Rivals-Variant is sent where it says."""

    def __init__(self, gateway: str = "edge", timeout: str = "5s") -> None:
        self.gateway, self.timeout = gateway, timeout

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path."""
        pins = [
            {
                "matches": [{"headers": [{"name": "x-rivals-variant", "value": piece.variant}]}],
                "backendRefs": [{"name": piece_name(deployment, piece), "port": HTTP}],
            }
            for piece in deployment.arms
        ]
        weights = whole([piece.weight for piece in deployment.arms], TOTAL)
        split: Manifest = {
            "timeouts": {"request": self.timeout},
            "backendRefs": [
                {"name": piece_name(deployment, piece), "port": HTTP, "weight": weight}
                for piece, weight in zip(deployment.arms, weights, strict=True)
            ],
        }
        mirrors = [
            {
                "type": "RequestMirror",
                "requestMirror": {
                    "backendRef": {"name": piece_name(deployment, piece), "port": HTTP},
                    "percent": round(piece.mirrored * 100),
                },
            }
            for piece in deployment.shadows
        ]
        if mirrors:
            split = {"filters": mirrors} | split
        spec: Manifest = {"parentRefs": [{"name": self.gateway}]}
        if deployment.host:
            spec["hostnames"] = [deployment.host]
        spec["rules"] = [*pins, split]
        notes = {"rivals/endpoint": deployment.name, "rivals/champion": deployment.champion}
        notes |= {f"rivals/{piece_name(deployment, piece)}": piece.variant for piece in deployment.pieces}
        name = slug(deployment.name)
        made = manifest("gateway.networking.k8s.io/v1", "HTTPRoute", name, deployment, annotations=notes, spec=spec)
        return {"httproute.yaml": file([made], SPLIT)}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What the last rule without a match splits. Raises ``SpecError`` where there is none."""
        route = one(documents, "HTTPRoute", "an endpoint")
        name = need(route, "metadata", "name")
        open_ = [rule for rule in need(route, "spec", "rules") if not _narrow(rule)]
        if len(open_) != 1:
            raise SpecError(
                f"HTTPRoute {name}: {len(open_)} rules take every request; an endpoint's split is one rule."
            )
        backends = {need(ref, "name"): get(ref, "weight", default=1) for ref in need(open_[0], "backendRefs")}
        weights = shares(backends, f"HTTPRoute {name}")
        mirrored: dict[str, float] = {}
        for step in get(open_[0], "filters", default=()):
            if step.get("type") == "RequestMirror":
                mirror = need(step, "requestMirror")
                fraction = get(mirror, "fraction", default={"numerator": 100})
                part = fraction["numerator"] / fraction.get("denominator", 100)
                mirrored[need(mirror, "backendRef", "name")] = get(mirror, "percent", default=100 * part) / 100
        notes = get(route, "metadata", "annotations", default={})

        def variant(backend: str) -> str:
            return str(notes.get(f"rivals/{backend}", backend))

        names = [*weights, *(other for other in mirrored if other not in weights)]
        pieces = tuple(Piece(variant(one), weights.get(one, 0.0), mirrored.get(one, 0.0)) for one in names)
        champion = notes.get("rivals/champion", max(pieces, key=lambda piece: piece.weight).variant)
        endpoint = notes.get("rivals/endpoint", name)
        hosts = get(route, "spec", "hostnames", default=[""])
        namespace = get(route, "metadata", "namespace", default="default")
        return Deployment(endpoint, champion, pieces, Piece(endpoint), namespace=namespace, host=hosts[0])

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """One object."""
        path = str(folder / "httproute.yaml")
        return [["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", path]]


def _narrow(rule: Mapping[str, Any]) -> bool:
    """Whether the rule takes only some requests."""
    matches = rule.get("matches") or ()
    return any(match.get("headers") or match.get("queryParams") or match.get("method") for match in matches)
