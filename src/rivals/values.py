"""Every noun that crosses rooms: frozen, typed, and readable as JSON by ``msgspec``.

Times are seconds since the epoch on the endpoint's clock, durations are seconds, shares lie in [0, 1],
digests are SHA-256 in hex. A room answers with a new value; nothing here is changed in place. What is made for every
request is a Struct, for it is made ten times as quickly as a frozen dataclass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress
from typing import Any, Literal

import msgspec

from rivals.strategy import Strategy

# -- wishes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """A plug-in by its name, with the options it gets."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


# -- what a model takes and gives -------------------------------------------------------------------

Task = Literal["binary", "multiclass", "regression"]
Learned = Literal["binary", "multiclass", "regression", "ranking", "custom"]  # the last two answer as a regression does


@dataclass(frozen=True, slots=True)
class Column:
    """One input of a model. ``kind`` is what JSON may carry for it; ``nullable`` if training had gaps."""

    name: str
    kind: Literal["number", "text"]
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a variant takes and gives.

    Classifiers answer probabilities of shape (rows, len(labels)), regressors values of shape (rows, 1); float64.
    """

    inputs: tuple[Column, ...]
    task: Task
    labels: tuple[Any, ...] = ()


class Columns(msgspec.Struct, frozen=True, gc=False):
    """Rows as columns of plain Python values (float, str or None), all of length ``rows``."""

    values: Mapping[str, Sequence[Any]]
    rows: int

    def where(self, kept: Sequence[bool]) -> Columns:
        """Some of the rows."""
        values = {name: list(compress(column, kept)) for name, column in self.values.items()}
        return Columns(values, sum(kept))


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of one variant on rows it was not fitted on; ``folds`` keeps them apart."""

    metrics: Mapping[str, float]
    folds: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """A variant that was built: its bundle, its scores, and what building and asking it cost."""

    variant: str
    digest: str  # of the bundle
    wish: str  # digest of what was asked for: data, code and options
    scores: Scores
    fit_seconds: float
    predict_us: float  # one row, median, by the runtime that will serve it
    bytes: int
    runtime: str
    parity: float  # worst |bundle - pipeline| over the parity rows


@dataclass(frozen=True, slots=True)
class Version:
    """A trained variant as the registry knows it."""

    variant: str
    digest: str
    run_id: str = ""
    number: int = 0


# -- routing ----------------------------------------------------------------------------------------

SLOTS = 10_000


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant that may answer, and its share of the units."""

    variant: str
    digest: str
    weight: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A variant paired with the champion: whichever of the two answers, the other one is asked too.

    Its answer is kept for comparison and never returned. ``share`` of the requests are paired.
    """

    variant: str
    digest: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Holdout:
    """Units that always meet one approved variant, whoever is champion: the first ``slots`` under a salt of its own."""

    variant: str
    digest: str
    salt: str
    slots: int


@dataclass(frozen=True, slots=True)
class Layer:
    """Units that may meet a challenger here: slots [start, end) of a layer that endpoints share; others never do."""

    name: str  # and its salt
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Who answers: immutable, numbered, obeyed by the request path without a thought of its own.

    ``slots`` has 10,000 bytes, each the index of an arm; a unit's slot never changes under one salt.
    """

    endpoint: str
    revision: int
    champion: str
    arms: tuple[Arm, ...]
    salt: str
    slots: bytes
    shadows: tuple[Shadow, ...] = ()
    policy: Use = field(default_factory=lambda: Use("split"))
    rollout: str = ""  # the rollout that asked for this table, if any
    holdout: Holdout | None = None
    layer: Layer | None = None
    named: tuple[Arm, ...] = ()  # whom the policy may choose by name; they own no slots
    state: Mapping[str, Any] = field(default_factory=dict)  # what the policy has learned, as JSON

    @property
    def answering_by_name(self) -> tuple[Arm, ...]:
        """Those of ``named`` that may be asked: not while another bundle of that name is rolled out."""
        known = {one.variant: one.digest for one in self.shadows} | {one.variant: one.digest for one in self.arms}
        return tuple(arm for arm in self.named if known.get(arm.variant, arm.digest) == arm.digest)

    def answers(self, variant: str) -> bool:
        """Whether clients may meet the variant."""
        return any(arm.variant == variant for arm in (*self.arms, *self.answering_by_name))


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request as the wires hand it over: rows, and what routing may look at."""

    id: str
    columns: Columns
    unit: str  # what sticks to one variant; the request id where nothing else is asked
    time: float
    pin: str = ""  # a variant asked for by name
    deadline_ms: float = 0.0  # 0: none
    headers: Mapping[str, str] = {}  # those the policy looks at, by name in lower case
    trace: str = ""  # its W3C traceparent, where traces are wanted and it has one


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The arm a policy chose, and how likely each arm was at that moment."""

    variant: str
    propensity: Mapping[str, float]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What the client gets: ``outputs`` as nested lists (rows x classes, or rows x 1)."""

    id: str
    variant: str
    revision: int
    outputs: Sequence[Sequence[float]]
    degraded: bool = False


