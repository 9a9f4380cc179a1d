"""The project file as frozen values; unknown keys are refused.

``ProjectSpec`` is the wish of ``rivals.yaml``. Durations may be written ``10m`` or ``1d`` and are seconds here;
shares may be written ``5%`` and lie in [0, 1] here. A plug-in is its name or ``{use: name, with: {...}}``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, WithJsonSchema, model_validator

from rivals.spec.deploying import DeploySpec
from rivals.spec.durations import as_seconds
from rivals.spec.parts import (
    WRITTEN_SECONDS,
    WRITTEN_SHARE,
    Name,
    Part,
    Plugin,
    Seconds,
    Share,
    as_plugin,
)
from rivals.spec.serving import AskedSpec, CapacitySpec, Origin, ShadowSpec
from rivals.spec.watching import DriftSpec, MonitoringSpec, RetrainSpec, as_retrain
from rivals.spec.windows import ChangeWindow
from rivals.values import Learned, Task, Use

Event = Literal[
    "rollout.started", "rollout.grown", "rollout.promoted", "rollout.rolled_back", "rollout.held", "rollout.aborted",
    "rollout.paused", "rollout.resumed", "rollout.watched", "rollout.concluded", "rollout.notice", "rollout.judged",
    "drift.explained",
    "fences", "preflight",
]  # fmt: skip
BUILD = "build:"  # begins a model that a past run has built
MAIN = "main"  # the source itself, where a variant may name another set
WRITTEN_CAPTURE = {"anyOf": [*WRITTEN_SHARE["anyOf"], {"enum": ["all", "none"]}]}


class SplitSpec(Part):
    """How rows are divided: the last ``test`` share is held out, the rest makes ``folds``."""

    test: Share = 0.2
    folds: int = Field(default=3, ge=1, le=50)
    by: Literal["time", "random", "group"] = "random"
    gap: Seconds = 0.0


class DataSpec(Part):
    """Where rows come from, and which columns mean what."""

    source: Plugin
    sets: Mapping[Name, Plugin] = Field(default_factory=dict)  # further sources that variants may name
    task: Learned
    target: str
    id: str | None = None
    time: str | None = None
    weight: str | None = None
    group: str | None = None
    ignore: tuple[str, ...] = ()  # columns that are not inputs
    label_delay: Seconds = 0.0  # how long after its answer a label may still come
    labels_depend_on_decision: bool = False  # selective labels: what was decided decides which labels come
    split: SplitSpec = SplitSpec()

    @model_validator(mode="after")
    def _columns_for_the_split(self) -> DataSpec:
        if self.split.by == "time" and not self.time:
            raise ValueError("split by time needs the key 'time': the column that orders the rows")
        if self.split.by == "group" and not self.group:
            raise ValueError("split by group needs the key 'group': the column that keeps rows together")
        return self

    @model_validator(mode="after")
    def _lists_stay_together(self) -> DataSpec:
        if self.task == "ranking" and not self.group:
            raise ValueError("task ranking needs the key 'group': the column that says which rows are one list")
        if self.task == "ranking" and self.split.by == "random":
            raise ValueError("task ranking needs lists that stay whole: say split: {by: group}, or {by: time}")
        return self

    @model_validator(mode="after")
    def _one_main(self) -> DataSpec:
        if MAIN in self.sets:
            raise ValueError(f"{MAIN!r} is the name of data.source itself; give that set another one")
        return self

    @property
    def answers(self) -> Task:
        """What a model gives: probabilities of two or more labels, or a value."""
        return "regression" if self.task in {"ranking", "custom"} else self.task  # type: ignore[return-value]  # mypy does not narrow a Literal by 'in'

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns that are no inputs of a model."""
        named = (self.target, self.id, self.time, self.weight, self.group, *self.ignore)
        return tuple(name for name in named if name)


