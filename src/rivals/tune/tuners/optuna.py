"""Optuna's samplers, asked and told."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import Trial, TrialState, create_trial

from rivals.errors import MissingExtra, SpecError
from rivals.plugins import extra_for, nearest
from rivals.spec.project import holds_password
from rivals.tune.space import Choice, Domain, Params, Space, named

EVERY = 0.5  # seconds between two looks at the disk
SAMPLERS = {"tpe": "", "gp": "torch", "cmaes": "cmaes", "random": ""}  # and what they need


class Optuna:
    """Ask an Optuna sampler: ``tpe`` (default), ``gp``, ``cmaes`` or ``random``.

    ``storage`` is a journal file or a database URL that optuna-dashboard opens, or ``{env: NAME}``, the variable that
    holds such a URL; in memory where nothing is said. ``study`` is its name there. What
    is told for points it never asked for, as after a restart, is learnt as well. Akiba et al., KDD 2019; the default
    is the multivariate tree-structured Parzen estimator (Bergstra 2011; Falkner 2018).
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        sampler: str = "tpe",
        storage: str | Mapping[str, str] | None = None,
        study: str = "study",
    ) -> None:
        if sampler not in SAMPLERS:
            raise SpecError(f"tuner optuna: no sampler is called {sampler!r}.{nearest(sampler, list(SAMPLERS))}")
        if (needed := SAMPLERS[sampler]) and find_spec(needed) is None:
            raise MissingExtra(f"tuner optuna: sampler {sampler} needs the package {needed!r}: {extra_for(needed)}.")
        logging.getLogger("optuna").setLevel(logging.WARNING)
        where = _where(storage)
        self._journal = _Journal(where) if where is not None and "://" not in where else None
        self._space, self._domains = space, {name: _distribution(one) for name, one in space.domains.items()}
        self._study = optuna.create_study(
            study_name=study,
            storage=where if self._journal is None else JournalStorage(self._journal),
            load_if_exists=True,
            sampler=_sampler(sampler, seed),
            direction="minimize",
        )
        self._open: dict[str, list[Trial]] = {}
        self._told = set[str]()
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.COMPLETE:
                self._told.add(named(trial.params))
            elif trial.state == TrialState.RUNNING:  # whoever ran it is gone
                self._study.tell(trial.number, state=TrialState.FAIL)
        self._write()

    def ask(self) -> dict[str, Any]:
        """The next point."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is experimental there is named in our documentation
            trial = self._study.ask()
            found: dict[str, Any] = {}
            for name, domain in self._domains.items():
                if self._space.active(name, found):
                    found[name] = trial._suggest(name, domain)  # noqa: SLF001 -- suggest_* by the kind of a distribution
        self._open.setdefault(named(found), []).append(trial)
        return found

    def tell(self, params: Params, score: float) -> None:
        """Learn what the point came to, less is better; a score that is no number is a failure."""
        key = named(params)
        trial = self._open[key].pop() if self._open.get(key) else None
        if not math.isfinite(score):
            if trial is not None:
                self._study.tell(trial, state=TrialState.FAIL)
        elif trial is not None:
            self._study.tell(trial, score)
        elif key not in self._told:
            domains = {name: self._domains[name] for name in params}
            self._study.add_trial(create_trial(params=dict(params), distributions=domains, value=score))
        self._told.add(key)
        if not any(self._open.values()):
            self._write()

    def _write(self) -> None:
        if self._journal is not None:
            self._journal.write()


def _where(where: str | Mapping[str, str] | None) -> str | None:
    if isinstance(where, Mapping):
        name = where.get("env", "")
        if set(where) != {"env"} or not os.environ.get(name):
            raise SpecError("tuner optuna: storage is a file, a URL, or {env: NAME}, a variable that holds a URL.")
        return os.environ[name]
    if where is not None and holds_password(where):
        raise SpecError("tuner optuna: the URL holds a password; put it into a variable: storage: {env: NAME}.")
    return where


class _Journal(BaseJournalBackend):
    """A file that optuna-dashboard reads: written twice a second rather than with every option of every point.

    One process writes it. What is missing in it when that is killed is told to the study anew.
    """

    def __init__(self, file: str) -> None:
        self._file = JournalFileBackend(file)
        self._logs: list[dict[str, Any]] = list(self._file.read_logs(0))
        self._kept, self._at = len(self._logs), time.monotonic()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return iter(self._logs[log_number_from:])

    def append_logs(self, logs: Iterable[dict[str, Any]]) -> None:
        self._logs += logs
        if time.monotonic() - self._at > EVERY:
            self.write()

    def write(self) -> None:
        """Write what is not written."""
        if self._kept < len(self._logs):
            self._file.append_logs(self._logs[self._kept :])
        self._kept, self._at = len(self._logs), time.monotonic()


def _sampler(name: str, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in ask()
        match name:
            case "gp":
                return GPSampler(seed=seed)
            case "cmaes":
                return CmaEsSampler(seed=seed)
            case "random":
                return RandomSampler(seed=seed)
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.options)
    if domain.whole:
        step = int(domain.step or 1)
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
