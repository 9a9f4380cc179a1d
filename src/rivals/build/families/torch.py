"""Neural networks by PyTorch, trained through skorch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from rivals.build.named import named
from rivals.errors import SpecError
from rivals.plugins import nearest

Floats = NDArray[np.float32]
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "gelu": torch.nn.GELU, "silu": torch.nn.SiLU}
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
COUNTS, RATES = ("epochs", "batch", "patience"), ("lr", "decay", "dropout", "valid")


class Torch:
    """A network by words: ``Torch(hidden=[64, 32], epochs=30, lr=0.001, batch=128, dropout=0.1, patience=5)``.

    With ``patience`` it stops once the loss on a share ``valid`` of its rows has not fallen for so many epochs, and
    keeps the best. ``module: "mine:Net"`` is a network of your own: a class or function called with ``inputs``,
    ``outputs`` and the options left over. It needs finite inputs of like size: steps ``impute`` and ``scale``. The same
    seed gives the same network, on one thread. Extra ``rivals[torch]``.
    """

    def __init__(self, module: str = "", **options: Any) -> None:
        known = [name for name in inspect.signature(Network).parameters if name not in ("seed", "module", "more")]
        more = {name: value for name, value in options.items() if name not in known}
        if more and not module:
            wrong = next(iter(more))
            raise SpecError(f"family torch has no option {wrong!r}.{nearest(wrong, known)}")
        self._options = {name: value for name, value in options.items() if name in known}
        self._own: dict[str, Any] = {"module": module, "more": more} if module else {}
        _check(self._options)

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted, by task."""
        made = Values if task == "regression" else Labels
        return made(**self._options, **self._own, seed=seed)


