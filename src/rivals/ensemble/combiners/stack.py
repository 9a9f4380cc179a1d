"""A model on top of the members' answers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, asked, learnable, side_by_side
from rivals.errors import SpecError
from rivals.protocols import Graph, Lesson

OPSET = {"": 19, "ai.onnx.ml": 3}  # that of the members' graphs, so that they join
LEAST = 1e-7  # of a probability: float32 tells it from 0 and from 1
RIDGE = 1e-3  # pulls the weights to an equal share, so that members alike share what they earn

Floats = NDArray[np.float64]


class Stack:
    """Learns from banked predictions how far to believe whom; no refit of a member (Wolpert 1992).

    As it comes, few numbers are learned, a weight of 0 or more for each member and a bias for each label: a logarithmic
    pool of probabilities, or a linear one of values (Breiman 1996). ``estimator`` names another meta-learner, as
    ``sklearn.ensemble.GradientBoostingClassifier``, made with ``options``; it sees the logarithms of probabilities.
    For a member that does not answer, the others' mean stands in.
    """

    def __init__(
        self,
        estimator: str | None = None,
        options: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        bias: Sequence[float] | None = None,
        graph: str = "",
        order: Sequence[str] | None = None,
    ) -> None:
        self.estimator, self.options = estimator, dict(options or {})
        self.weights = None if weights is None else dict(weights)
        self.bias, self.graph = None if bias is None else np.asarray(bias, np.float64), graph
        self.order = None if order is None else list(order)  # of what the graph sees
        self.named = frozenset([*(self.weights or ()), *(self.order or ())])

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """Weights and biases; or the meta-learner, as a graph. Raises ``SpecError`` where it cannot be one."""
        learnable(lesson, "stack")
        if self.estimator:
            return {"graph": _graph(self.estimator, self.options, lesson), "order": sorted(lesson.answers)}
        return _values(lesson) if lesson.task == "regression" else _chances(lesson)

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """Whoever has not answered yet."""
        return asked(members, answers, self.weights)

    def combine(self, answers: Answers) -> Floats:
        """What the model on top says."""
        names = sorted(answers)
        width = next(iter(answers.values())).shape[1]
        if self.graph:
            usual = np.mean([answers[name] for name in names], axis=0)
            every = [answers.get(name, usual) for name in self.order or names]
            return self._run(_features(every).astype(np.float32), width)
        each = self._each(names)
        said = [answers[name] if width == 1 else _logs(answers[name]) for name in names]
        pooled: Floats = np.sum([weight * one for weight, one in zip(each, said, strict=True)], axis=0)
        pooled = pooled if self.bias is None else pooled + self.bias
        return pooled if width == 1 else _softmax(pooled)

    def emit(self, graph: Graph, answers: Mapping[str, str], width: int) -> str:
        """The same as operators."""
        names = sorted(answers)
        block = side_by_side(graph, answers)
        if width > 1:
            low, high = graph.constant(np.array(LEAST)), graph.constant(np.array(1.0))
            block = graph.node("Log", [graph.node("Clip", [block, low, high])])
        if self.graph:
            said = graph.model(base64.b64decode(self.graph), [graph.node("Cast", [block], to=1)])
            return graph.node("Cast", [said], to=11)
        pooled = graph.node("MatMul", [block, graph.constant(np.kron(self._each(names), np.eye(width)).T.copy())])
        if self.bias is not None:
            pooled = graph.node("Add", [pooled, graph.constant(self.bias)])
        return graph.node("Softmax", [pooled], axis=1) if width > 1 else pooled

    def _each(self, names: Sequence[str]) -> list[float]:
        if self.weights is None:
            return [1 / len(names)] * len(names)
        found = [self.weights[name] for name in names]
        missing = self.weights.keys() - set(names)
        return [one * sum(self.weights.values()) / sum(found) for one in found] if missing else found

    @cached_property
    def _run(self) -> Callable[[NDArray[np.float32], int], Floats]:
        import onnxruntime as ort  # noqa: PLC0415 -- few stacks carry a graph

        settings = ort.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        session = ort.InferenceSession(base64.b64decode(self.graph), settings, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0].name

        def run(block: NDArray[np.float32], width: int) -> Floats:
            return np.asarray(session.run(None, {given: block})[0], np.float64).reshape(len(block), width)

        return run


# -- few numbers ------------------------------------------------------------------------------------


def _values(lesson: Lesson) -> dict[str, Any]:
    """Weights from 0 up and a bias, by least squares."""
    from scipy.optimize import nnls  # noqa: PLC0415 -- serving has no scipy

    names = sorted(lesson.answers)
    weight = np.ones(len(lesson.target)) if lesson.weight is None else lesson.weight
    weight = weight / weight.sum()
    said = np.column_stack([lesson.answers[name][:, 0] for name in names])
    target = lesson.target.astype(np.float64)
    means, mean = weight @ said, weight @ target
    centred, aim = said - means, target - mean
    # Towards equal shares: rows that say so, as strong as RIDGE of the spread of the answers.
    pull = np.sqrt(RIDGE * (weight @ centred**2).mean() + np.finfo(float).tiny)
    rows = np.sqrt(weight)[:, None]
    matrix = np.vstack([centred * rows, pull * np.eye(len(names))])
    found, _ = nnls(matrix, np.concatenate([aim * rows[:, 0], np.full(len(names), pull / len(names))]))
    return {"weights": _kept(names, found), "bias": [float(mean - means @ found)]}


def _chances(lesson: Lesson) -> dict[str, Any]:
    """Weights from 0 up and a bias for each label, by likelihood; convex."""
    from scipy.optimize import minimize  # noqa: PLC0415 -- serving has no scipy

    names = sorted(lesson.answers)
    weight = np.ones(len(lesson.target)) if lesson.weight is None else lesson.weight
    weight = weight / weight.sum()
    logs = np.stack([_logs(lesson.answers[name]) for name in names])  # members, rows, labels
    many, rows, width = logs.shape
    happened = np.zeros((rows, width))
    happened[np.arange(rows), lesson.target.astype(np.int64)] = 1.0
    start = np.concatenate([np.full(many, 1 / many), np.zeros(width)])

    def loss(at: Floats) -> tuple[float, Floats]:
        off = at - start
        chances = _softmax(np.tensordot(at[:many], logs, 1) + at[many:])
        likely = np.maximum((chances * happened).sum(axis=1), np.finfo(float).tiny)
        steep = (chances - happened) * weight[:, None]
        slope = np.concatenate([np.tensordot(logs, steep, 2), steep.sum(axis=0)])
        return float(-weight @ np.log(likely) + RIDGE / 2 * off @ off), slope + RIDGE * off

    bounds = [(0.0, None)] * many + [(None, None)] * width
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return {"weights": _kept(names, found[:many]), "bias": [float(one) for one in found[many:]]}


def _kept(names: Sequence[str], found: Floats) -> dict[str, float]:
    """Those above nothing; where nobody is, all, and hardly."""
    kept = {name: float(one) for name, one in zip(names, found, strict=True) if one > LEAST}
    return kept or dict.fromkeys(names, LEAST)


# -- any meta-learner -------------------------------------------------------------------------------


def _graph(name: str, given: Mapping[str, Any], lesson: Lesson) -> str:
    """Fit scikit-learn's estimator of that name, and make it a graph."""
    from importlib import import_module  # noqa: PLC0415

    from skl2onnx import to_onnx  # noqa: PLC0415 -- serving has no scikit-learn

    module, _, kind = name.rpartition(".")
    if not module.startswith("sklearn."):
        raise SpecError(f"A meta-learner is scikit-learn's, as sklearn.linear_model.LogisticRegression; not {name!r}.")
    try:
        made = getattr(import_module(module), kind)(**given)
    except (ImportError, AttributeError, TypeError) as error:
        raise SpecError(f"The meta-learner {name!r} cannot be made: {error}.") from error
    labelled = lesson.task != "regression"
    if labelled and not hasattr(made, "predict_proba"):
        raise SpecError(f"The meta-learner {name!r} gives no probabilities; choose another one.")
    names = sorted(lesson.answers)
    block = _features([lesson.answers[one] for one in names]).astype(np.float32)
    target = lesson.target.astype(np.int64) if labelled else lesson.target.astype(np.float64)
    width = next(iter(lesson.answers.values())).shape[1]
    if labelled and len(np.unique(target)) < width:
        raise SpecError("A label does not occur in the rows to learn from; the stack cannot know it.")
    made.fit(block, target, **({} if lesson.weight is None else {"sample_weight": lesson.weight}))
    options = {id(made): {"zipmap": False}} if labelled else None
    graph = to_onnx(made, block[:1], target_opset=OPSET, options=options)
    for one in graph.opset_import:  # not the oldest that would do
        one.version = OPSET[one.domain]
    del graph.graph.output[: 1 if labelled else 0]
    return base64.b64encode(graph.SerializeToString(deterministic=True)).decode()


# -- what it sees -----------------------------------------------------------------------------------


def _features(said: Sequence[Floats]) -> Floats:
    block = np.concatenate(said, axis=1)
    return block if said[0].shape[1] == 1 else _logs(block)


def _logs(chances: Floats) -> Floats:
    logs: Floats = np.log(np.clip(chances, LEAST, 1.0))
    return logs


def _softmax(pooled: Floats) -> Floats:
    raised = np.exp(pooled - pooled.max(axis=1, keepdims=True))
    chances: Floats = raised / raised.sum(axis=1, keepdims=True)
    return chances
