"""Ray Tune's schedulers: they run their trials themselves, and stop or change them as they see fit."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from random import Random
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search import Searcher

from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.tune.space import Choice, Domain, Params, Space
from rivals.tune.tuners.optuna import Optuna

SCHEDULERS = ("asha", "pbt")
LOSS = "loss"
ENDLESS = 1_000_000  # generations or points, where seconds are the budget

Follow = Callable[[Params], Iterator[tuple[float, bool]]]


class RayTune:
    """Ray Tune over Optuna's sampler: ``scheduler`` ``asha`` (default) stops a trial after any fold, ``pbt`` breeds.

    ``pbt`` keeps a ``population`` of points: after each whole trial the worst take over the options of the best, a
    little changed. Which trials run depends on who is first: a seed repeats no search. Li et al., A system for
    massively parallel hyperparameter tuning, MLSys 2020; Jaderberg et al., Population based training, 2017.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        scheduler: str = "asha",
        sampler: str = "tpe",
        population: int = 8,
        address: str | None = None,
    ) -> None:
        if scheduler not in SCHEDULERS:
            raise SpecError(
                f"tuner ray_tune: no scheduler is called {scheduler!r}.{nearest(scheduler, list(SCHEDULERS))}"
            )
        if population < 4:  # noqa: PLR2004 -- a quarter of it is replaced
            raise SpecError(f"tuner ray_tune: a population has 4 points or more, not {population}.")
        self._space, self._seed, self._scheduler, self._population = space, seed, scheduler, population
        self._sampler, self._address = Optuna(space, seed, sampler), address

    def ask(self) -> dict[str, Any]:
        """The next point of the sampler."""
        return self._sampler.ask()

    def tell(self, params: Params, score: float) -> None:
        """Learn what the point came to."""
        self._sampler.tell(params, score)

    def own(self, follow: Follow, seconds: float | None, trials: int | None, workers: int, folds: int) -> None:
        """Try points in actors of Ray, on this machine or on the cluster it knows, until the budget is spent."""
        mine = not ray.is_initialized()
        if mine:
            connect(self._address, workers)
        try:
            with tempfile.TemporaryDirectory(prefix="rivals-ray-") as folder, redirect_stdout(io.StringIO()):
                self._fit(follow, seconds, trials, workers, folds, folder)
        finally:
            if mine:
                ray.shutdown()

    def _fit(
        self, follow: Follow, seconds: float | None, trials: int | None, workers: int, folds: int, folder: str
    ) -> None:
        breeds = self._scheduler == "pbt"
        actor = tune.with_parameters(_Breeding if breeds else _Folds, follow=follow, space=self._space)
        count = trials or ENDLESS
        if breeds:
            scheduler, search = self._breeding(), None
            samples, stop = min(self._population, count), {"training_iteration": max(1, count // self._population)}
        else:
            scheduler = ASHAScheduler(max_t=folds, grace_period=1, reduction_factor=3)
            samples, stop, search = (trials or -1), {}, _Asked(self.ask, self.tell)
        tune.Tuner(
            tune.with_resources(actor, {"cpu": 1}),
            param_space=self._anywhere() if breeds else None,
            tune_config=tune.TuneConfig(
                metric=LOSS,
                mode="min",
                search_alg=search,
                scheduler=scheduler,
                num_samples=samples,
                max_concurrent_trials=samples if breeds else workers,
                time_budget_s=seconds,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, stop=stop),
        ).fit()

    def _breeding(self) -> PopulationBasedTraining:
        chance = Random(self._seed)  # noqa: S311 -- points, no secret
        names = {name: _anew(one, chance) for name, one in self._space.domains.items()}
        return PopulationBasedTraining(
            time_attr="training_iteration", perturbation_interval=1, hyperparam_mutations=names,
            custom_explore_fn=self._within,
        )  # fmt: skip

    def _anywhere(self) -> dict[str, Any]:
        """Points with every option, whether it is asked for or not: what they are bred to may ask for others."""
        rng = Random(self._seed)  # noqa: S311 -- points, no secret

        def drawn(domain: Domain) -> Any:
            return tune.sample_from(lambda _: domain.at(rng.random()))

        return {name: drawn(one) for name, one in self._space.domains.items()}

    def _within(self, config: dict[str, Any]) -> dict[str, Any]:
        return {name: _clamped(one, config[name]) for name, one in self._space.domains.items()}


def connect(address: str | None, workers: int) -> None:
    """Use the cluster at ``address`` (or RAY_ADDRESS), or make one of this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    there = address or os.environ.get("RAY_ADDRESS")
    paths = os.pathsep.join(filter(None, sys.path))
    ray.init(
        address=there or "local",  # not whatever else runs on this machine
        num_cpus=None if there else workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )


class _Asked(Searcher):  # type: ignore[misc]  # Ray is not typed
    """Any tuner of ours as a search algorithm of Ray's."""

    def __init__(
        self, ask: Callable[[], Params | None], tell: Callable[[Params, float], None] = lambda *_: None
    ) -> None:
        super().__init__(metric=LOSS, mode="min")
        self._ask, self._tell, self._open = ask, tell, dict[str, Params]()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        params = self._ask()
        if params is None:
            return Searcher.FINISHED  # type: ignore[no-any-return]
        self._open[trial_id] = params
        return {**params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        params = self._open.pop(trial_id, None)
        if params is not None:
            self._tell(params, float("nan") if error or not result else float(result[LOSS]))


class _Folds(tune.Trainable):  # type: ignore[misc]  # Ray is not typed
    """A trial that takes a step with each fold."""

    def setup(self, config: dict[str, Any], follow: Follow, space: Space) -> None:
        self._follow, self._space = follow, space
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        loss, last = next(self._parts)
        return {LOSS: loss, tune.result.DONE: last}

    def cleanup(self) -> None:
        self._parts.close()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002 -- Ray's signature
        return {"nothing": "to keep"}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """There is nothing in it: what is bred are options."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._parts: Any = self._follow({name: value for name, value in config.items() if name in self._space.domains})


class _Breeding(_Folds):
    """A trial that takes a step with each point: whole, without what its other options make idle."""

    def step(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._space.domains:
            if self._space.active(name, found):
                found[name] = self._point[name]
        loss = float("inf")
        for loss, _ in self._follow(found):  # noqa: B007 -- the last one counts
            pass
        return {LOSS: loss}

    def cleanup(self) -> None:
        """Every step ends by itself."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._point = config


def _anew(domain: Domain, chance: Random) -> Any:
    return list(domain.options) if isinstance(domain, Choice) else lambda: domain.at(chance.random())


def _clamped(domain: Domain, value: Any) -> Any:
    if isinstance(domain, Choice):
        return value
    within = min(max(float(value), domain.low), domain.high)
    if domain.step is not None:
        within = domain.low + round((within - domain.low) / domain.step) * domain.step
    return round(within) if domain.whole else within
