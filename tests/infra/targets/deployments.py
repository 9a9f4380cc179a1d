"""Deployments: one to look at, and many by chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from rivals.infra.reading import documents_of
from rivals.placement import Climb, Deployment, Piece, Scale

FLIGHTS = Deployment(
    "flights",
    "blend",
    (
        Piece("blend", 0.9, 0.0, "a" * 64, "localhost/f-blend:1", "s3://models/aaa", cpu=0.5, memory_mb=256, scale=Scale(2, 6, "in_flight", 8.0)),
        Piece("Big_Net", 0.1, 0.0, "b" * 64, "localhost/f-net:1", "s3://models/bbb", scale=Scale(1, 3)),
        Piece("old", 0.0, 0.25, "c" * 64, "localhost/f-old:1", "s3://models/ccc"),
    ),
    Piece("flights", image="localhost/f-router:1", scale=Scale(2, 2)),
    Climb((0.01, 0.05, 0.5), 600.0),
    "ml",
    "flights.example",
    "flights-store",
)  # fmt: skip


def documents(files: Mapping[str, str]) -> list[Mapping[str, Any]]:
    return [
        one
        for name, text in files.items()
        if not name.endswith(("kustomization.yaml", "Dockerfile"))
        for one in documents_of(text, name)
    ]


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", fullmatch=True)
scales = st.builds(
    lambda least, more, signal, target: Scale(least, least + more, signal, float(target)) if more else Scale(least, least),
    st.integers(1, 5), st.integers(0, 5), st.sampled_from(["cpu", "in_flight", "p99_ms"]), st.integers(1, 100),
)  # fmt: skip


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    variants = draw(st.lists(names, min_size=1, max_size=4, unique_by=str.lower))
    weights = [1 + draw(st.integers(0, 98)) for _ in variants]
    pieces = [
        Piece(
            name,
            weight / sum(weights),
            digest=draw(st.sampled_from(["", "d" * 64])),
            image=f"localhost/x-{place}:1",
            uri=f"s3://models/{place}",
            cpu=draw(st.integers(1, 4000)) / 1000,
            memory_mb=draw(st.integers(1, 9000)),
            scale=draw(scales),
        )
        for place, (name, weight) in enumerate(zip(variants, weights, strict=True))
    ]
    if draw(st.booleans()):
        pieces.append(Piece("in-the-shadow", 0.0, draw(st.integers(1, 100)) / 100, image="localhost/s:1", uri="s3://s"))
    climb = Climb(tuple(sorted(draw(st.sets(st.integers(1, 99), max_size=4)))), float(draw(st.integers(1, 7200))))
    climb = Climb(tuple(step / 100 for step in climb.steps), climb.every)
    name = draw(names)
    return Deployment(
        name,
        variants[0],
        tuple(pieces),
        Piece(name, image="localhost/r:1", scale=Scale(1, 1)),
        climb,
        draw(st.sampled_from(["default", "ml"])),
        draw(st.sampled_from(["", "models.example"])),
        draw(st.sampled_from(["", "the-store"])),
    )
