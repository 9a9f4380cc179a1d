"""The judges that a project file asks for, and what they must have stated before a rollout begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import signature

import msgspec

from rivals import plugins
from rivals.decide.judges.fixed import Fixed
from rivals.decide.judges.latency import Latency
from rivals.decide.judges.reward import Reward
from rivals.flows.workspace import Workspace
from rivals.observe.guardrails import RewardRules
from rivals.protocols import Judge
from rivals.values import Rollout, Use

ANSWERS = (200, 10_000)  # of the champion, at least and at most, that say what is slow


def judges_of(workspace: Workspace) -> list[Judge]:
    """The judges of the project file, that of declared slices among them; those that can end it share one alpha."""
    return [judge_of(use) for use in wished(workspace)]


def wished(workspace: Workspace, strategy: str = "", challengers: int = 1) -> list[Use]:
    """The judges with all the options they get: what the ledger keeps of them.

    Where several challengers are tested at once, each gets its share of alpha.
    """
    wish = workspace.endpoint.rollout
    alpha = wish.risk.alpha / challengers
    common = {"alpha": alpha, "among": among(workspace)}
    bound = [Use("harm", {"most": wish.harm, "alpha": alpha})] if strategy == "bounded" else []
    uses = [*_uses(workspace), *bound]
    return [Use(use.name, {**common, **use.options}) if _shares(use) else use for use in uses]


def looks_of(judges: Sequence[Use]) -> tuple[int, ...]:
    """The blocks after which the judges planned to look."""
    made = [judge_of(use) for use in judges if use.name == "fixed"]
    return tuple(sorted({blocks for one in made if isinstance(one, Fixed) for blocks in one.planned}))


def agreed(workspace: Workspace, rollout: Rollout, alpha: float | None = None) -> list[Judge]:
    """The judges that a rollout began with, whatever the project file says by now; at another ``alpha`` if given."""
    raw = workspace.store.state(agreement(rollout))
    uses = msgspec.json.decode(raw, type=list[Use]) if raw else wished(workspace)
    firm = {} if alpha is None else {"alpha": alpha}
    return [judge_of(Use(use.name, {**use.options, **firm}) if "among" in use.options else use) for use in uses]


def agreement(rollout: Rollout) -> str:
    """Where the store keeps the judges of a rollout."""
    return f"judges/{rollout.id}"


def judge_of(use: Use) -> Judge:
    """The judge itself."""
    return plugins.make(Judge, use)


def among(workspace: Workspace) -> int:
    """How many judges share the rollout's alpha for rolling back."""
    return max(1, sum(_shares(use) for use in _uses(workspace)))


def reward_rules(workspace: Workspace) -> RewardRules | None:
    """The range and margin of the reward judge; None where nobody judges rewards."""
    judge = next((one for one in judges_of(workspace) if isinstance(one, Reward)), None)
    return RewardRules(judge.low, judge.high, judge.margin) if judge else None


def slow_ms(workspace: Workspace, champion: str) -> float | None:
    """What a rollout that begins now calls slow: the latency judge's ``p99_ms``, or the champion's own just now.

    None where nobody judges latency, or the champion has answered too little.
    """
    judge = next((one for one in judges_of(workspace) if isinstance(one, Latency)), None)
    if judge is None:
        return None
    if judge.p99_ms is not None:
        return float(judge.p99_ms)
    least, most = ANSWERS
    known = sorted(workspace.store.latencies(workspace.endpoint.name, champion, most))
    return known[math.ceil(0.99 * len(known)) - 1] / 1e3 if len(known) >= least else None


def _uses(workspace: Workspace) -> list[Use]:
    wish = workspace.endpoint.rollout
    declared = wish.slices and all(use.name != "slices" for use in wish.judges)
    return [*wish.judges, *([Use("slices")] if declared else [])]


def _shares(use: Use) -> bool:
    return {"alpha", "among"} <= set(signature(plugins.factory(Judge, use.name)).parameters)
