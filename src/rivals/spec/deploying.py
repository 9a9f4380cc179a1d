"""What a project asks of the platforms it is deployed to."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from rivals.placement import Signal
from rivals.spec.parts import Name, Part, Seconds


class PlaceSpec(Part):
    """The place of one variant, or of the router, on a platform."""

    cpu: float = Field(default=0.25, gt=0)  # cores that it asks for
    memory_mb: int = Field(default=512, gt=0)
    least: int = Field(default=1, ge=1)  # replicas
    most: int | None = Field(default=None, ge=1)  # as many as ``least`` where nothing is said
    signal: Signal = "cpu"  # what decides in between
    target: float = Field(default=70.0, gt=0)  # percent of the processors asked for, requests, or milliseconds

    @model_validator(mode="after")
    def _a_range(self) -> PlaceSpec:
        if self.most is not None and self.most < self.least:
            raise ValueError(f"most is {self.most} and least is {self.least}; most is at least as many")
        return self


class DeploySpec(Part):
    """Where images and bundles lie, and how large everything is; `rivals deploy` says it in a platform's words."""

    images: str = "localhost/rivals"  # prefix of the images' names: PREFIX-router, PREFIX-VARIANT
    bundles: str | None = None  # prefix of the bundles' addresses, as s3://bucket/flights
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    host: str = ""  # by which it is reached from outside
    store_secret: str = ""  # the Secret with the store's URL; where there is none, the router keeps it on its volume
    router: PlaceSpec = PlaceSpec()
    trust: tuple[
        str, ...
    ] = ()  # public keys beside the project file (Ed25519, PEM); with any, deploying needs a release
    gate_age: Seconds = 7 * 86_400.0  # how old what the gate said may be in a release
    environments: tuple[
        Name, ...
    ] = ()  # in the order of promotion: each is an alias, and takes what the one before has
    variants: Mapping[Name, PlaceSpec] = Field(default_factory=dict)
