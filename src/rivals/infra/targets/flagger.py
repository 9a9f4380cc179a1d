"""Flagger: its controller moves the traffic, and asks the judge of rivals through webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import HTTP, Manifest, about, file, manifest, slug
from rivals.infra.reading import get, need, one
from rivals.placement import Climb, Deployment, Piece

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
HEAD = (
    "Flagger moves the weights and asks rivals (docs/verdict.md): harm halts it, only proof promotes.",
    "Something must post what was counted under NAMESPACE/NAME, or nothing is ever proven.",
)
HOOKS = (("harm", "rollout"), ("proof", "confirm-promotion"), ("undo", "rollback"))


class Flagger:
    """A Canary over the Deployment of one variant; ``judge`` is an address of rivals that asks for no token."""

    def __init__(self, judge: str = "", provider: str = "gatewayapi:v1", threshold: int = 5) -> None:
        self.judge, self.provider, self.threshold = judge, provider, threshold

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` unless there is one challenger."""
        challengers = [piece for piece in deployment.pieces if piece.variant != deployment.champion]
        if len(challengers) != 1:
            names = ", ".join(piece.variant for piece in challengers) or "nobody"
            raise SpecError(f"A Canary of Flagger has one challenger, and here it is {names}.")
        piece = challengers[0]
        name = slug(deployment.name)
        judge = self.judge or f"http://{slug(deployment.name, 'judge')}:8090"
        analysis: Manifest = {
            "interval": f"{max(1, round(deployment.climb.every))}s",
            "threshold": self.threshold,
            "stepWeights": [max(1, round(share * 100)) for share in deployment.climb.steps],
            "webhooks": [
                {"name": told, "type": hook, "url": f"{judge}/api/verdict", "metadata": {"hook": hook}}
                for told, hook in HOOKS
            ],
        }
        spec = {
            "provider": self.provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": HTTP, "targetPort": "http"},
            "analysis": analysis,
        }
        notes = about(piece) | {"rivals/endpoint": deployment.name, "rivals/champion": deployment.champion}
        made = manifest("flagger.app/v1beta1", "Canary", name, deployment, annotations=notes, spec=spec)
        return {"canary.yaml": file([made], HEAD)}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What a Canary describes: how a challenger climbs. Raises ``SpecError``."""
        canary = one(documents, "Canary", "a canary of Flagger")
        name = need(canary, "metadata", "name")
        analysis = get(canary, "spec", "analysis") or get(canary, "spec", "canaryAnalysis")
        if analysis is None:
            raise SpecError(f"Canary {name}: spec.analysis is missing.")
        if get(analysis, "iterations"):
            raise SpecError(f"Canary {name}: iterations without weights are an A/B test; write it as `strategy: ab`.")
        steps = get(analysis, "stepWeights")
        if steps is None:
            step, most = get(analysis, "stepWeight", default=0), get(analysis, "maxWeight", default=50)
            if step <= 0:
                raise SpecError(f"Canary {name}: neither stepWeight nor stepWeights says how it grows.")
            steps = list(range(step, most + 1, step))
        notes = get(canary, "metadata", "annotations", default={})
        target = need(canary, "spec", "targetRef", "name")
        champion = notes.get("rivals/champion", f"{target}-primary")
        mirrored = get(analysis, "mirrorWeight", default=100) / 100 if get(analysis, "mirror") else 0.0
        challenger = Piece(notes.get("rivals/variant", target), 0.0, mirrored, notes.get("rivals/digest", ""))
        every = _seconds(need(analysis, "interval"), name)
        climb = Climb(tuple(step / 100 for step in steps if 0 < step < 100), every)  # noqa: PLR2004 -- per cent
        endpoint = notes.get("rivals/endpoint", name)
        namespace = get(canary, "metadata", "namespace", default="default")
        return Deployment(endpoint, champion, (Piece(champion, 1.0), challenger), Piece(endpoint), climb, namespace)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """One object."""
        path = str(folder / "canary.yaml")
        return [["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", path]]


def _seconds(told: object, name: str) -> float:
    text = str(told)
    if not (text[:-1].isdigit() and text[-1] in UNITS):
        raise SpecError(f"Canary {name}: the interval {told!r} is not one; Flagger takes 30s, 1m or 1h.")
    return float(text[:-1]) * UNITS[text[-1]]
