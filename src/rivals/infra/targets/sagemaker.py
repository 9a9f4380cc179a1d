"""SageMaker endpoint configurations, as its API gives and takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import slug
from rivals.infra.reading import get, need, shares
from rivals.placement import Deployment, Piece, Scale, whole

TOTAL = 10_000


class SageMaker:
    """``create-endpoint-config`` in JSON: variants with weights, one shadow; each of ``instance`` machines."""

    def __init__(self, instance: str = "ml.c6i.large") -> None:
        self.instance = instance

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` where there are several shadows: SageMaker takes one."""
        if len(deployment.shadows) > 1:
            names = ", ".join(piece.variant for piece in deployment.shadows)
            raise SpecError(f"SageMaker takes one shadow, and {names} are several; keep one of them.")
        weights = whole([piece.weight for piece in deployment.arms], TOTAL)
        body: dict[str, Any] = {
            "EndpointConfigName": slug(deployment.name),
            "ProductionVariants": [
                self._variant(deployment, piece, weight) for piece, weight in zip(deployment.arms, weights, strict=True)
            ],
        }
        if shadows := [self._variant(deployment, piece, round(piece.mirrored * TOTAL)) for piece in deployment.shadows]:
            body["ShadowProductionVariants"] = shadows
        tags = {"rivals/endpoint": deployment.name, "rivals/champion": deployment.champion}
        tags |= {f"rivals/{slug(piece.variant)}": piece.variant for piece in deployment.pieces}
        body["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {"endpoint-config.json": json.dumps(body, indent=2) + "\n"}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What ``describe-endpoint-config`` says, or what was created. Raises ``SpecError``."""
        config = next((one for one in documents if "ProductionVariants" in one), None)
        if config is None:
            raise SpecError("There are no ProductionVariants here; give what describe-endpoint-config says.")
        production = {need(one, "VariantName"): one for one in config["ProductionVariants"]}
        weights = shares(
            {name: get(one, "InitialVariantWeight", default=1.0) for name, one in production.items()},
            "ProductionVariants",
        )
        total = sum(get(one, "InitialVariantWeight", default=1.0) for one in production.values())
        shadows = {need(one, "VariantName"): one for one in get(config, "ShadowProductionVariants", default=())}
        mirrored = {name: get(one, "InitialVariantWeight", default=1.0) / total for name, one in shadows.items()}
        tags = {tag["Key"]: tag["Value"] for tag in get(config, "Tags", default=())}
        pieces = tuple(
            Piece(
                tags.get(f"rivals/{name}", name),
                weights.get(name, 0.0),
                min(1.0, mirrored.get(name, 0.0)),
                scale=Scale(*[get(one, "InitialInstanceCount", default=1)] * 2),
            )
            for name, one in (production | shadows).items()
        )
        name = tags.get("rivals/endpoint") or need(config, "EndpointConfigName")
        champion = tags.get("rivals/champion") or max(pieces, key=lambda piece: piece.weight).variant
        return Deployment(name, champion, pieces, Piece(name))

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """A configuration; moving an endpoint to it stays a step of its own."""
        path = (folder / "endpoint-config.json").absolute()
        return [["aws", "sagemaker", "create-endpoint-config", "--cli-input-json", f"file://{path}"]]

    def _variant(self, deployment: Deployment, piece: Piece, weight: int) -> dict[str, Any]:
        return {
            "VariantName": slug(piece.variant),
            "ModelName": slug(deployment.name, piece.variant),
            "InitialInstanceCount": piece.scale.least,
            "InstanceType": self.instance,
            "InitialVariantWeight": float(weight),
        }
