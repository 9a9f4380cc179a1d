"""Whose description is this? By the kinds in it, the target that reads it."""

from __future__ import annotations

from collections.abc import Sequence

from rivals.errors import SpecError
from rivals.infra.reading import Document

# The first whose mark is there reads the documents: the more particular before the more general.
MARKS: Sequence[tuple[str, str]] = (
    ("Experiment", "seldon"),
    ("Pipeline", "seldon"),
    ("SeldonDeployment", "seldon_v1"),
    ("InferenceGraph", "kserve"),
    ("InferenceService", "kserve"),
    ("Rollout", "argo"),
    ("Canary", "flagger"),
    ("RayService", "kuberay"),
    ("StatefulSet", "kubernetes"),
    ("HTTPRoute", "gateway"),
)


def target_of(documents: Sequence[Document]) -> str:
    """The name of the target that reads them. Raises ``SpecError`` where none does."""
    for one in documents:
        if "x-rivals" in one:  # Compose has no kinds
            return str(one["x-rivals"]["target"])
    kinds = [str(one.get("kind", "")) for one in documents]
    for mark, target in MARKS:
        if mark in kinds:
            return target
    if any("ProductionVariants" in one for one in documents):
        return "sagemaker"
    if any("applications" in one and "proxy_location" in one for one in documents):
        return "ray_serve"
    told = ", ".join(sorted(set(filter(None, kinds)))) or "no kind at all"
    raise SpecError(
        f"There is nothing here that describes variants behind one address ({told}). `rivals import` reads Seldon's "
        "Experiment with its Models and SeldonDeployment, KServe's InferenceService and InferenceGraph, an HTTPRoute, "
        "Argo's Rollout, Flagger's Canary, a SageMaker endpoint configuration, and what `rivals deploy` wrote."
    )
