"""Regret of the bandit policy on simulated endpoints, some of which drift: with the policies' own code and defaults.

Those that stand still are the seven of Auer, Cesa-Bianchi & Fischer (2002), Finite-time Analysis of the Multiarmed
Bandit Problem, section 4, with their numbers: all of them, so that nobody chose.

An endpoint answers 10,000 requests with rewards of 0 or 1. The policy learns after every hundred, from rewards that are
a hundred requests late, and draws by its weights in between. Regret is what the best arm of the moment would have
earned more, on average. Thompson must stay below epsilon-greedy (0.1) and uniform choice in every simulation: the
interval of the paired difference over seeds says so. Prints one line for each simulation; exit 1 where it does not.

    python benchmarks/bandits.py [--seeds 200] [--half-life 5000]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Learns
from rivals.serve.policies.epsilon import Epsilon
from rivals.serve.policies.thompson import Thompson
from rivals.values import Experience

REQUESTS, BATCH, DELAY = 10_000, 100, 1  # the delay in batches
Means = NDArray[np.float64]


def stationary(*means: float) -> Means:
    return np.tile(means, (REQUESTS, 1))


def pieces(*parts: tuple[float, ...]) -> Means:
    """Means that change at once, after equal times."""
    return np.repeat(np.array(parts), REQUESTS // len(parts) + 1, axis=0)[:REQUESTS]


def waves(*centres: float, height: float, period: float) -> Means:
    phase = np.arange(REQUESTS)[:, None] / period + np.arange(len(centres)) / len(centres)
    return np.array(centres) + height * np.sin(2 * np.pi * phase)


def walk(seed: int, arms: int) -> Means:
    steps = np.random.default_rng(seed).normal(0, 0.004, (REQUESTS, arms))
    inside = np.abs((0.5 + steps.cumsum(axis=0)) % 2 - 1)  # reflected at 0 and 1
    return 0.1 + 0.8 * inside


SIMULATIONS: Mapping[str, Means] = {
    "Auer 1": stationary(0.9, 0.6),
    "Auer 2": stationary(0.9, 0.8),
    "Auer 3": stationary(0.55, 0.45),
    "Auer 11": stationary(0.9, *[0.6] * 9),
    "Auer 12": stationary(0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6),
    "Auer 13": stationary(0.9, *[0.8] * 9),
    "Auer 14": stationary(0.55, *[0.45] * 9),
    "the best falls": pieces((0.9, 0.8), (0.6, 0.8)),
    "they swap": pieces((0.6, 0.4), (0.4, 0.6)),
    "three take turns": pieces((0.6, 0.4, 0.4), (0.4, 0.6, 0.4), (0.4, 0.4, 0.6)),
    "a slow wave": waves(0.5, 0.5, height=0.2, period=10_000),
    "random walks": walk(0, 3),  # another one for each seed
}


def regret(policy: Learns, name: str, seed: int) -> float:
    means = walk(seed, 3) if name == "random walks" else SIMULATIONS[name]
    rng, arms = np.random.default_rng(seed), means.shape[1]
    names = [f"v{arm}" for arm in range(arms)]
    state, waiting, lost = policy.learn({}, ()), list[list[Experience]](), 0.0
    earns = rng.random((REQUESTS, arms)) < means  # the same for every policy
    for start in range(0, REQUESTS, BATCH):
        at = np.arange(start, start + BATCH)
        weights = [state["weights"][name] for name in names]
        chosen = np.minimum(np.searchsorted(np.cumsum(weights), rng.random(BATCH), side="right"), arms - 1)
        lost += float((means[at].max(axis=1) - means[at, chosen]).sum())
        waiting.append(
            [
                Experience(f"r{i}", f"r{i}", names[arm], float(i), {}, reward=float(earns[i, arm]))
                for i, arm in zip(at.tolist(), chosen.tolist(), strict=True)
            ]
        )
        if len(waiting) > DELAY:
            state = policy.learn(state, waiting.pop(0))
    return lost


def compared(name: str, seeds: int, half_life: float) -> Mapping[str, NDArray[np.float64]]:
    names = [f"v{arm}" for arm in range(SIMULATIONS[name].shape[1])]
    made: Mapping[str, Callable[[], Learns]] = {
        "thompson": lambda: Thompson(names, half_life=half_life),
        "epsilon": lambda: Epsilon(names, half_life=half_life),
    }
    with ProcessPoolExecutor() as pool:
        found = {
            who: np.array(list(pool.map(partial(regret, make(), name), range(seeds), chunksize=10)))
            for who, make in made.items()
        }
    every = [walk(seed, 3) for seed in range(seeds)] if name == "random walks" else [SIMULATIONS[name]] * seeds
    return {**found, "uniform": np.array([(means.max(axis=1) - means.mean(axis=1)).sum() for means in every])}


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    reach = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--half-life", type=float, default=None)
    given = parser.parse_args()
    half_life, failed = given.half_life or Thompson(["a", "b"]).half_life, 0
    print(f"{'':18} {'thompson':>20} {'epsilon 0.1':>12} {'uniform':>8}   thompson less epsilon")
    for name in SIMULATIONS:
        found = compared(name, given.seeds, half_life)
        low, high = interval(found["thompson"])
        below = interval(found["thompson"] - found["epsilon"])
        good = below[1] < 0 and high < found["uniform"].mean()
        failed += not good
        print(
            f"{name:18} {found['thompson'].mean():7.1f} [{low:5.1f},{high:6.1f}] {found['epsilon'].mean():12.1f} "
            f"{found['uniform'].mean():8.1f}   [{below[0]:.1f}, {below[1]:.1f}]"
            f"{'' if good else '  NOT BELOW'}",
            flush=True,
        )
    print(f"{len(SIMULATIONS) - failed} of {len(SIMULATIONS)} below both, {given.seeds} seeds, half-life {half_life:g}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
