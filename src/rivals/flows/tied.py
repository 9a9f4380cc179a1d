"""What an answer costs, where a policy asks for the tied: from the prediction bank and the timings of the build."""

from __future__ import annotations

from dataclasses import replace

from rivals import plugins
from rivals.flows.gated import refused_by_gate
from rivals.flows.workspace import Workspace
from rivals.protocols import Policy
from rivals.values import Use


def policy_for(workspace: Workspace, champion: str, use: Use) -> Use:
    """The policy; where it ``asks_cost``, with the microseconds of a row of each variant that may answer.

    They are the champion's tie group: whom `rivals compare` cannot tell apart from the best, as long as the champion is
    one of them. Whom the gate refused, or nobody timed, is none. Where there is nobody to choose from, the policy is as
    it was. Raises ``DataError`` where nothing can be compared.
    """
    if not getattr(plugins.make(Policy, use), "asks_cost", False):
        return use
    from rivals.flows.compare import compare_project  # noqa: PLC0415 -- serving needs nothing that training needs

    tied = {row.variant: row.predict_us for row in compare_project(workspace).rows if row.tied}
    if champion not in tied:  # whoever is better than the champion is for a rollout to prove
        return use
    cost = {
        name: round(spent, 1)
        for name, spent in sorted(tied.items())
        if spent > 0 and (name == champion or not refused_by_gate(workspace, name))
    }
    return replace(use, options={**use.options, "cost": cost}) if cost else use
