"""Does a variant behave? Its answers to questions that were changed on purpose, before anybody asks them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict

WAYS = ("up", "down")
KINDS = ("missing", "noise", "unseen", "permuted")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Fail a variant whose answers move where they should not, or the wrong way.

    ``invariance``: columns that must not matter; their values are dealt out anew and the answers may move by
    ``tolerance`` in the mean. ``direction``: column -> up or down, where raising it by a standard deviation must not
    move the answer the other way for more than ``wrong`` of the rows. ``robustness``: how far answers may move in
    the mean when a column is missing, noisy (a tenth of its standard deviation) or holds a text never seen; columns in
    another order must change nothing at all. Answers are probabilities of the last label, or values in units of
    their standard deviation. Ribeiro et al., "Beyond Accuracy: Behavioral Testing", ACL 2020.

    ``Behaviour(invariance=["origin"], direction={"distance": "up"}, robustness=0.2)``
    """

    invariance: Sequence[str] = ()
    direction: Mapping[str, str] = field(default_factory=dict)
    robustness: float | None = None
    tolerance: float = 0.01
    wrong: float = 0.05

    def __post_init__(self) -> None:
        for column, way in self.direction.items():
            if way not in WAYS:
                raise SpecError(f"judge behaviour: direction of {column!r} is up or down, not {way!r}.")
        for name in ("robustness", "tolerance", "wrong"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
                raise SpecError(f"judge behaviour: {name} is a number from 0 up, not {value!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``behaviour.<kind>/<column>``."""
        found = {
            name.removeprefix("behaviour."): value
            for name, value in evidence.estimates.items()
            if name.startswith("behaviour.")
        }
        if not found:
            return Verdict("behaviour", Status.INCONCLUSIVE, "its behaviour was not tried; `rivals gate` tries it")
        faults = [told for name, value in sorted(found.items()) if (told := self._fault(name, value))]
        figures = {name: value for name, value in found.items() if math.isfinite(value)}
        if faults:
            return Verdict("behaviour", Status.FAIL, "; ".join(faults), figures)
        return Verdict(
            "behaviour", Status.PASS, f"{len(found)} ways of changing the question, none moved it wrongly", figures
        )

    def _fault(self, name: str, value: float) -> str:
        kind, _, column = name.partition("/")
        if not math.isfinite(value):
            return f"it gives no answer where {column!r} is changed ({kind})"
        if kind == "invariance" and value > self.tolerance:
            return f"answers move by {value:.3f} when {column!r} is dealt out anew, and it must not matter"
        if kind == "direction" and value > self.wrong:
            way = self.direction.get(column, "up")
            return f"raising {column!r} moves {value:.0%} of the answers against {way!r}"
        if kind == "permuted" and value > 0:
            return f"answers move by {value:.3g} when columns come in another order"
        if kind in KINDS and self.robustness is not None and value > self.robustness:
            return f"answers move by {value:.3f} when {column!r} is changed ({kind})"
        return ""
