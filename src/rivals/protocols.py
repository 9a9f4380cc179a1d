"""The doors: everything extensible comes in through one of these, and each is an entry-point group.

A door has at most three methods. Constructor arguments are the options, kept under their own names.
In a project file every door reads ``{use: name, with: {...}}``, or just the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from rivals.placement import Deployment
from rivals.usual import NumberSketch, TextSketch
from rivals.values import (
    Choice,
    Columns,
    Evidence,
    Experience,
    Finding,
    Learned,
    Request,
    RoutingTable,
    Signature,
    Verdict,
    Watched,
)

if TYPE_CHECKING:  # frames and arrays pass through; the pages themselves need neither package
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Fold:
    """What a family or a step is fitted on: rows, target and what goes with them.

    ``rows`` holds float32 numbers and ``str`` (or None) texts, in the signature's order.
    """

    rows: pd.DataFrame
    target: NDArray[Any]
    task: str
    weight: NDArray[np.float64] | None = None
    group: NDArray[Any] | None = None
    time: NDArray[np.float64] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a combiner learns from: ``answers`` by member, (rows, k), to rows that no member was fitted on.

    ``target`` holds indexes of labels, or values; ``metric`` is the deciding one. ``cost`` is, by member, what one row
    takes in milliseconds and what its bundle takes in MB, where that is known. ``rows`` are there for a combiner that
    looks at them.
    """

    answers: Mapping[str, NDArray[np.float64]]
    target: NDArray[Any]
    task: Learned
    metric: str = ""
    weight: NDArray[np.float64] | None = None
    cost: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0
    rows: Columns | None = None

    def where(self, kept: NDArray[np.bool_]) -> Lesson:
        """Some of the rows."""
        return replace(
            self,
            answers={name: said[kept] for name, said in self.answers.items()},
            target=self.target[kept],
            weight=None if self.weight is None else self.weight[kept],
            rows=None if self.rows is None else self.rows.where(kept.tolist()),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """One column over the time [start, end), in the order it came; all arrays are (rows,).

    ``values``: float64 with NaN for gaps, or texts with None. Of an error, a reward or a disagreement: within [0, 1].
    ``wrong``: values that were of another type than the column, and so are not among the values.
    """

    column: str
    start: float
    end: float
    times: NDArray[np.float64]
    values: NDArray[Any]
    kind: Watched = "input"
    variant: str = ""
    wrong: int = 0
    cells: NDArray[np.int64] | None = None  # of the values in the reference, where somebody has looked them up


class Graph(Protocol):
    """A graph under way, in the words of ONNX; tensors go by name."""

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One operator; its output."""

    def constant(self, values: NDArray[Any]) -> str:
        """Values that are always the same."""

    def model(self, raw: bytes, inputs: Sequence[str]) -> str:
        """A whole graph, asked for ``inputs``; its one output."""


@runtime_checkable
class Source(Protocol):
    """Where rows come from."""

    def read(self) -> pd.DataFrame:
        """All rows, with their target and the columns the project names."""

    def digest(self) -> str:
        """A name for exactly these rows: other rows, another digest."""


@runtime_checkable
class Step(Protocol):
    """Make columns fit for a model; scikit-learn's transformers, so that the whole pipeline compiles."""

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:
        """An unfitted scikit-learn transformer, given the numeric and text columns that reach this step."""


@runtime_checkable
class Family(Protocol):
    """A kind of model.

    ``tasks``, where it has the attribute, names those it knows; of ``ranking`` and ``custom`` it then learns as it
    likes, else it is asked for a regression. An estimator's ``fit`` gets ``groups`` where it takes them.
    """

    def estimator(self, task: str, seed: int) -> Any:
        """An unfitted estimator in scikit-learn's manner: ``fit``, ``predict`` and for classes ``predict_proba``."""


@runtime_checkable
class Combiner(Protocol):
    """Many answers, one answer. It does no I/O, so that one text serves building and serving.

    Made without having learned anything, it must answer, too. It may be a ``Learner``, ``Compiled`` or ``Looking``
    besides, and may say ``named``, a set of the members that its options name.
    """

    def ask(
        self, members: Sequence[str], answers: Mapping[str, NDArray[np.float64]]
    ) -> Sequence[str] | Mapping[str, NDArray[np.bool_]]:
        """Whom of ``members``, those that can be asked, to ask next, given the answers so far; nobody: done.

        Who has failed is no member any more. A mapping says of which rows; others are NaN, until they are asked, too.
        """

    def combine(self, answers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """One answer of the members' shape, from whoever answered."""


@runtime_checkable
class Learner(Protocol):
    """A ``Combiner`` that learns from what its members said of rows they were not fitted on."""

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """The options, readable as JSON, under which it answers as it has learned.

        An option ``weights`` is a number by member: members without one are left out of the ensemble.
        """


@runtime_checkable
class Compiled(Protocol):
    """A ``Combiner`` that can be part of one graph with its members."""

    def emit(self, graph: Graph, answers: Mapping[str, str], width: int) -> str:
        """Add what ``combine`` does: tensors (rows, ``width``) go by name, float32 in, float64 out. "": it cannot."""


@runtime_checkable
class Looking(Protocol):
    """A ``Combiner`` that looks at the rows: at ``columns``, inputs or what ``rivals.rules`` makes of a request."""

    columns: frozenset[str]

    def look(self, rows: Columns) -> Combiner:
        """The combiner of these rows, which may come without some of the columns."""


@runtime_checkable
class Policy(Protocol):
    """Who answers this request. It obeys the table and learns nothing in the request.

    It may say what it needs, each a set of names: ``headers`` it looks at (in lower case; others do not reach it),
    ``columns`` it looks at beside the models' inputs, and ``variants`` it chooses though no rollout has made them arms.
    Where ``asks_cost`` is true, `rivals serve` gives it the option ``cost``: of the tied, by variant.
    """

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """An arm, with the propensity of every arm."""


@runtime_checkable
class Learns(Protocol):
    """A ``Policy`` that learns: beside the request path, from one block of time after the other.

    What it learned is JSON and comes to ``choose`` as ``table.state``. ``state["weights"]``, where it has one, is the
    share of each variant: a new table comes when they moved. ``state["figures"]`` are numbers for people. An attribute
    ``needs`` may name what it learns from: ``losses``, which labels tell, or ``inputs``, which capture keeps.
    """

    every: float  # seconds of a block

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """The state after the decisions of a block, in the order of time; of ``{}`` and none: as it begins.

        It depends on nothing else, so that it can be derived again.
        """

    def forget(self, state: Mapping[str, Any], variants: Sequence[str]) -> Mapping[str, Any]:
        """The state without what it knew of these: they were built anew."""


@runtime_checkable
class Judge(Protocol):
    """An opinion on evidence: pass, fail, inconclusive or error, and why."""

    def judge(self, evidence: Evidence) -> Verdict:
        """The verdict; the same evidence always gives the same one."""


@runtime_checkable
class Detector(Protocol):
    """Is a column still as it was? It says how much it is not, and how surely; the alarm budget decides.

    It may be a ``Follower`` besides.
    """

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """What is seen in one window; None where it has nothing to say of such a column, or of so few rows."""


@runtime_checkable
class Follower(Protocol):
    """A ``Detector`` that remembers: it sees what grows slowly, and when it began."""

    def follow(self, reference: NumberSketch | TextSketch, window: Window, memory: Any) -> tuple[Finding | None, Any]:
        """What is seen in the next window, and what to remember, readable as JSON. None: nothing was seen before."""


@runtime_checkable
class Tuner(Protocol):
    """A way to search. Made with the option ``space``, a ``rivals.tune.space.Space``."""

    def ask(self) -> Mapping[str, Any] | None:
        """The next point to try; None: there is no other."""

    def tell(self, params: Mapping[str, Any], score: float) -> None:
        """What a point came to, less is better, NaN: it failed. Any point of the space may be told, in any order."""


@runtime_checkable
class Owner(Protocol):
    """A ``Tuner`` that runs its trials itself, in processes of its own."""

    def own(
        self,
        follow: Callable[[Mapping[str, Any]], Iterator[tuple[float, bool]]],
        seconds: float | None,
        trials: int | None,
        workers: int,
        folds: int,
    ) -> None:
        """Try points for so many seconds on the clock, or so many in all, at most ``workers`` side by side.

        ``follow(params)`` gives (loss, whether it was the last) after each of the ``folds``, writes down what a point
        came to, and stops where it is closed. It may travel to other processes.
        """


@runtime_checkable
class Backend(Protocol):
    """A place where work runs."""

    workers: int  # tasks that run side by side

    def warm(self, *modules: str) -> None:
        """Tasks that need these modules will come: load them where tasks start, if that saves time."""

    def submit(self, task: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Start ``task(item)``; the future raises what the task raised, ``OutOfTime`` or ``OutOfMemory``."""

    def close(self) -> None:
        """End whatever still runs."""


@runtime_checkable
class Target(Protocol):
    """A platform that a deployment is described for, and whose descriptions are read."""

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError`` for what the platform has no words for."""

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What documents of the platform describe: of its own ``render``, the same. Raises ``SpecError``."""

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """The commands that bring about what was rendered into ``folder``."""


# -- inner seams, not doors: free to change ----------------------------------------------------------


class Predictor(Protocol):
    """A bundle, ready to answer."""

    signature: Signature

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1), float64. What it raises is charged to the variant."""


class Opener(Protocol):
    """Opens the bundle of that digest."""

    def __call__(self, digest: str) -> Path:
        """The verified folder."""


DOORS: Mapping[type, str] = {
    Source: "rivals.sources",
    Step: "rivals.steps",
    Family: "rivals.families",
    Combiner: "rivals.combiners",
    Policy: "rivals.policies",
    Judge: "rivals.judges",
    Detector: "rivals.detectors",
    Tuner: "rivals.tuners",
    Backend: "rivals.backends",
    Target: "rivals.targets",
}
