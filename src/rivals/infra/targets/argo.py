"""Argo Rollouts: its controller moves the traffic, the judge of rivals gives the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import (
    HTTP,
    Manifest,
    about,
    chosen,
    file,
    labels,
    lasting,
    manifest,
    pod,
    probes,
    slug,
)
from rivals.infra.reading import found, get, need, one, quantity
from rivals.placement import Climb, Deployment, Piece, Scale

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
HEAD = (
    "Argo moves the weights; whether the canary is worse is asked of rivals (docs/verdict.md), which says pass, fail",
    "or inconclusive: what meets neither condition pauses the rollout instead of passing it.",
)


class Argo:
    """A Rollout of the challenger over the champion, with an analysis that asks ``judge``, an address of rivals.

    Something must post what was counted under the analysis' name; the router does, as does ``rivals judge``.
    """

    def __init__(self, judge: str = "", interval: str = "1m") -> None:
        self.judge, self.interval = judge, interval

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` unless there is one challenger."""
        challengers = [piece for piece in deployment.pieces if piece.variant != deployment.champion]
        if len(challengers) != 1:
            names = ", ".join(piece.variant for piece in challengers) or "nobody"
            raise SpecError(f"A Rollout takes one challenger to the top, and here it is {names}.")
        return {
            "rollout.yaml": file([self._rollout(deployment, challengers[0])], HEAD),
            "analysis.yaml": file([self._template(deployment)]),
            "services.yaml": file(
                manifest(
                    "v1",
                    "Service",
                    slug(deployment.name, kind),
                    deployment,
                    spec={
                        "selector": chosen(slug(deployment.name)),
                        "ports": [{"name": "http", "port": HTTP, "targetPort": "http"}],
                    },
                )
                for kind in ("stable", "canary")
            ),
        }

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What a Rollout's canary describes: its steps; the variants are its revisions. Raises ``SpecError``."""
        rollout = one(documents, "Rollout", "a rollout of Argo")
        name = need(rollout, "metadata", "name")
        strategy = need(rollout, "spec", "strategy")
        if "canary" not in strategy:
            raise SpecError(f"Rollout {name}: only a canary has steps; a blue/green one is `strategy: bluegreen`.")
        canary = strategy["canary"]
        steps, waits = [], [0.0]
        for step in get(canary, "steps", default=()):
            match step:
                case {"setWeight": int() as percent}:
                    steps.append(percent / 100)
                case {"pause": pause}:
                    waits.append(_seconds((pause or {}).get("duration", 0), name))
                case {"experiment": _} | {"plugin": _} | {"setHeaderRoute": _}:
                    raise SpecError(f"Rollout {name}: the step {next(iter(step))!r} is nothing that rivals does.")
        notes = get(rollout, "metadata", "annotations", default={})
        mirrored = [
            need(step, "setMirrorRoute", "percentage") / 100
            for step in get(canary, "steps", default=())
            if get(step, "setMirrorRoute", "percentage") is not None
        ]
        container = get(rollout, "spec", "template", "spec", "containers", 0, default={})
        asked = get(container, "resources", "requests", default={})
        replicas = get(rollout, "spec", "replicas", default=1)
        champion = notes.get("rivals/champion", get(canary, "stableService", default=f"{name}-stable"))
        challenger = notes.get("rivals/variant", get(canary, "canaryService", default=f"{name}-canary"))
        pieces = (
            Piece(champion, 1.0),
            Piece(
                challenger,
                0.0,
                max(mirrored, default=0.0),
                notes.get("rivals/digest", ""),
                get(container, "image", default=""),
                cpu=quantity(asked.get("cpu", "250m")),
                memory_mb=round(quantity(asked.get("memory", "512Mi")) / 2**20),
                scale=Scale(replicas, replicas),
            ),
        )
        climb = Climb(tuple(sorted({step for step in steps if 0 < step < 1})), max(waits) or Climb().every)
        endpoint = notes.get("rivals/endpoint", name)
        namespace = get(rollout, "metadata", "namespace", default="default")
        return Deployment(endpoint, champion, pieces, Piece(endpoint), climb, namespace)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Templates and Services first."""
        return [
            ["kubectl", "apply", "--server-side", "--field-manager", "rivals", "-f", str(folder / name)]
            for name in ("analysis.yaml", "services.yaml", "rollout.yaml")
        ]

    def _rollout(self, deployment: Deployment, piece: Piece) -> Manifest:
        name = slug(deployment.name)
        marks = labels(deployment, name, "variant")
        container = {"ports": [{"name": "http", "containerPort": HTTP}], **probes()}
        pause = {"pause": {"duration": f"{max(1, round(deployment.climb.every))}s"}}
        steps: list[Manifest] = []
        for share in deployment.climb.steps:
            steps += [{"setWeight": max(1, round(share * 100))}, pause]
        canary = {
            "stableService": slug(deployment.name, "stable"),
            "canaryService": slug(deployment.name, "canary"),
            "steps": steps,
            "analysis": {"templates": [{"templateName": slug(deployment.name, "judge")}], "startingStep": 1},
        }
        spec = {
            "replicas": piece.scale.least,
            "selector": {"matchLabels": chosen(name)},
            "template": {"metadata": {"labels": marks}, "spec": pod(name, container, piece, **lasting(name))},
            "strategy": {"canary": canary},
        }
        notes = about(piece) | {"rivals/endpoint": deployment.name, "rivals/champion": deployment.champion}
        return manifest("argoproj.io/v1alpha1", "Rollout", name, deployment, annotations=notes, spec=spec)

    def _template(self, deployment: Deployment) -> Manifest:
        judge = self.judge or f"http://{slug(deployment.name, 'router')}:8090"
        analysis = f"{deployment.namespace}/{slug(deployment.name)}"
        metric = {
            "name": "rivals",
            "interval": self.interval,
            "successCondition": 'result == "pass"',
            "failureCondition": 'result == "fail"',
            "failureLimit": 0,
            "inconclusiveLimit": 100_000,
            "consecutiveErrorLimit": 10,
            "provider": {
                "web": {"url": f"{judge}/api/verdict?analysis={analysis}", "jsonPath": "{$.verdict}"},
            },
        }
        name = slug(deployment.name, "judge")
        return manifest("argoproj.io/v1alpha1", "AnalysisTemplate", name, deployment, spec={"metrics": [metric]})


def templates(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Analysis templates of either kind."""
    return [*found(documents, "AnalysisTemplate"), *found(documents, "ClusterAnalysisTemplate")]


def _seconds(duration: object, name: str) -> float:
    found_ = re.fullmatch(r"(\d+)(s|m|h)?", str(duration))
    if not found_:
        raise SpecError(f"Rollout {name}: {duration!r} is not a duration; Argo takes 30, 30s, 10m or 1h.")
    return float(found_[1]) * SECONDS[found_[2] or ""]