class VariantSpec(Part):
    """One rival: trained (``features`` and ``family``), combined (``members``), or existing already (``model``)."""

    name: Name
    data: str = MAIN  # a set under data.sets; main: the source itself
    features: str | None = None
    family: str | None = None
    with_: Mapping[str, Any] = Field(default_factory=dict, alias="with")
    members: tuple[str, ...] = ()
    model: str | None = None
    columns: tuple[str, ...] | None = None  # the inputs; all where nothing is said
    tune: Plugin | None = None  # who searches, and in which space

    @model_validator(mode="after")
    def _one_kind(self) -> VariantSpec:
        if self.members and self.data != MAIN:
            raise ValueError("an ensemble asks its members, which have data of their own; remove 'data'")
        if self.model is not None and (self.family or self.members or self.features):
            raise ValueError("'model' names a variant that exists already; it takes no family, features or members")
        if self.model is None and self.family is None:
            raise ValueError("say 'family' for a variant to train, or 'model' for one that exists already")
        if (self.family == "ensemble") != bool(self.members):
            raise ValueError("an ensemble has 'family: ensemble' and 'members'; one of the two is missing")
        if self.family == "ensemble" and self.features:
            raise ValueError("an ensemble asks its members, which have features of their own; remove 'features'")
        if self.tune is not None and (self.model is not None or self.members):
            raise ValueError("only a variant with features and a family is tuned; remove 'tune'")
        if self.members and (wrong := sorted(self.with_.keys() - {"combiner", "deadline_ms", "quorum"})):
            raise ValueError(f"an ensemble's 'with' has the keys combiner, deadline_ms and quorum, not {wrong[0]}")
        if self.members:
            _ = self.combiner, self.deadline_ms, self.quorum
        return self

    @property
    def combiner(self) -> Use:
        """Of an ensemble: what makes one answer of its members'."""
        found = as_plugin(self.with_.get("combiner", "mean"))
        if not isinstance(found, Use):
            raise ValueError("'combiner' is a name, or {use: name, with: {option: value}}")
        return found

    @property
    def deadline_ms(self) -> float | None:
        """Of an ensemble: how long members in other processes have, from the request's arrival."""
        found = self.with_.get("deadline_ms")
        if found is None or (type(found) in {int, float} and 0 < found < math.inf):
            return found
        raise ValueError(f"'deadline_ms' is a number of milliseconds above 0, not {found!r}")

    @property
    def quorum(self) -> int | None:
        """Of an ensemble: how many members must answer, of those asked together."""
        found = self.with_.get("quorum")
        if found is None or (type(found) is int and 0 < found <= len(self.members)):
            return found
        raise ValueError(f"'quorum' is a number of members, from 1 to {len(self.members)}, not {found!r}")

    @property
    def kind(self) -> Literal["train", "ensemble", "ready"]:
        """Which of the three it is."""
        if self.model is not None:
            return "ready"
        return "ensemble" if self.members else "train"


class RiskSpec(Part):
    """What may go wrong how often. ``margin`` is of the quality loss, the other two are of the failure rate."""

    alpha: float = Field(default=0.05, gt=0, le=0.5)
    margin: float = Field(default=0.002, ge=0, allow_inf_nan=False)  # worse by less than this is "not worse"
    failure_margin: float = Field(default=0.5, gt=0, allow_inf_nan=False)  # so much more often is acceptable
    failure_limit: float = Field(default=0.01, gt=0, lt=1)  # and so is less than this, whatever the champion's rate
    slow_limit: float = Field(default=0.02, gt=0, lt=1)  # the same for answers above the latency threshold
    slice_margin: float = Field(default=0.02, ge=0, allow_inf_nan=False)  # of the quality loss, in a declared slice


class RolloutSpec(Part):
    """How a challenger climbs: first in the shadow, then by these steps, each at least ``every`` long."""

    strategy: Literal["canary", "bluegreen", "shadow", "bounded", "ab"] = "canary"
    harm: float | None = Field(default=None, ge=1, allow_inf_nan=False)  # most extra failures, of strategy bounded
    share: Annotated[Share, Field(gt=0)] | None = None  # of each challenger in strategy ab; equal ones if not said
    watch: Seconds = 86400.0  # so long after a promotion the former champion stays warm, and the new one is judged
    steps: tuple[Share, ...] = (0.01, 0.05, 0.25, 0.5)
    every: Seconds = 600.0
    deadline: Seconds = 14 * 86400.0
    block: Annotated[float, BeforeValidator(as_seconds), Field(gt=0), WithJsonSchema(WRITTEN_SECONDS)] = (
        86400.0  # quality is bet on once per block
    )
    risk: RiskSpec = RiskSpec()
    judges: tuple[Plugin, ...] = (Use("failures"), Use("quality"), Use("ratio"))
    slices: tuple[str, ...] = Field(default=(), max_length=4)  # columns: no value of theirs may get worse
    metric: Literal["brier", "log_loss", "squared"] | None = None  # of the quality judge; the task's own if not said
    on_inconclusive: Literal["hold"] = "hold"

    @model_validator(mode="after")
    def _bounded(self) -> RolloutSpec:
        if self.strategy == "bounded" and self.harm is None:
            raise ValueError("strategy bounded needs 'harm', the most extra failures it may cause, as 'harm: 20'")
        return self

    @model_validator(mode="after")
    def _climbing(self) -> RolloutSpec:
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 0 < self.steps[0] <= self.steps[-1] < 1:
            raise ValueError("steps rise from above 0% to below 100%, as [1%, 5%, 25%, 50%]")
        if not self.judges:
            raise ValueError("a rollout without judges would promote blindly; name at least one")
        return self