class Network(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What both kinds share. Fitted, it holds its weights as plain arrays, so that it is kept without pickle."""

    def __init__(
        self, *, hidden: Sequence[int] = (64, 32), activation: str = "relu", dropout: float = 0.0, epochs: int = 30,
        batch: int = 128, lr: float = 0.001, decay: float = 0.0, optimizer: str = "adam", patience: int | None = None,
        valid: float = 0.1, module: str = "", more: Mapping[str, Any] | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.hidden, self.activation, self.dropout = hidden, activation, dropout
        self.epochs, self.batch, self.lr, self.decay, self.optimizer = epochs, batch, lr, decay, optimizer
        self.patience, self.valid = patience, valid
        self.module, self.more, self.seed = module, more, seed

    def _train(self, inputs: Any, target: NDArray[Any], weight: Any, outputs: int) -> None:
        block = _finite(inputs)
        each = np.ones(len(block)) if weight is None else np.asarray(weight, np.float64)
        # A loss weighted by what averages to one keeps the meaning of the learning rate.
        truth = np.column_stack([target, each / each.mean()]).astype(np.float32)
        self.n_features_in_, self.outputs_ = block.shape[1], outputs
        stops = self.patience is not None
        with _settled(self.seed):
            net = _Weighted(
                self._module(), criterion=torch.nn.MSELoss, optimizer=OPTIMIZERS[self.optimizer],
                optimizer__weight_decay=self.decay, lr=self.lr, batch_size=self.batch, max_epochs=self.epochs,
                classes=isinstance(self, Labels), iterator_train__shuffle=True, verbose=0,
                train_split=ValidSplit(self.valid, random_state=self.seed) if stops else None,
                callbacks=[("stop", EarlyStopping(patience=self.patience, load_best=True))] if stops else [],
                callbacks__print_log=None, callbacks__valid_acc=None,
            )  # fmt: skip
            net.fit(block, truth)
        weights = net.module_.state_dict()
        self.weights_ = {name: np.array(one.detach().numpy()) for name, one in weights.items()}

    def _ask(self, inputs: Any) -> Floats:
        check_is_fitted(self)
        block = _finite(inputs)
        with _settled(self.seed), torch.inference_mode():
            said = self.network()(torch.from_numpy(block))
        answers: Floats = said.numpy()
        return answers

    def network(self) -> torch.nn.Module:
        """The fitted network, from float32 inputs to probabilities or values, ready to be asked."""
        module = self._module()
        module.load_state_dict({name: torch.from_numpy(np.array(one)) for name, one in self.weights_.items()})
        return torch.nn.Sequential(module, self._end()).eval()

    def _end(self) -> torch.nn.Module:
        raise NotImplementedError

    def _module(self) -> torch.nn.Module:
        if not self.module:
            return _layers(self.n_features_in_, self.hidden, self.outputs_, ACTIVATIONS[self.activation], self.dropout)
        try:
            made = named(self.module)(inputs=self.n_features_in_, outputs=self.outputs_, **(self.more or {}))
        except TypeError as error:
            raise SpecError(f"{self.module} is called with inputs, outputs and its own options: {error}.") from None
        if not isinstance(made, torch.nn.Module):
            raise SpecError(f"{self.module} gives {type(made).__name__}, which is no torch.nn.Module.")
        return made


class Labels(ClassifierMixin, Network):  # type: ignore[misc]  # scikit-learn ships no types
    """A network of labels: a logit each, softmax behind them."""

    def fit(self, inputs: Any, labels: Any, sample_weight: Any = None) -> Labels:
        """Fit by cross-entropy, weighted where there are weights."""
        self.classes_, numbers = np.unique(np.asarray(labels), return_inverse=True)
        self._train(inputs, numbers, sample_weight, len(self.classes_))
        return self

    def predict_proba(self, inputs: Any) -> Floats:
        """Probabilities (rows, labels)."""
        return self._ask(inputs)

    def predict(self, inputs: Any) -> NDArray[Any]:
        """The likeliest label of each row."""
        found: NDArray[Any] = self.classes_[self._ask(inputs).argmax(axis=1)]
        return found

    def _end(self) -> torch.nn.Module:
        return torch.nn.Softmax(dim=1)


class Values(RegressorMixin, Network):  # type: ignore[misc]  # scikit-learn ships no types
    """A network of one value, which it learns in units of the target's spread."""

    def fit(self, inputs: Any, values: Any, sample_weight: Any = None) -> Values:
        """Fit by squared error, weighted where there are weights."""
        target = np.asarray(values, np.float64)
        self.middle_ = float(np.average(target, weights=sample_weight))
        self.spread_ = float(np.sqrt(np.average((target - self.middle_) ** 2, weights=sample_weight))) or 1.0
        self._train(inputs, (target - self.middle_) / self.spread_, sample_weight, 1)
        return self

    def predict(self, inputs: Any) -> Floats:
        """A value for each row."""
        values: Floats = self._ask(inputs).ravel()
        return values

    def _end(self) -> torch.nn.Module:
        return _Scaled(self.middle_, self.spread_)


class _Scaled(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into by mypy here
    """Back to the target's units."""

    def __init__(self, middle: float, spread: float) -> None:
        super().__init__()
        self.register_buffer("middle", torch.tensor(middle, dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32))

    def forward(self, said: torch.Tensor) -> Any:
        return said * self.spread + self.middle


class _Weighted(NeuralNet):  # type: ignore[misc]  # as above
    """skorch's loop with a weight for each row, which travels as the target's second column."""

    def __init__(self, *args: Any, classes: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.classes = classes

    def get_loss(self, y_pred: torch.Tensor, y_true: torch.Tensor, X: Any = None, training: bool = False) -> Any:  # noqa: ARG002, N803 -- skorch's signature
        target, weight = y_true[:, 0], y_true[:, 1]
        if self.classes:
            each = torch.nn.functional.cross_entropy(y_pred, target.long(), reduction="none")
        else:
            each = (y_pred[:, 0] - target) ** 2
        return (each * weight).mean()


def _layers(inputs: int, hidden: Sequence[int], outputs: int, activation: Any, dropout: float) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for width in hidden:
        layers += [torch.nn.Linear(inputs, width), activation()]
        layers += [torch.nn.Dropout(dropout)] if dropout else []
        inputs = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, outputs))


@contextmanager
def _settled(seed: int) -> Iterator[None]:
    """One thread, sums in one order, and a lot that is drawn by the seed; all of it given back at the end."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=strict)
            torch.set_num_threads(threads)


def _finite(inputs: Any) -> Floats:
    block = np.array(inputs, np.float32, ndmin=2)  # its own: torch warns of what cannot be written to
    if not np.isfinite(block).all():
        raise ValueError("A network takes no gaps: put the step impute (and scale) before the family torch.")
    return block


def _check(options: Mapping[str, Any]) -> None:
    for name, known in (("activation", ACTIVATIONS), ("optimizer", OPTIMIZERS)):
        if (value := options.get(name)) is not None and value not in known:
            raise SpecError(f"family torch: {name} is one of {', '.join(known)}, not {value!r}.")
    hidden = options.get("hidden", ())
    if not isinstance(hidden, (list, tuple)) or any(type(width) is not int or width < 1 for width in hidden):
        raise SpecError(f"family torch: hidden is a list of widths, as [64, 32], not {hidden!r}.")
    for name in COUNTS:
        value = options.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise SpecError(f"family torch: {name} is a whole number from 1 up, not {value!r}.")
    if options.get("valid") == 0:
        raise SpecError("family torch: valid is the share of rows that tells when to stop, above 0.")
    for name in RATES:
        value = options.get(name, 0.1)
        most = {"dropout": 1.0, "valid": 0.5}.get(name, float("inf"))
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not 0 <= value <= most
            or (name == "valid" and not value)
        ):
            raise SpecError(f"family torch: {name} is a number from 0 to {most:g}, not {value!r}.")
