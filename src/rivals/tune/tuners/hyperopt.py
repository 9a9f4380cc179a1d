"""Hyperopt's TPE, asked and told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain as Asked
from hyperopt.base import miscs_update_idxs_vals

from rivals.tune.space import Choice, Domain, Number, Params, Space, named


class Hyperopt:
    """Hyperopt's tree-structured Parzen estimator; the first ``startup`` points are at random.

    Options that depend on others are always sampled and left out where they are not asked for. Bergstra, Yamins and
    Cox, Making a science of model search, ICML 2013.
    """

    def __init__(self, space: Space, seed: int = 0, startup: int = 10) -> None:
        self._space, self._startup = space, startup
        self._trials, self._rng = Trials(), np.random.default_rng(seed)
        self._asked = Asked(lambda _: 0.0, {name: _expression(name, one) for name, one in space.domains.items()})
        self._open: dict[str, list[dict[str, Any]]] = {}

    def ask(self) -> dict[str, Any]:
        """The next point."""
        ids = self._trials.new_trial_ids(1)
        seed = int(self._rng.integers(2**31 - 1))
        (document,) = tpe.suggest(ids, self._asked, self._trials, seed, n_startup_jobs=self._startup)
        values = {name: one[0] for name, one in document["misc"]["vals"].items()}
        found: dict[str, Any] = {}
        for name, domain in self._space.domains.items():
            if self._space.active(name, found):
                found[name] = _value(domain, values[name])
        self._open.setdefault(named(found), []).append(document)
        return found

    def tell(self, params: Params, score: float) -> None:
        """Learn what the point came to, less is better; a score that is no number is a failure."""
        key = named(params)
        document = self._open[key].pop() if self._open.get(key) else self._document(params)
        good = math.isfinite(score)
        document["state"] = JOB_STATE_DONE
        document["result"] = {"status": STATUS_OK, "loss": float(score)} if good else {"status": STATUS_FAIL}
        self._trials.insert_trial_docs([document])
        self._trials.refresh()

    def _document(self, params: Params) -> dict[str, Any]:
        """A point that it did not ask for; what the point leaves open is left out."""
        (number,) = self._trials.new_trial_ids(1)
        misc: dict[str, Any] = {"tid": number, "cmd": ("domain_attachment", "FMinIter_Domain")}
        values = {name: [_index(one, params[name])] if name in params else [] for name, one in self._all()}
        places = {name: [number] if name in params else [] for name, _ in self._all()}
        miscs_update_idxs_vals([misc | {"idxs": {}, "vals": {}}], places, values)
        whole = misc | {"idxs": places, "vals": values, "workdir": None}
        (document,) = self._trials.new_trial_docs([number], [None], [{"status": "new"}], [whole])
        made: dict[str, Any] = document
        return made

    def _all(self) -> list[tuple[str, Domain]]:
        return list(self._space.domains.items())


def _expression(name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return hp.choice(name, list(range(len(domain.options))))
    if domain.step is not None or domain.whole:
        step = domain.step or 1.0
        if domain.log:
            return hp.qloguniform(name, math.log(max(domain.low - 0.5, 0.5)), math.log(domain.high + 0.5), 1.0)
        return hp.quniform(name, domain.low, domain.high, step)
    if domain.log:
        return hp.loguniform(name, math.log(domain.low), math.log(domain.high))
    return hp.uniform(name, domain.low, domain.high)


def _value(domain: Domain, raw: float) -> Any:
    if isinstance(domain, Choice):
        return domain.options[int(raw)]
    return _within(domain, float(raw))


def _within(domain: Number, raw: float) -> float | int:
    value = min(max(raw, domain.low), domain.high)
    if domain.step is not None:
        value = domain.low + math.floor((value - domain.low) / domain.step + 1e-9) * domain.step
    return round(value) if domain.whole else value


def _index(domain: Domain, value: Any) -> Any:
    return domain.options.index(value) if isinstance(domain, Choice) else value