# -- what was answered, and what it meant -----------------------------------------------------------


class Outcome(StrEnum):
    """How an exposure ended. Everything but OK is a failure charged to the variant that was asked."""

    OPEN = "open"  # asked, not answered yet
    OK = "ok"
    ERROR = "error"  # the variant raised, or answered rubbish
    DEADLINE = "deadline"  # it answered too late
    SHED = "shed"  # it was not asked, for want of room
    LOST = "lost"  # its process died before it answered


@dataclass(frozen=True, slots=True)
class Exposure:
    """One row asked of one variant: by whom it was answered, how likely that was, and how it ended.

    Keyed by (id, variant). A shadow's exposure has the id of the request it shadows, and no propensity.
    """

    id: str  # "<request id>/<row>"
    variant: str
    shadow: bool
    endpoint: str
    revision: int
    time: float
    unit: str
    propensity: Mapping[str, float]
    outcome: Outcome = Outcome.OPEN
    latency_us: int = 0
    output: tuple[float, ...] = ()  # probabilities by label, or one value
    slices: tuple[str, ...] = ()  # the declared slices it falls into, as "carrier=UA"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What became of an exposure: a label or a reward, by the exposure's id.

    With a ``unit`` instead of an id: of every exposure of that unit in the time [start, end).
    """

    id: str
    label: Any = None
    reward: float | None = None
    time: float = 0.0  # when it was received, on the endpoint's clock
    unit: str = ""
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewarded:
    """An answer to a client that got a reward, and how it came to that variant."""

    id: str
    unit: str
    variant: str
    time: float
    propensity: Mapping[str, float]
    reward: float


@dataclass(frozen=True, slots=True)
class Experience:
    """A decision of a policy that was drawn, and what it turned out to mean. What a policy learns from.

    ``reward``: the mean over its rows, where one was told. ``losses``: mean losses in [0, 1] over its labelled rows, of
    whoever answered them, in the shadow too; ``seen``: by variant, how likely its loss was to be known. ``failed``:
    there was no answer, which is a loss of 1. ``inputs``: what it asked, by column, where that was captured.
    """

    id: str  # of the request
    unit: str
    variant: str
    time: float
    propensity: Mapping[str, float]
    failed: bool = False
    reward: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One row both rivals answered, and its label once it is known."""

    id: str
    time: float
    champion: tuple[float, ...]
    challenger: tuple[float, ...]
    label: Any = None
    slices: tuple[str, ...] = ()  # the declared slices it falls into


# -- judgement --------------------------------------------------------------------------------------


class Status(StrEnum):
    """The four answers of a judge. Broken is not failed, and unknown is not zero."""

    PASS = "pass"  # noqa: S105 -- a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's answer and its reason, with the figures it rests on."""

    judge: str
    status: Status
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one arm of a rollout met since it started."""

    requests: int = 0  # answered for clients, by random assignment
    failures: int = 0  # of those
    asked: int = 0  # every question put to it, shadows included
    asked_failures: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that judges may look at: e-values (as natural logarithms), counts and times, never raw rows.

    A log e-value of ln(1/alpha) or more, at any time, is proof at level alpha (Ville's inequality).
    """

    endpoint: str
    champion: str
    challenger: str
    now: float
    counts: Mapping[str, Counts] = field(default_factory=dict)
    log_e: Mapping[str, float] = field(default_factory=dict)  # highest so far, by name
    estimates: Mapping[str, float] = field(default_factory=dict)
    blocks: int = 0  # matured time blocks of paired answers


class Phase(StrEnum):
    """Where a rollout is. The last five are final."""

    SHADOW = "shadow"
    CANARY = "canary"
    WATCH = "watch"  # promoted a while ago; the former champion is kept warm, to go back to
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    HELD = "held"  # ended without enough evidence; the champion stays
    CONCLUDED = "concluded"  # a trial, a watch or a test with several challengers that ended; its reason says how
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self in {Phase.PROMOTED, Phase.ROLLED_BACK, Phase.HELD, Phase.CONCLUDED, Phase.ABORTED}


