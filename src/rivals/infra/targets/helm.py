"""Helm: the same manifests as a chart; images, namespace and host are values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rivals import __version__
from rivals.infra.manifests import file, slug
from rivals.infra.reading import get
from rivals.infra.targets.kubernetes import Kubernetes
from rivals.placement import Deployment

NAMESPACE = "rivals/namespace"
VALUE = re.compile(r"\{\{ \.(?:Values|Release)\.[\w.]+ \}\}")


class Helm:
    """A chart for ``helm upgrade --install``; options as those of ``kubernetes``."""

    def __init__(self, **options: Any) -> None:
        self.plain = Kubernetes(clouds=(), **options)

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError``."""
        keys = {piece.variant: slug(piece.variant).replace("-", "_") for piece in deployment.pieces}
        open_ = replace(
            deployment,
            namespace="{{ .Release.Namespace }}",
            host="{{ .Values.host }}" if deployment.host else "",
            router=replace(deployment.router, image="{{ .Values.images.router }}"),
            pieces=tuple(
                replace(piece, image=f"{{{{ .Values.images.variants.{keys[piece.variant]} }}}}")
                for piece in deployment.pieces
            ),
        )
        files = self.plain.render(open_)
        variants = {keys[piece.variant]: piece.image for piece in deployment.pieces}
        values = {"host": deployment.host, "images": {"router": deployment.router.image, "variants": variants}}
        chart = {
            "apiVersion": "v2",
            "name": slug(deployment.name),
            "description": f"The endpoint {deployment.name}: its router and its variants",
            "type": "application",
            "version": "0.1.0",
            "appVersion": __version__,
            "annotations": {NAMESPACE: deployment.namespace},  # meant; where it goes is said at the install
        }
        made = {"Chart.yaml": file([chart]), "values.yaml": file([values])}
        for path, text in files.items():
            if not path.endswith("kustomization.yaml"):
                made[f"templates/{path.removeprefix('base/')}"] = text
        return made

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What the chart's templates describe under its values. Raises ``SpecError``."""
        values = next((one for one in documents if "images" in one and "kind" not in one), {})
        chart = next((one for one in documents if NAMESPACE in get(one, "annotations", default={})), {})
        namespace = get(chart, "annotations", NAMESPACE, default="default")
        known = {"{{ .Values.host }}": values.get("host", ""), "{{ .Release.Namespace }}": namespace}
        images = values.get("images", {})
        known["{{ .Values.images.router }}"] = images.get("router", "")
        known |= {
            f"{{{{ .Values.images.variants.{key} }}}}": image for key, image in images.get("variants", {}).items()
        }
        return self.plain.read([_filled(one, known) for one in documents if "kind" in one])

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Install it, or bring what is installed up to it."""
        return [["helm", "upgrade", "--install", "rivals", str(folder)]]


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled(inner, known) for key, inner in value.items()}
        case list():
            return [_filled(inner, known) for inner in value]
        case str():
            return VALUE.sub(lambda found: known.get(found[0], found[0]), value)
    return value