class FeedbackSpec(Part):
    """Whose feedback is taken, and what a rating means."""

    signed: bool = False  # only with the token that came with the answer
    rating: tuple[FiniteFloat, FiniteFloat] | None = None  # its range, as [1, 5]: a reward from 0 to 1

    @model_validator(mode="after")
    def _a_range(self) -> FeedbackSpec:
        if self.rating and not self.rating[0] < self.rating[1]:
            raise ValueError("rating is the lowest and the highest one, as [1, 5]")
        return self


def as_captured(value: object) -> object:
    """``all`` -> 1.0, ``none`` -> 0.0; else a share."""
    return {"all": 1.0, "none": 0.0}.get(value, value) if isinstance(value, str) else value


class CaptureSpec(Part):
    """What is kept of closed exposures, as Parquet by day: the inputs of all, a share or none of the requests."""

    features: Annotated[Share, BeforeValidator(as_captured), WithJsonSchema(WRITTEN_CAPTURE)] = 0.0
    keep: Annotated[
        float, BeforeValidator(as_seconds), Field(ge=86400, allow_inf_nan=False), WithJsonSchema(WRITTEN_SECONDS)
    ] = 30 * 86400.0
    redact: tuple[str, ...] = ()  # columns that are never written down


class WebhookSpec(Part):
    """Somebody to tell of what happens to rollouts; of everything but bare verdicts where no events are named."""

    url: str = Field(pattern=r"^https?://[^/\s]+\S*$")
    events: tuple[Event, ...] = ()


class PromotionsSpec(Part):
    """At most so many promotions in so long."""

    per: Annotated[float, BeforeValidator(as_seconds), Field(gt=0), WithJsonSchema(WRITTEN_SECONDS)] = 7 * 86400.0
    most: int = Field(ge=0)


class LayerSpec(Part):
    """The part of a layer's units that this endpoint's rollouts may touch; other endpoints have other parts of it."""

    name: Name
    start: Share = Field(default=0.0, alias="from")
    end: Share = Field(default=1.0, alias="to")

    @model_validator(mode="after")
    def _some_units(self) -> LayerSpec:
        if not self.start < self.end:
            raise ValueError("a layer's part is from a lower to a higher share, as {name: checkout, from: 0%, to: 50%}")
        return self


class EndpointSpec(Part):
    """The one address all variants answer behind."""

    name: Name
    unit: str = "request"  # request, a column, or header:<name>
    policy: Plugin = Use("split")
    memory_mb: int | None = Field(default=None, gt=0)  # of a worker, for variants that rules alone name
    champion: str | None = None  # who answers first; the recommended variant where nothing is said
    shadows: tuple[ShadowSpec, ...] = ()
    asked: Mapping[Name, AskedSpec] = Field(default_factory=dict)  # how single variants are asked
    fallback: tuple[str, ...] = ()  # who answers where the champion fails too, in this order
    max_body_mb: int = Field(default=16, gt=0, le=1024)  # of a request, as it is read
    cors: tuple[Origin, ...] = ()  # whose pages may ask from a browser; none where nothing is said
    access_log: bool = False  # a line for each HTTP request, in the run directory
    autonomy: Literal["observe", "recommend", "act"] = "recommend"
    rollout: RolloutSpec = RolloutSpec()
    feedback: FeedbackSpec = FeedbackSpec()
    capture: CaptureSpec | None = None  # where nothing is said, exposures stay in the store
    windows: tuple[ChangeWindow, ...] = ()  # when a rollout may grow; always where nothing is said
    promotions: PromotionsSpec | None = None
    cooldown: Seconds = 3600.0  # a variant that was rolled back rests so long, twice as long each time
    approval: Literal["promote"] | None = None  # what waits for `rivals rollout approve`
    holdout: Annotated[Share, Field(le=0.5)] = 0.0  # of the units: they always meet the approved reference
    layer: LayerSpec | None = None  # whose units this endpoint's rollouts may touch; all where nothing is said
    drift: DriftSpec | None = None  # who watches inputs, answers and labels; nobody where nothing is said
    reference: str | None = None  # what no champion may be worse than, whatever the champion before it was
    webhooks: tuple[WebhookSpec, ...] = ()
    retrain: Annotated[RetrainSpec, BeforeValidator(as_retrain)] | None = None  # by hand only where nothing is said
    capacity: CapacitySpec | None = None  # shares follow what was measured; unbounded where nothing is said


class BoundSpec(Part):
    """What the best of a search may cost when it answers, as it is measured at build."""

    latency_ms: float | None = Field(default=None, gt=0)  # one row, median
    size_mb: float | None = Field(default=None, gt=0)