@dataclass(frozen=True, slots=True)
class Rollout:
    """One challenger's way to the top: where it is, since when, and under which rules."""

    id: str
    endpoint: str
    champion: Version
    challenger: Version
    steps: tuple[float, ...]  # shares of the canary, ascending
    every: float  # seconds to stay on a step before growing
    deadline: float  # seconds after which it is held
    started: float
    changed: float  # when phase or step last changed
    phase: Phase = Phase.SHADOW
    step: int = -1  # index into steps; -1 while only shadowing
    autonomy: Literal["observe", "recommend", "act"] = "recommend"
    resume: Phase | None = None  # the phase a paused rollout goes back to
    reason: str = ""  # why it ended
    base_revision: int = 0  # the table to go back to
    alpha: float | None = None  # level of its promotion, from the error budget; None: a person promotes
    strategy: Strategy | Literal["watch"] = "canary"
    watch: float = 0.0  # seconds that the former champion stays warm after a promotion

    @property
    def share(self) -> float:
        """The challenger's present share of live traffic."""
        if self.phase is Phase.WATCH:
            return 1.0
        return self.steps[self.step] if self.phase is Phase.CANARY and self.step >= 0 else 0.0


# -- drift ------------------------------------------------------------------------------------------

Watched = Literal["input", "score", "label", "error", "reward", "disagreement"]  # what a finding is about


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector saw of one column in one window, against its reference.

    ``effect`` is the statistic as a multiple of what counts as a shift: from 1 on it matters. ``log_e`` is the natural
    logarithm of an e-value against "as it was": chance alone reaches x in one of e^x looks at most. Drift is both: an
    effect that matters, and evidence that the alarm budget accepts.
    """

    column: str
    detector: str
    statistic: float
    effect: float
    log_e: float
    since: float | None = None  # when it began, as far as the detector can tell
    kind: Watched = "input"
    variant: str = ""  # whose score, error or disagreement it is; inputs are everybody's
    rows: int = 0
    drifted: bool = False  # after all findings of a look shared the alarm budget
    told: str = ""  # a few words for a person, as "missing 0.1 % -> 40 %"


@dataclass(frozen=True, slots=True)
class SliceLoss:
    """The mean loss of a slice over the latest windows, and in the last one (None: it had no label there)."""

    rows: int
    loss: float
    cohort: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good one variant was in one window: losses, of which less is better.

    ``expected`` is what it would be if the variant were as well calibrated as on held-out rows (CBPE, DLE): no label is
    needed for it. ``log_worse`` is evidence, as of a finding, that the loss is above it by more than is tolerated;
    ``log_biased`` that labels are elsewhere than the variant says, to either side. NaN: not known.
    """

    variant: str
    metric: str
    before: float  # on held-out rows
    expected: float
    now: float  # on the labels that came
    bias: float = math.nan  # mean of label minus calibrated answer
    answered: int = 0  # rows that could have a label by now
    labelled: int = 0
    usual_labelled: float = math.nan  # the share of rows that had a label, in windows before
    log_worse: float = 0.0
    log_biased: float = 0.0
    start: float = 0.0
    end: float = 0.0
    cohort: float = math.nan  # the loss of the last window's rows alone
    calibration: float = math.nan  # expected calibration error of the chances as said, over the rows of ``now``
    slices: dict[str, SliceLoss] = field(default_factory=dict)  # of declared columns, as "carrier=UA"


class Trouble(StrEnum):
    """What explains the findings of a look."""

    NOTHING = "nothing"
    INPUTS = "inputs"  # inputs drifted and nobody got worse
    WORLD = "world"  # every variant got worse
    VARIANT = "variant"  # one got worse alone
    FEATURE = "feature"  # a column is broken: missing, out of range, unseen or stuck
    LABELS = "labels"  # labels are late: nothing can be said about quality


class Remedy(StrEnum):
    """What a cause asks for."""

    IGNORE = "ignore"  # it is noted, or a person is told; no model is touched
    RETRAIN = "retrain"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why things are as they are, and the evidence: which columns, which variants, since when."""

    trouble: Trouble
    reason: str
    variants: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    since: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def remedy(self) -> Remedy:
        """What to do about it."""
        match self.trouble:
            case Trouble.WORLD:
                return Remedy.RETRAIN
            case Trouble.VARIANT:
                return Remedy.ROLL_BACK
            case _:
                return Remedy.IGNORE


# -- instructions: what to do, as data ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetRoutes:
    """Give the challenger this share; ``paired`` keeps the shadow running."""

    share: float
    paired: bool = True


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the challenger the champion; ``warm`` keeps the former one in the shadow, to go back to."""

    warm: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """Give all traffic back to the champion."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell a person."""

    message: str


Why = Literal["drift", "quality", "schedule", "data", "hand"]  # what a training was asked for by


@dataclass(frozen=True, slots=True)
class Retrain:
    """Train new challengers on the rows from ``since`` on; None: on everything so far."""

    why: Why
    since: float | None
    reason: str


Instruction = SetRoutes | Promote | RollBack | Notify | Retrain
