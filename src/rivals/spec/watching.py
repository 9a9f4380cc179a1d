"""What a project asks of watching: for drift, for what was promised to clients, and when to learn again."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from rivals.metrics import ANSWERED
from rivals.spec.durations import as_seconds
from rivals.spec.parts import WRITTEN_SECONDS, Part, Plugin, Seconds, Share
from rivals.values import Use


class AlarmSpec(Part):
    """How many false alarms are bearable: at most so many in so long, over all columns, variants and detectors."""

    most: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    per: Annotated[float, BeforeValidator(as_seconds), Field(gt=0), WithJsonSchema(WRITTEN_SECONDS)] = 30 * 86400.0


class DriftSpec(Part):
    """Who watches for drift, and how often; ``[edetector, adwin]`` stands for ``{detectors: [edetector, adwin]}``."""

    detectors: tuple[Plugin, ...] = Field(default=(Use("edetector"), Use("adwin"), Use("psi")), min_length=1)
    window: Annotated[float, BeforeValidator(as_seconds), Field(ge=1), WithJsonSchema(WRITTEN_SECONDS)] = 86400.0
    rows: int = Field(default=50_000, ge=100)  # of a window that are looked at; of more, as many are drawn
    budget: AlarmSpec = AlarmSpec()

    @model_validator(mode="before")
    @classmethod
    def _a_list_of_detectors(cls, value: object) -> object:
        return {"detectors": value} if isinstance(value, (list, tuple)) else value

    @property
    def uses(self) -> tuple[Use, ...]:
        """The detectors: who looks for broken columns is always among them."""
        named = {one.name for one in self.detectors}
        return self.detectors if "unseen" in named else (*self.detectors, Use("unseen"))

    @property
    def looks(self) -> float:
        """Looks in the budget's period."""
        return max(1.0, self.budget.per / self.window)


class TrainingsSpec(Part):
    """At most so many retrainings in so long."""

    per: Annotated[float, BeforeValidator(as_seconds), Field(gt=0), WithJsonSchema(WRITTEN_SECONDS)] = 365 * 86400.0
    most: int = Field(default=4, ge=1)


def as_retrain(value: object) -> object:
    """``[drift, quality]`` -> ``{on: [drift, quality]}``."""
    return {"on": value} if isinstance(value, (list, tuple)) else value


ALL: Final = "all"


def as_windows(value: object) -> object:
    """``90d`` or ``[90d, all]`` -> durations in seconds, or ``all``."""
    many = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(one if one == ALL else as_seconds(one) for one in many)


WRITTEN_WINDOW = {"anyOf": [*WRITTEN_SECONDS["anyOf"], {"const": ALL}]}
WRITTEN_WINDOWS = {"anyOf": [*WRITTEN_WINDOW["anyOf"], {"type": "array", "minItems": 1, "items": WRITTEN_WINDOW}]}
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["all"]


class RetrainSpec(Part):
    """When new challengers are trained by themselves, on which rows, and what they join.

    The defaults are reasoned out in docs/decisions/0049.
    """

    on: tuple[Literal["drift", "quality", "schedule", "data"], ...] = ("drift", "quality")
    window: Annotated[
        tuple[Length, ...], BeforeValidator(as_windows), Field(min_length=1), WithJsonSchema(WRITTEN_WINDOWS)
    ] = (90 * 86400.0, ALL)  # of rows that are learned from, up to now: each variant is built on each
    cooldown: Seconds = 45 * 86400.0  # since the last training: half of the newest rows are new
    budget: TrainingsSpec = TrainingsSpec()
    failures: int = Field(default=3, ge=1)  # in a row; then a person has to look
    every: Seconds | None = None  # of the schedule
    grown: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5  # of data: by this part of what was learned from
    rows: Literal["source", "exposures"] = "source"  # where they come from
    former: Annotated[Share, Field(lt=1)] = 0.25  # the former champion's part in the challenger

    @model_validator(mode="after")
    def _a_schedule(self) -> RetrainSpec:
        if ("schedule" in self.on) != (self.every is not None):
            raise ValueError("a schedule is 'on: [schedule]' and 'every', as 30d; one of the two is missing")
        if len(set(self.window)) < len(self.window):
            raise ValueError("window names one length twice")
        return self

    @property
    def longest(self) -> float | None:
        """The longest window in seconds; None: everything so far."""
        return None if ALL in self.window else max(one for one in self.window if isinstance(one, float))


class MonitoringSpec(Part):
    """What the endpoint promises its clients, and who hears how it keeps that."""

    availability: Annotated[Share, Field(ge=0.5, lt=1)] = 0.999  # of the requests get an answer
    latency_ms: float = Field(default=250.0, json_schema_extra={"enum": [1e3 * bound for bound in ANSWERED]})  # of 99 %
    alerts: str | None = Field(default=None, pattern=r"^https?://[^/\s]+\S*$")  # where Alertmanager posts them
    dogstatsd: str | None = Field(default=None, pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")  # Datadog's agent
    traces: str | None = Field(default=None, pattern=r"^https?://[^/\s]+\S*$")  # an OTLP/HTTP collector

    @model_validator(mode="after")
    def _measured(self) -> MonitoringSpec:
        bounds = [1e3 * bound for bound in ANSWERED]
        if self.latency_ms not in bounds:
            told = ", ".join(f"{bound:g}" for bound in bounds)
            raise ValueError(f"latency_ms is a bound that answers are counted by: {told}")
        return self

    @property
    def agent(self) -> tuple[str, int] | None:
        """Where Datadog's agent listens, if it is to hear."""
        if self.dogstatsd is None:
            return None
        host, _, port = self.dogstatsd.rpartition(":")
        return host.strip("[]"), int(port)