class TuningSpec(Part):
    """One budget for all searches: seconds of computing, over all workers, or a number of trials, or both."""

    budget: (
        Annotated[float, BeforeValidator(as_seconds), Field(gt=0, allow_inf_nan=False), WithJsonSchema(WRITTEN_SECONDS)]
        | None
    ) = None
    trials: int | None = Field(default=None, gt=0)
    floor: Share = 0.25  # of an equal share: every variant gets as much
    race: bool = True  # stop trials that will not beat the variant's best
    worth: float = Field(default=0.0, ge=0, lt=1)  # stop where all that is left is expected to better it by no more
    beside: tuple[Literal["latency_ms", "size_mb"], ...] = ()  # objectives beside the loss
    limits: BoundSpec = BoundSpec()

    @property
    def seconds(self) -> float | None:
        """The budget; a minute where nothing is said."""
        return 60.0 if self.budget is None and self.trials is None else self.budget


class LimitSpec(Part):
    """What one variant's building may cost."""

    seconds: Annotated[float, BeforeValidator(as_seconds), Field(gt=0), WithJsonSchema(WRITTEN_SECONDS)] = 3600.0
    memory_mb: int = Field(default=8192, gt=0)


def holds_password(url: str) -> bool:
    """Whether there is one in the URL; it has no place in a file."""
    return re.match(r"[^:/]+://[^/@]*:[^/@]*@", url) is not None


class TrackingSpec(Part):
    """Where MLflow keeps runs and versions; a file beside the project where nothing is said."""

    uri: str | None = None
    env: str | None = None  # the environment variable that holds the URI, where it has a password

    @model_validator(mode="after")
    def _one_place(self) -> TrackingSpec:
        if self.uri is not None and self.env is not None:
            raise ValueError("say one of uri and env")
        if self.uri is not None and holds_password(self.uri):
            raise ValueError("the URI holds a password; put it into a variable and name that: env: NAME")
        return self


class StoreSpec(Part):
    """Where rivals remembers what it decided; an SQLite file beside the project where nothing is said."""

    url: str | None = None  # an SQLAlchemy URL, of SQLite or PostgreSQL
    env: str | None = None  # the environment variable that holds the URL, where it has a password

    @model_validator(mode="after")
    def _one_place(self) -> StoreSpec:
        if self.url is not None and self.env is not None:
            raise ValueError("say one of url and env")
        if self.url is not None and holds_password(self.url):
            raise ValueError("the URL holds a password; put it into a variable and name that: env: NAME")
        return self


class ProjectSpec(Part):
    """All that ``rivals.yaml`` asks for."""

    project: Name
    data: DataSpec
    features: Mapping[str, tuple[Plugin, ...]] = Field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    variants: tuple[VariantSpec, ...] = Field(min_length=1)
    gate: tuple[Plugin, ...] = ()
    endpoint: EndpointSpec | None = None
    tuning: TuningSpec = TuningSpec()
    limits: LimitSpec = LimitSpec()
    tracking: TrackingSpec = TrackingSpec()
    store: StoreSpec = StoreSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    deploy: DeploySpec = DeploySpec()
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _labels_for_acting_alone(self) -> ProjectSpec:
        if self.data.labels_depend_on_decision and self.endpoint and self.endpoint.autonomy == "act":
            raise ValueError(
                "endpoint.autonomy: act cannot be where data.labels_depend_on_decision is true: labels that depend on "
                "the decision judge only what was decided, and exploration is not built yet; use autonomy: recommend"
            )
        return self

    @model_validator(mode="after")
    def _a_measure_of_its_own(self) -> ProjectSpec:
        task = self.data.task
        if task == "custom" and not self.metrics:
            raise ValueError("task custom needs 'metrics': yours, as [\"mine:profit\"], the first one decides")
        rollout = self.endpoint and self.endpoint.rollout
        judged = rollout and any(judge.name == "quality" for judge in rollout.judges)
        if task in {"ranking", "custom"} and rollout and judged and rollout.metric is None:
            raise ValueError(
                f"the judge quality knows no loss of a {task} task: name endpoint.rollout.judges without it, as "
                "[failures, reward, ratio], or say endpoint.rollout.metric: squared"
            )
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        """The metrics, the deciding one first."""
        return self.metrics or DEFAULT_METRICS[self.data.task]

    def set_of(self, name: str) -> str:
        """The data set that the variant is made from; an ensemble's is that of its members."""
        variant = self.variant(name)
        return self.set_of(variant.members[0]) if variant.members else variant.data

    def variant(self, name: str) -> VariantSpec:
        """The variant of that name; ``KeyError`` if there is none."""
        return {one.name: one for one in self.variants}[name]


DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("log_loss", "roc_auc", "brier"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("rmse", "mae"),
    "ranking": ("ndcg@10", "ndcg"),
}

# Announced in the documentation and not built yet: a clear word instead of a key that does nothing.
COMING: Mapping[str, str] = {
    "exploration": "exploration",
}
